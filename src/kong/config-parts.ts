/** What Kong's two hash algorithms share: the hash's format and how a config is split before hashing. */

/** Any JSON value. */
export type Json = null | boolean | number | string | readonly Json[] | JsonObject;
export type JsonObject = { readonly [key: string]: Json };

/** What a data plane without a config reports. Kong/kong@3.9.1 kong/constants.lua:DECLARATIVE_EMPTY_CONFIG_HASH */
export const EMPTY_CONFIG_HASH = "0".repeat(32);

/** Whether `value` can be a config's hash on Kong's wire: 32 lower-case hex digits, not all zero. */
export function isConfigHash(value: unknown): value is string {
  return typeof value === "string" && /^[0-9a-f]{32}$/.test(value) && value !== EMPTY_CONFIG_HASH;
}

/** The parts that are hashed on their own, in Kong's order. Kong/kong@3.9.1 kong/clustering/config_helper.lua */
const PARTS = ["routes", "services", "plugins", "upstreams", "targets"] as const;

/** The parts (undefined where the config lacks one) and everything else as one object. */
export function splitParts(table: JsonObject): {
  readonly parts: readonly (Json | undefined)[];
  readonly rest: JsonObject;
} {
  const rest = Object.entries(table).filter(([key]) => !PARTS.some((part) => part === key));
  return { parts: PARTS.map((part) => table[part]), rest: Object.fromEntries(rest) };
}

/** Lua compares bytes; JavaScript compares UTF-16 units, which differ from the surrogates on. */
export function keysByBytes(value: JsonObject): readonly string[] {
  const keys = Object.keys(value);
  const plain = !keys.some((key) => /[\ud800-\uffff]/.test(key));
  return plain ? keys.sort() : keys.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
}

/** `Array.isArray` does not narrow readonly arrays. */
export function isArray(value: Json): value is readonly Json[] {
  return Array.isArray(value);
}
