/** Decides which entities go: those the target does not take, and those that cannot be without them. */

import {
  ENTERPRISE_VAULT_BACKENDS,
  foreignKeysOf,
  kindOrigin,
  referencesIn,
} from "../checks/entity-schema.ts";
import { entityTitle, idOf, isRow, type Row } from "../checks/entity-title.ts";
import { type KongTarget, whyNoMember, whyNoPlugin } from "../checks/kong-target.ts";
import { elementPieces, type JsonMember, type JsonSpan } from "../json-members.ts";

/**
 * - `member`: a top-level member with all it held.
 * - `entity`: one entity.
 * - `field`: a field of several entities of one kind.
 */
export type Change =
  | {
      readonly kind: "member";
      readonly message: string;
      readonly member: string;
      readonly entities: number;
    }
  | {
      readonly kind: "entity";
      readonly message: string;
      readonly entityKind: string;
      readonly id: string | undefined;
    }
  | {
      readonly kind: "field";
      readonly message: string;
      readonly entityKind: string;
      readonly field: string;
      readonly entities: number;
    };

export interface DroppedEntities {
  has(entity: JsonSpan): boolean;
  /** In the config's order. */
  readonly changes: readonly Change[];
}

/** `members`: those that stay. */
export function dropEntities(
  config: Uint8Array,
  members: readonly JsonMember[],
  target: KongTarget,
): DroppedEntities {
  const changes = new Map<number, Change>();
  const toFollow: Dropped[] = [];
  const drop = ({ kind, index, start }: EntitySpan, row: Row, why: string): void => {
    if (changes.has(start)) return;
    const title = entityTitle(kind, row, index);
    const id = idOf(row);
    changes.set(start, {
      kind: "entity",
      message: `dropped ${title}: ${why}`,
      entityKind: kind,
      id,
    });
    if (id !== undefined) toFollow.push({ kind, id, title });
  };
  for (const member of members) {
    for (const entity of entitiesOf(config, member)) {
      const why = whyDropEntity(entity.kind, entity.row, target);
      if (why !== undefined) drop(entity, entity.row, why);
    }
  }
  if (toFollow.length > 0) {
    const referring = indexReferences(config, members);
    for (let next = toFollow.pop(); next !== undefined; next = toFollow.pop()) {
      const { kind, id, title } = next;
      const affected = [keyOf(kind, id), keyOf(ANY_KIND, id)].flatMap(
        (key) => referring.get(key) ?? [],
      );
      for (const place of affected) drop(place, rowAt(config, place), `${title} was dropped`);
    }
  }
  return {
    has: ({ start }) => changes.has(start),
    changes: [...changes].sort(([a], [b]) => a - b).map(([, change]) => change),
  };
}

interface Dropped {
  readonly kind: string;
  readonly id: string;
  readonly title: string;
}

const ANY_KIND = "*";

function keyOf(kind: string, id: string): string {
  return `${kind} ${id}`;
}

/** By what they refer to. Of a custom plugin's kinds any field may be a reference. */
function indexReferences(
  config: Uint8Array,
  members: readonly JsonMember[],
): ReadonlyMap<string, readonly EntitySpan[]> {
  const references = new Map<string, EntitySpan[]>();
  const add = (key: string, { kind, index, start, end }: EntitySpan): void => {
    const list = references.get(key) ?? [];
    references.set(key, list);
    list.push({ kind, index, start, end });
  };
  for (const member of members) {
    const { key: kind } = member;
    const isKnown = kindOrigin(kind) !== undefined;
    for (const entity of entitiesOf(config, member)) {
      for (const { field, kind: referred } of foreignKeysOf(kind)) {
        for (const id of referencesIn(entity.row[field])) add(keyOf(referred, id), entity);
      }
      if (isKnown) continue;
      for (const [field, value] of Object.entries(entity.row)) {
        if (field === "id" || field === "tags") continue;
        for (const id of referencesIn(value)) add(keyOf(ANY_KIND, id), entity);
      }
    }
  }
  return references;
}

/** Where an entity stands; `start` alone tells it from all others. */
interface EntitySpan extends JsonSpan {
  readonly kind: string;
  /** Its number among the elements of its member, from 0. */
  readonly index: number;
}

interface ReadEntity extends EntitySpan {
  readonly row: Row;
}

/** Those elements of the member that are objects, in their order; none where it is no array. Parsed anew each time. */
export function* entitiesOf(
  config: Uint8Array,
  { key: kind, start }: JsonMember,
): Generator<ReadEntity, void> {
  let index = 0;
  for (const piece of elementPieces(config, start)) {
    for (const { value, start, end } of piece) {
      if (isRow(value)) yield { kind, index, start, end, row: value };
      index += 1;
    }
  }
}

function rowAt(config: Uint8Array, { start, end }: EntitySpan): Row {
  const value: unknown = JSON.parse(Buffer.from(config.subarray(start, end)).toString("utf8"));
  return isRow(value) ? value : {};
}

/** Undefined for what stays, unless it refers to what does not. */
function whyDropEntity(kind: string, row: Row, target: KongTarget): string | undefined {
  const { name } = row;
  if (kind === "plugins" && typeof name === "string") {
    const why = whyNoPlugin(name, target);
    if (why !== undefined) return why;
  }
  if (kind === "vaults" && typeof name === "string" && ENTERPRISE_VAULT_BACKENDS.has(name)) {
    return `its backend ${name} is not in open-source Kong`;
  }
  const foreignKey = foreignKeysOf(kind).find(
    (key) => referencesIn(row[key.field]).length > 0 && whyNoMember(key.kind, target) !== undefined,
  );
  return foreignKey && `it refers to ${foreignKey.kind}, which this Kong does not have`;
}
