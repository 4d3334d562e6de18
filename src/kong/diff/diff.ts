/** What differs between two configs, entity by entity and field by field, told without any secret. */

import { isUtf8 } from "node:buffer";
import { isArray, type Json, type JsonObject } from "../json-members.ts";
import { type EntityRef, identityOf, indexNames, labelOf, type NameIndex } from "./entity-label.ts";
import { isHiddenName, mask, maskText } from "./mask.ts";

/** What stands in place of two values that may not be shown, or look the same without their secrets. */
export const CHANGED = "[changed]";

export type FieldChange =
  /** What is hidden in them is masked; null: not there. */
  | { readonly field: string; readonly from: Json; readonly to: Json }
  | { readonly field: string; readonly secret: typeof CHANGED };

export interface EntityChange extends EntityRef {
  readonly fields: readonly FieldChange[];
}

/** Entities in the order of their labels. */
export interface KindDiff {
  /** `services`, `plugins`, `_transform`. */
  readonly kind: string;
  readonly added: readonly EntityRef[];
  readonly removed: readonly EntityRef[];
  readonly changed: readonly EntityChange[];
}

/**
 * Kinds with a difference, by name; none where both mean the same. Entities are told apart by their
 * id, those without by their names and owners; their order, and that of members and of sets like tags
 * or hosts, does not matter, that of lists in a plugin's configuration does. A member that is null counts as
 * missing, `{}` as `[]`: so does Lua. Both must be well-formed JSON objects; throws SyntaxError.
 */
export function diffConfigs(from: Uint8Array, to: Uint8Array): readonly KindDiff[] {
  const before = parse(from);
  const after = parse(to);
  const names = { before: indexNames(before), after: indexNames(after) };
  const kinds = [...new Set([...Object.keys(before), ...Object.keys(after)])].sort();
  return kinds
    .map((kind) =>
      diffKind(kind, entitiesOf(memberOf(before, kind)), entitiesOf(memberOf(after, kind)), names),
    )
    .filter(({ added, removed, changed }) => added.length + removed.length + changed.length > 0);
}

interface Names {
  readonly before: NameIndex;
  readonly after: NameIndex;
}

function diffKind(
  kind: string,
  before: readonly Json[],
  after: readonly Json[],
  names: Names,
): KindDiff {
  const removed: EntityRef[] = [];
  const added: EntityRef[] = [];
  const changed: EntityChange[] = [];
  const groups = groupByIdentity(before);
  const compare = (old: Json | undefined, fresh: Json | undefined) => {
    if (fresh === undefined) removed.push(labelOf(kind, old ?? null, names.before));
    else if (old === undefined) added.push(labelOf(kind, fresh, names.after));
    else {
      const fields = diffFields(kind, old, fresh);
      if (fields.length > 0) changed.push({ ...labelOf(kind, fresh, names.after), fields });
    }
  };
  for (const [identity, fresh] of groupByIdentity(after)) {
    const old = groups.get(identity) ?? [];
    groups.delete(identity);
    for (const [a, b] of pair(old, fresh)) compare(a, b);
  }
  for (const entities of groups.values()) {
    for (const entity of entities) compare(entity, undefined);
  }
  return {
    kind,
    added: added.toSorted(byLabel),
    removed: removed.toSorted(byLabel),
    changed: changed.toSorted(byLabel),
  };
}

/** Several entities of one identity, as those written by hand may be: the same ones first, the rest in a fixed order. */
function pair(
  before: readonly Json[],
  after: readonly Json[],
): readonly (readonly [Json | undefined, Json | undefined])[] {
  if (before.length <= 1 && after.length <= 1) return [[before[0], after[0]]];
  const order = (entities: readonly Json[]) =>
    entities.map((entity) => [canonical(entity), entity] as const).toSorted(byText);
  const [old, fresh] = [order(before), order(after)];
  const counts = new Map<string, number>();
  for (const [text] of fresh) counts.set(text, (counts.get(text) ?? 0) + 1);
  const unmatched = old.filter(([text]) => !takeOne(counts, text));
  // What is counted still has no partner.
  const rest = fresh.filter(([text]) => takeOne(counts, text));
  const length = Math.max(unmatched.length, rest.length);
  return Array.from({ length }, (_, index) => [unmatched[index]?.[1], rest[index]?.[1]]);
}

