/** Kong's own hash of a config, recomputed from its bytes: tells whether what was received is what the control plane meant. */

import { isUtf8 } from "node:buffer";
import { hashTable } from "./config-hash-current.ts";
import { hashLegacyTable } from "./config-hash-legacy.ts";
import type { JsonObject } from "./config-parts.ts";
import type { KongVersion } from "./version.ts";

/**
 * Compares `configHash` with the hash of `config` by the algorithm of that Kong's major version.
 * "false" is normal where the control plane rewrote the payload for an older data plane: it keeps
 * the hash of the original. "unchecked": no hash came, the config is longer than `maxBytes` (the
 * comparison parses it, which takes memory and time), or holds bytes that are no UTF-8.
 */
export function matchConfigHash(
  config: Uint8Array,
  configHash: string | undefined,
  version: KongVersion,
  maxBytes: number,
): "true" | "false" | "unchecked" {
  if (configHash === undefined || config.length > maxBytes || !isUtf8(config)) return "unchecked";
  return computeConfigHash(config, version) === configHash ? "true" : "false";
}

/** 32 lower-case hex digits. `config` must be one well-formed JSON object. */
export function computeConfigHash(config: Uint8Array, version: KongVersion): string {
  const table = JSON.parse(Buffer.from(config).toString("utf8")) as JsonObject;
  return version.startsWith("2.") ? hashLegacyTable(table) : hashTable(table);
}
