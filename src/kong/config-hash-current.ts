/** Kong's config hash since 3.0. Kong/kong@3.9.1 kong/clustering/config_helper.lua, checked against frames of a real 3.9.1. */

import { createHash, type Hash } from "node:crypto";
import {
  EMPTY_CONFIG_HASH,
  isArray,
  type Json,
  type JsonObject,
  keysByBytes,
  splitParts,
} from "./config-parts.ts";
import { formatLuaNumber } from "./lua-number.ts";

/** Kong replaces its buffer by the buffer's MD5 once it is longer than this, bytes. */
const BUFFER_LIMIT = 1_000_000;

/** MD5 of a config as Kong 3.x computes it: 32 lower-case hex digits. */
export function hashTable(table: JsonObject): string {
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
