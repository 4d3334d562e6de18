/** Kong's config hash in 2.x. Kong/kong@2.8.5 kong/clustering/config_helper.lua, quirks included. */

import { createHash } from "node:crypto";
import {
  EMPTY_CONFIG_HASH,
  isArray,
  type Json,
  type JsonObject,
  keysByBytes,
  splitParts,
} from "./config-parts.ts";
import { formatLuaNumber } from "./lua-number.ts";

/** MD5 of a config as Kong 2.8 computes it: 32 lower-case hex digits. */
export function hashLegacyTable(table: JsonObject): string {
  const { parts, rest } = splitParts(table);
  const digests = parts.map((value) =>
    value === undefined ? EMPTY_CONFIG_HASH : md5(flatten(value)).toString("hex"),
  );
  return md5(flatten(rest) + digests.join("")).toString("hex");
}

/** Bytes are carried in a string, one character a byte (latin1), because raw MD5 digests are mixed in. */
function flatten(value: Json): string {
  if (value === null) return "/null/";
  if (typeof value === "string") return bytesOf(value);
  if (typeof value === "number") return formatLuaNumber(value);
  if (typeof value === "boolean") return value ? "true" : "false";
  if (isArray(value)) return value.length === 0 ? "{}" : flattenArray(value);
  return flattenObject(value);
}

function flattenArray(value: readonly Json[]): string {
  if (value.length <= 5) return value.map(flatten).join(";");
  // As in Lua, `out` is overwritten in place and never shortened: at every 100th element its first
  // hundred entries become one digest. From the 200th on the newest stands behind those and is lost.
  const out: string[] = [];
  let used = 0;
  value.forEach((element, index) => {
    out[used] = flatten(element);
    used += 1;
    if ((index + 1) % 100 === 0) {
      out[0] = rawMd5(out.slice(0, 100).join(";"));
      used = 1;
    }
  });
  return rawMd5(out.slice(0, used).join(";"));
}

function flattenObject(value: JsonObject): string {
  const keys = keysByBytes(value);
  if (keys.length === 0) return "{}";
  const text = keys.map((key) => `${bytesOf(key)}:${flatten(value[key] ?? null)}`).join(";");
  return text.length > 512 ? rawMd5(text) : text;
}

function bytesOf(text: string): string {
  return Buffer.from(text, "utf8").toString("latin1");
}

function rawMd5(bytes: string): string {
  return md5(bytes).toString("latin1");
}

function md5(bytes: string): Buffer {
  return createHash("md5").update(bytes, "latin1").digest();
}
