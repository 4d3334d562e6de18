/** Kong's own hash of a config, recomputed from its bytes: tells whether what was received is what the control plane meant. */

import { isUtf8 } from "node:buffer";
import { createHash, type Hash } from "node:crypto";
import { isArray, type Json, type JsonObject } from "./json-members.ts";
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

/** What a data plane without a config reports. Kong/kong@3.9.1 kong/constants.lua:DECLARATIVE_EMPTY_CONFIG_HASH */
export const EMPTY_CONFIG_HASH = "0".repeat(32);

/** Whether `value` can be a config's hash on Kong's wire: 32 lower-case hex digits, not all zero. */
export function isConfigHash(value: unknown): value is string {
  return typeof value === "string" && /^[0-9a-f]{32}$/.test(value) && value !== EMPTY_CONFIG_HASH;
}

/** The parts that are hashed on their own, in Kong's order. Kong/kong@3.9.1 kong/clustering/config_helper.lua */
const PARTS = ["routes", "services", "plugins", "upstreams", "targets"] as const;

/** The parts (undefined where the config lacks one) and everything else as one object. */
function splitParts(table: JsonObject): {
  readonly parts: readonly (Json | undefined)[];
  readonly rest: JsonObject;
} {
  const rest = Object.entries(table).filter(([key]) => !PARTS.some((part) => part === key));
  return { parts: PARTS.map((part) => table[part]), rest: Object.fromEntries(rest) };
}

/** Lua compares bytes; JavaScript compares UTF-16 units, which differ from the surrogates on. */
function keysByBytes(value: JsonObject): readonly string[] {
  const keys = Object.keys(value);
  const plain = !keys.some((key) => /[\ud800-\uffff]/.test(key));
  return plain ? keys.sort() : keys.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
}

/** Kong replaces its buffer by the buffer's MD5 once it is longer than this, bytes. */
const BUFFER_LIMIT = 1_000_000;

/** MD5 of a config as Kong 3.x computes it: 32 lower-case hex digits. */
function hashTable(table: JsonObject): string {
  const { parts, rest } = splitParts(table);
  const digests = [...parts, rest].map((value) =>
    value === undefined ? EMPTY_CONFIG_HASH : hashValue(value),
  );
  return createHash("md5").update(digests.join("")).digest("hex");
}

function hashValue(value: Json): string {
  const buffer = new FoldingBuffer();
  emit(value, buffer);
  return buffer.digest();
}

function emit(value: Json, out: FoldingBuffer): void {
  out.fold();
  if (value === null) out.append("/null/");
  else if (typeof value === "string") out.append(value);
  else if (typeof value === "number") out.append(formatLuaNumber(value));
  else if (typeof value === "boolean") out.append(value ? "true" : "false");
  else if (isArray(value)) emitArray(value, out);
  else emitObject(value, out);
}

/** Up to five elements are joined by `;`, more are each followed by one; an empty array is an empty Lua table. */
function emitArray(value: readonly Json[], out: FoldingBuffer): void {
  if (value.length === 0) {
    out.append("{}");
    return;
  }
  const trailing = value.length > 5;
  value.forEach((element, index) => {
    emit(element, out);
    if (trailing || index < value.length - 1) out.append(";");
  });
}

function emitObject(value: JsonObject, out: FoldingBuffer): void {
  const keys = keysByBytes(value);
  if (keys.length === 0) out.append("{}");
  for (const key of keys) {
    out.append(`${key}:`);
    emit(value[key] ?? null, out);
    out.append(";");
  }
}

/** Bytes that only ever serve to be hashed: kept as a running MD5 and their count. */
class FoldingBuffer {
  #hash: Hash = createHash("md5");
  #bytes = 0;
  /** Text not yet given to the hash: one update per piece would cost more than the hashing. */
  #pending = "";

  append(text: string): void {
    this.#pending += text;
    if (this.#pending.length > 16_384) this.#flush();
  }

  /** Kong looks at the length on entry to every value, so the moment matters. */
  fold(): void {
    // A UTF-16 unit is at most three bytes, so most calls need not count.
    if (this.#bytes + this.#pending.length * 3 <= BUFFER_LIMIT) return;
    this.#flush();
    if (this.#bytes <= BUFFER_LIMIT) return;
    const digest = this.#hash.digest();
    this.#hash = createHash("md5").update(digest);
    this.#bytes = digest.length;
  }

  digest(): string {
    this.#flush();
    return this.#hash.digest("hex");
  }

  #flush(): void {
    this.#bytes += Buffer.byteLength(this.#pending);
    this.#hash.update(this.#pending);
    this.#pending = "";
  }
}

/** MD5 of a config as Kong 2.8 computes it: 32 lower-case hex digits. */
function hashLegacyTable(table: JsonObject): string {
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

const SIGNIFICANT_DIGITS = 14;

/** `10`, `0.9`, `1e+14`, `1700000000.123`, `1e-05`. Exact decimal ties round half up, where C rounds half even. */
function formatLuaNumber(value: number): string {
  if (Number.isInteger(value) && Math.abs(value) < 1e14) {
    return Object.is(value, -0) ? "-0" : String(value);
  }
  const [mantissa = "", exponentText = "0"] = value
    .toExponential(SIGNIFICANT_DIGITS - 1)
    .split("e");
  const exponent = Number(exponentText);
  if (exponent >= -4 && exponent < SIGNIFICANT_DIGITS) {
    return withoutTrailingZeros(value.toFixed(SIGNIFICANT_DIGITS - 1 - exponent));
  }
  const digits = String(Math.abs(exponent)).padStart(2, "0");
  return `${withoutTrailingZeros(mantissa)}e${exponent < 0 ? "-" : "+"}${digits}`;
}

function withoutTrailingZeros(decimal: string): string {
  return decimal.includes(".") ? decimal.replace(/\.?0+$/, "") : decimal;
}
