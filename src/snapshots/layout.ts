/** Where things lie below the store's prefix; the same layout Kong Enterprise documents, so that both can read it. */

import type { KongVersion } from "../kong/version.ts";
import type { Key } from "../store/port.ts";

/** The current fallback config of one Kong version. */
export function currentKey(version: KongVersion): Key {
  return `${version}/config.json`;
}

/** Written at start to learn whether the store honours conditional writes; holds nothing of value. */
export function preconditionsProbeKey(version: KongVersion): Key {
  return `${version}/election/preconditions-probe.json`;
}

/** The version whose config lies under `key`; undefined for every other object. */
export function versionOfCurrentKey(key: Key): string | undefined {
  return /^([^/]+)\/config\.json$/.exec(key)?.[1];
}
