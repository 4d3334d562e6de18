/** Where things lie below the store's prefix, and what they are called; the same layout Kong Enterprise documents, so that both can read it. */

import { type KongVersion, parseKongVersion } from "../kong/version.ts";
import type { Key } from "../store/port.ts";
import type { SnapshotMetadata } from "./snapshot.ts";

/** The current fallback config of one Kong version. */
export function currentKey(version: KongVersion): Key {
  return `${version}/config.json`;
}

/** Below it lie the configs that were saved or held back, in objects that end in HISTORY_SUFFIX. */
export function historyPrefix(version: KongVersion): Key {
  return `${version}/history`;
}

export const HISTORY_SUFFIX = ".json.gz";

/** Which exporter may write: the lease of the `store` election. */
export function leaseKey(version: KongVersion): Key {
  return `${version}/election/lease.json`;
}

/** Written at start to learn whether the store honours conditional writes; holds nothing of value. */
export function preconditionsProbeKey(version: KongVersion): Key {
  return `${version}/election/preconditions-probe.json`;
}

/** The version whose config lies under `key`; undefined for every other object. */
export function versionOfCurrentKey(key: Key): KongVersion | undefined {
  const [, version = ""] = /^([^/]+)\/config\.json$/.exec(key) ?? [];
  return parseKongVersion(version);
}

/** Of which version `key` is the current config or one of the history, and whether it was held back; undefined for every other object. */
export function parseSnapshotKey(
  key: Key,
): { readonly version: KongVersion; readonly held: boolean } | undefined {
  const [, text = "", held] =
    /^([^/]+)\/(?:config\.json|history\/[^/]+?(\.held)?\.json\.gz)$/.exec(key) ?? [];
  const version = parseKongVersion(text);
  return version && { version, held: held !== undefined };
}

/** What an entry of the history is called: when it was taken, which config it is, whether it was held back. */
export interface HistoryId {
  /** As text: `20261121T113500.123Z-0123456789ab`, and `.held` after it where it was held back. Sorts by time. */
  readonly id: string;
  readonly at: Date;
  /** 12 lower-case hex digits: see `historyHash`. */
  readonly hash: string;
  readonly held: boolean;
}

const HISTORY_ID = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d\.\d{3})Z-([0-9a-f]{12})(\.held)?$/;

export function historyId(at: Date, hash: string, held: boolean): HistoryId {
  const time = at.toISOString().replaceAll(/[-:]/g, "");
  return { id: `${time}-${hash}${held ? ".held" : ""}`, at, hash, held };
}

/** Undefined for what `historyId` does not make. */
export function parseHistoryId(text: string): HistoryId | undefined {
  const [, year, month, day, hours, minutes, seconds, hash, held] = HISTORY_ID.exec(text) ?? [];
  if (hash === undefined) return undefined;
  const at = new Date(`${year}-${month}-${day}T${hours}:${minutes}:${seconds}Z`);
  if (Number.isNaN(at.getTime())) return undefined;
  const parsed = historyId(at, hash, held !== undefined);
  // A 31st of February is read as a day of March.
  return parsed.id === text ? parsed : undefined;
}

/** The beginning of Kong's hash of the config, or of its SHA-256 where none came. */
export function historyHash({ configHash, sha256 }: SnapshotMetadata): string {
  return (configHash ?? sha256).slice(0, 12);
}
