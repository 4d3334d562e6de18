/** How many entities of each kind a config has: enough to see that one lost most of another, without parsing it. */

import { arrayLengths } from "./json-members.ts";

/** Entities by kind, the name of the top-level array they stand in: `services`, `routes`, a custom plugin's own. */
export type EntityCounts = Readonly<Record<string, number>>;

/** Longest text form, bytes. All of an object's metadata together may be 2 KB: Amazon S3 User Guide, "Working with object metadata". */
const MAX_TEXT_BYTES = 512;
/** Of a config without entities: no store takes an empty value. */
const NONE = "none";

/**
 * A kind is named by a control plane and ends in logs, tables and metadata. None begins with `_`: those
 * are not entities. Kong/kong@3.9.1 kong/db/schema/others/declarative_config.lua
 */
const KIND = /^[A-Za-z][A-Za-z0-9_-]{0,63}$/;
const COUNTED = /^([^=]+)=(\d{1,15})$/;

/**
 * Counts the elements of every top-level array, in the flat form that control planes send. Entities
 * that a config written by hand nests in others, as plugins in their service, are not counted. `{}`,
 * an empty Lua table, counts 0; other values, `_` members and names that no kind has are left out.
 * Throws JsonSyntaxError where `config` is not one well-formed JSON object.
 */
export function countEntities(config: Uint8Array): EntityCounts {
  return Object.fromEntries([...arrayLengths(config)].filter(([name]) => isEntityKind(name)));
}

/** Whether a top-level member of this name can be a kind of entities. */
export function isEntityKind(name: string): boolean {
  return KIND.test(name);
}

/**
 * `routes=20,services=10`: sorted by name, printable ASCII, without the kinds that have none; `none`
 * where all are such. Undefined where it would be longer than 512 bytes: half of it would be no measure.
 */
export function encodeEntityCounts(counts: EntityCounts): string | undefined {
  const text = Object.entries(counts)
    .filter(([, count]) => count > 0)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([kind, count]) => `${kind}=${count}`)
    .join(",");
  if (text.length > MAX_TEXT_BYTES) return undefined;
  return text || NONE;
}

/** What encodeEntityCounts wrote; undefined for any other text. */
export function decodeEntityCounts(text: string): EntityCounts | undefined {
  if (text === NONE) return {};
  const counts = new Map<string, number>();
  for (const part of text.split(",")) {
    const [, kind = "", count] = COUNTED.exec(part) ?? [];
    if (!isEntityKind(kind) || counts.has(kind)) return undefined;
    counts.set(kind, Number(count));
  }
  return Object.fromEntries(counts);
}