function takeOne(counts: Map<string, number>, text: string): boolean {
  const count = counts.get(text) ?? 0;
  if (count > 0) counts.set(text, count - 1);
  return count > 0;
}

function groupByIdentity(entities: readonly Json[]): Map<string, Json[]> {
  const groups = new Map<string, Json[]>();
  for (const entity of entities) {
    const identity = identityOf(entity);
    const group = groups.get(identity);
    if (group === undefined) groups.set(identity, [entity]);
    else group.push(entity);
  }
  return groups;
}

function diffFields(kind: string, before: Json, after: Json): readonly FieldChange[] {
  const changes: FieldChange[] = [];
  const compare = (path: readonly string[], a: Json, b: Json): void => {
    const isConfig = path.includes("config");
    const mayDescend = path.length === 0 || !isHiddenName(kind, path);
    const names = mayDescend && isObject(a ?? b) && isObject(b ?? a) ? memberNames(a, b) : [];
    for (const name of names) compare([...path, name], memberOf(a, name), memberOf(b, name));
    if (names.length > 0) return;
    if (a === b || isSame(a, b, isConfig)) return;
    const field = path.map((name) => maskText(name, isConfig)).join(".");
    const [from, to] = [mask(kind, path, a), mask(kind, path, b)];
    changes.push(isSame(from, to, true) ? { field, secret: CHANGED } : { field, from, to });
  };
  compare([], before, after);
  return changes;
}

/** `ordered`: whether the order of lists counts. */
function isSame(a: Json, b: Json, ordered: boolean): boolean {
  return canonical(a, ordered) === canonical(b, ordered);
}

/** One text for all that means the same. */
function canonical(value: Json, ordered = false): string {
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  if (isArray(value)) {
    if (value.length === 0) return "{}";
    const elements = value.map((element) => canonical(element, ordered));
    return `[${(ordered ? elements : elements.sort()).join(",")}]`;
  }
  const members = Object.keys(value)
    .sort()
    .flatMap((name) => {
      const member = value[name] ?? null;
      return member === null
        ? []
        : [`${JSON.stringify(name)}:${canonical(member, ordered || name === "config")}`];
    });
  return `{${members.join(",")}}`;
}

function memberNames(a: Json, b: Json): readonly string[] {
  return [...new Set([...namesOf(a), ...namesOf(b)])].sort();
}

function namesOf(value: Json): readonly string[] {
  return isObject(value) ? Object.keys(value) : [];
}

function memberOf(value: Json, name: string): Json {
  return isObject(value) && Object.hasOwn(value, name) ? (value[name] ?? null) : null;
}

function isObject(value: Json): value is JsonObject {
  return typeof value === "object" && value !== null && !isArray(value);
}

/** What is no list is one entity with that value, such as `_transform`; `{}` is an empty Lua table. */
function entitiesOf(value: Json): readonly Json[] {
  if (value === null) return [];
  if (isArray(value)) return value;
  return isObject(value) && Object.keys(value).length === 0 ? [] : [value];
}

/** Bytes that are no UTF-8, which Kong takes as they are, are read one by one: different ones stay different. */
function parse(config: Uint8Array): JsonObject {
  const text = Buffer.from(config).toString(isUtf8(config) ? "utf8" : "latin1");
  return JSON.parse(text) as JsonObject;
}

function byLabel(a: EntityRef, b: EntityRef): number {
  return byText([`${a.label}\0${a.id}`], [`${b.label}\0${b.id}`]);
}

function byText([a]: readonly [string, ...unknown[]], [b]: readonly [string, ...unknown[]]) {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
