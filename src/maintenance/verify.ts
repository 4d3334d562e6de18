/** Reads every object of a folder and checks what can be checked, before it is needed. */

import type { ServiceError } from "../core/errors.ts";
import { type Result, resultOf } from "../core/result.ts";
import { type ConfigFinding, checkConfig } from "../kong/checks/check-config.ts";
import { matchConfigHash } from "../kong/config-hash.ts";
import type { Snapshot } from "../snapshots/snapshot.ts";
import { StoreError } from "../store/port.ts";
import { CURRENT, readCurrent, reasonOf, type VersionFolder } from "./folder.ts";

/** What was found out about one object. */
export interface CheckedObject {
  /** CURRENT, or an id; undefined: the history as a whole, which cannot be listed. */
  readonly object: string | undefined;
  /**
   * "unchecked": good, as far as can be told without metadata. "unread": the store does not give it, or
   * none of our keys opens it. "warned": the bytes are good, and Kong may refuse what they say.
   */
  readonly result: "good" | "unchecked" | "warned" | "bad" | "unread";
  readonly code: string | undefined;
  readonly why: string | undefined;
  /** What was found in the config; undefined where nothing was looked for. */
  readonly config: readonly ConfigFinding[] | undefined;
}

/** How much of a config is looked at. */
export interface VerifyDepth {
  /** Kong's hash is recomputed up to this length. */
  readonly hashCheckMaxBytes: number;
  /** Whether what is in it is checked as well. */
  readonly deep: boolean;
  /** KONG_PLUGINS, as written. */
  readonly plugins: readonly string[];
}

/** The current object first, then the history, the newest first. Rejects only with `signal.reason`: what fails is part of the answer. */
export async function verifyFolder(
  folder: VersionFolder,
  depth: VerifyDepth,
  signal: AbortSignal,
): Promise<readonly CheckedObject[]> {
  const { history } = folder.archive;
  const listed = await resultOf(() => history.list(signal), signal);
  if (listed.kind === "bad") return [{ object: undefined, ...failure(listed.error, folder) }];
  const current = await resultOf(() => readCurrent(folder, signal), signal);
  const checked = [check(CURRENT, current, folder, depth)];
  for (const { id } of listed.value) {
    const read = await resultOf(() => history.read(id, signal), signal);
    // An exporter may have pruned it since it was listed.
    const isGone = read.kind === "bad" && read.error.code === "SNAPSHOT_MISSING";
    if (!isGone) checked.push(check(id, read, folder, depth));
  }
  return checked;
}

type Findings = Omit<CheckedObject, "object">;

function check(
  object: string,
  read: Result<Snapshot>,
  folder: VersionFolder,
  { hashCheckMaxBytes, deep, plugins }: VerifyDepth,
): CheckedObject {
  if (read.kind === "bad") return { object, ...failure(read.error, folder, object) };
  const findings = checkBytes(read.value, hashCheckMaxBytes);
  if (!deep || findings.result === "bad") return { object, ...findings };
  const config = checkConfig(read.value.config, folder.version, { plugins });
  return { object, ...findings, ...(config.length > 0 && { result: "warned" }), config };
}

function failure(error: ServiceError, folder: VersionFolder, object = CURRENT): Findings {
  const { code } = error;
  const isUnread =
    code === "SNAPSHOT_SEALED" || (error instanceof StoreError && code !== "STORE_TOO_LARGE");
  const why = reasonOf(error, folder, object);
  return { result: isUnread ? "unread" : "bad", code, why, config: undefined };
}

function checkBytes({ config, metadata }: Snapshot, hashCheckMaxBytes: number): Findings {
  const nothing = { code: undefined, why: undefined, config: undefined };
  if (metadata === undefined) {
    const why = "no metadata: only its form could be checked";
    return { ...nothing, result: "unchecked", why };
  }
  const { configHash, hashMatch, kongVersion } = metadata;
  const match = matchConfigHash(config, configHash, kongVersion, hashCheckMaxBytes);
  if (hashMatch === "true" && match === "false") {
    const why = "Kong's hash matched when it was saved, and does not match these bytes";
    return { ...nothing, result: "bad", code: "SNAPSHOT_CORRUPT", why };
  }
  return { ...nothing, result: "good" };
}
