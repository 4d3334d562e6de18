/** Under which id the control plane knows this program: a UUID that survives restarts, so that they leave no trail of dead data planes. */

import { createHash, randomUUID } from "node:crypto";
import { open, readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "../core/clock.ts";
import { makeFolder, syncAsFarAsPossible } from "../core/durable.ts";
import { describeCause } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import { nodeCodeOf } from "../core/node-code.ts";
import { inTime } from "../core/waiting.ts";

/** 8-4-4-4-12 hex digits; the control plane stores nothing else as a node's id. */
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** A state directory that hangs holds nobody up for longer, milliseconds. */
const STATE_DIR_TIMEOUT_MS = 2_000;

export interface NodeIdOptions {
  /** Undefined: nothing is kept. */
  readonly stateDir: string | undefined;
  readonly hostname: string;
  /** Differs between programs of one host that must not be taken for one. */
  readonly purpose: string;
  readonly clock: Clock;
  readonly log: Log;
}

export interface LoadedNodeId {
  readonly nodeId: string;
  /** The state directory hangs: who touches it again has one more call hang, and there are few threads for them. */
  readonly hangs: boolean;
}

/**
 * The id kept in `<stateDir>/node-id`, made at the first call. Without a state directory it is
 * derived from `hostname` and `purpose`: the same as long as the host keeps its name. So it is, with a
 * warning, where the directory cannot be used. Rejects only with `signal.reason`.
 */
export async function loadNodeId(
  options: NodeIdOptions,
  signal: AbortSignal,
): Promise<LoadedNodeId> {
  const { stateDir, hostname, purpose, clock, log } = options;
  const derived = nameUuid("kong-fallback", `${hostname}/${purpose}`);
  if (stateDir === undefined) return { nodeId: derived, hangs: false };
  let hangs = true;
  let reason = `the file system did not answer within ${STATE_DIR_TIMEOUT_MS / 1000} s`;
  try {
    const kept = await inTime(STATE_DIR_TIMEOUT_MS, clock, signal, () => keptId(stateDir));
    if (kept !== "late") return { nodeId: kept, hangs: false };
  } catch (error) {
    signal.throwIfAborted();
    hangs = false;
    reason = describeCause(error);
  }
  log.warn(
    {
      stateDir,
      reason,
      nodeId: derived,
      hint: "KONG_FALLBACK_STATE_DIR must be a directory that this user may read and write. Until it is, each new host name leaves a row in the control plane's list of data planes.",
    },
    "state directory cannot be used, the node id is derived from the host name",
  );
  return { nodeId: derived, hangs };
}

async function keptId(stateDir: string): Promise<string> {
  const path = join(stateDir, "node-id");
  const kept = await readFile(path, "utf8").catch((error: unknown) => {
    if (nodeCodeOf(error) === "ENOENT") return "";
    throw error;
  });
  if (UUID.test(kept.trim())) return kept.trim();
  const id = randomUUID();
  await makeFolder(stateDir);
  // One name for all: whatever a process leaves that is killed here, the next one takes over.
  const temporary = `${path}.tmp`;
  await using file = await open(temporary, "w", 0o600);
  await file.writeFile(`${id}\n`);
  await syncAsFarAsPossible(file);
  await rename(temporary, path);
  return id;
}

/** One id for each Kong version declared: the control plane keeps one row for each data plane. */
export function nodeIdFor(nodeId: string, version: string): string {
  return nameUuid(nodeId, version);
}

/**
 * As whom the control plane is asked what it has, by whichever command on whichever machine. One for all,
 * so that those who come and go, as pods do, leave no more than one row for each Kong version in its list.
 */
export function questioner(version: string): Questioner {
  const hostname = "kong-fallback-question";
  return { nodeId: nodeIdFor(nameUuid("kong-fallback", hostname), version), hostname };
}

export interface Questioner {
  readonly nodeId: string;
  readonly hostname: string;
}

/** RFC 9562 section 5.5 (UUIDv5), with the text of `namespace` in place of a namespace's 16 bytes. */
function nameUuid(namespace: string, name: string): string {
  const digest = createHash("sha1").update(`${namespace}\n${name}`).digest();
  digest[6] = ((digest[6] ?? 0) & 0x0f) | 0x50;
  digest[8] = ((digest[8] ?? 0) & 0x3f) | 0x80;
  const hex = digest.toString("hex");
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    hex.slice(12, 16),
    hex.slice(16, 20),
    hex.slice(20, 32),
  ].join("-");
}
