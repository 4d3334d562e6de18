/** Under which id the control plane knows this program: a UUID that survives restarts, so that they leave no trail of dead data planes. */

import { createHash, randomUUID } from "node:crypto";
import { mkdir, open, readFile, rename } from "node:fs/promises";
import { join } from "node:path";

/** 8-4-4-4-12 hex digits; the control plane stores nothing else as a node's id. */
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/**
 * The id kept in `<stateDir>/node-id`, made at the first call. Without a state directory it is
 * derived from `hostname` and `purpose`: the same as long as the host keeps its name.
 */
export async function loadNodeId(
  stateDir: string | undefined,
  hostname: string,
  purpose: string,
): Promise<string> {
  if (stateDir === undefined) return nameUuid("kong-fallback", `${hostname}/${purpose}`);
  const path = join(stateDir, "node-id");
  const kept = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return "";
    throw error;
  });
  if (UUID.test(kept.trim())) return kept.trim();
  const id = randomUUID();
  await mkdir(stateDir, { recursive: true, mode: 0o700 });
  const temporary = `${path}.${process.pid}`;
  await using file = await open(temporary, "w", 0o600);
  await file.writeFile(`${id}\n`);
  await file.sync();
  await rename(temporary, path);
  return id;
}

/** One id for each Kong version declared: the control plane keeps one row for each data plane. */
export function nodeIdFor(nodeId: string, version: string): string {
  return nameUuid(nodeId, version);
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
