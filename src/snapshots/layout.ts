/** Where things lie below the store's prefix; the same layout Kong Enterprise documents, so that both can read it. */

import type { KongVersion } from "../kong/version.ts";
import type { Key } from "../store/port.ts";

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
export function versionOfCurrentKey(key: Key): string | undefined {
  return /^([^/]+)\/config\.json$/.exec(key)?.[1];
}

/** The version of which `key` is the current config or one of the history; undefined for every other object. */
export function versionOfSnapshotKey(key: Key): string | undefined {
  return versionOfCurrentKey(key) ?? /^([^/]+)\/history\/[^/]+\.json\.gz$/.exec(key)?.[1];
}
