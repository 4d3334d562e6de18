/** A control plane's binary message, as a data plane reads it. */

import { unzipSync } from "node:zlib";
import { computeConfigHash } from "../../src/kong/config-hash.ts";
import { kongVersion } from "./config.ts";

export interface ReceivedConfig {
  /** As given, whatever it is; else the data plane's own. */
  readonly hash: string;
  readonly table: Readonly<Record<string, unknown>>;
}

/**
 * Undefined for a message of another type, which is ignored. Throws on what kills the connection of
 * a real one: neither gzip nor zlib, no JSON, no `config_table`.
 */
export function readConfig(message: Uint8Array, version: string): ReceivedConfig | undefined {
  const value = JSON.parse(unzipSync(message).toString("utf8")) as Record<string, unknown>;
  if (value["type"] !== "reconfigure") return undefined;
  const { config_table: table, config_hash: given } = value;
  if (typeof table !== "object" || table === null) throw new Error("no config_table");
  const hash =
    typeof given === "string"
      ? given
      : computeConfigHash(Buffer.from(JSON.stringify(table)), kongVersion(version));
  return { hash, table: { ...table } };
}
