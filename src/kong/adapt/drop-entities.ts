/** Decides which entities go: those the target does not take, and those that cannot be without them. */

import { kindOrigin } from "../checks/entity-kinds.ts";
import { entityTitle, idOf, type Row } from "../checks/entity-title.ts";
import { foreignKeysOf, referencesIn } from "../checks/foreign-keys.ts";
import type { KongTarget } from "../checks/kong-target.ts";
import type { Change } from "./change.ts";
import type { Member, PlacedEntity } from "./members.ts";
import { whyDropEntity } from "./why-drop.ts";

export interface DroppedEntities {
  has(entity: PlacedEntity | undefined): boolean;
  /** In the config's order. */
  readonly changes: readonly Change[];
}

interface Named {
  readonly kind: string;
  readonly entity: PlacedEntity;
  readonly row: Row;
  /** Its place among its kind. */
  readonly place: number;
}

/** `members`: those that stay. */
export function dropEntities(members: readonly Member[], target: KongTarget): DroppedEntities {
  const all = members.flatMap(({ key: kind, entities }) =>
    entities.flatMap((entity, place): readonly Named[] => {
      const { row } = entity;
      return row === undefined ? [] : [{ kind, entity, row, place }];
    }),
  );
  const reasons = new Map<PlacedEntity, string>();
  const toFollow: Named[] = [];
  const drop = (named: Named, why: string): void => {
    if (reasons.has(named.entity)) return;
    reasons.set(named.entity, why);
    toFollow.push(named);
  };
  for (const named of all) {
    const why = whyDropEntity(named.kind, named.row, target);
    if (why !== undefined) drop(named, why);
  }
  if (toFollow.length > 0) {
    const referring = indexReferences(all);
    for (let next = toFollow.pop(); next !== undefined; next = toFollow.pop()) {
      const id = idOf(next.row);
      if (id === undefined) continue;
      const affected = [keyOf(next.kind, id), keyOf(ANY_KIND, id)].flatMap(
        (key) => referring.get(key) ?? [],
      );
      for (const named of affected) drop(named, `${titleOf(next)} was dropped`);
    }
  }
  const changes = all.flatMap((named): readonly Change[] => {
    const why = reasons.get(named.entity);
    if (why === undefined) return [];
    const message = `dropped ${titleOf(named)}: ${why}`;
    return [{ kind: "entity", message, entityKind: named.kind, id: idOf(named.row) }];
  });
  return { has: (entity) => entity !== undefined && reasons.has(entity), changes };
}

const ANY_KIND = "*";

function titleOf({ kind, row, place }: Named): string {
  return entityTitle(kind, row, place);
}

function keyOf(kind: string, id: string): string {
  return `${kind} ${id}`;
}

/** By what they refer to. Of a custom plugin's kinds any field may be a reference. */
function indexReferences(all: readonly Named[]): ReadonlyMap<string, readonly Named[]> {
  const index = new Map<string, Named[]>();
  const add = (key: string, named: Named): void => {
    const list = index.get(key) ?? [];
    index.set(key, list);
    list.push(named);
  };
  for (const named of all) {
    const { kind, row } = named;
    for (const { field, kind: referred } of foreignKeysOf(kind)) {
      for (const id of referencesIn(row[field])) add(keyOf(referred, id), named);
    }
    if (kindOrigin(kind) !== undefined) continue;
    for (const [field, value] of Object.entries(row)) {
      if (field === "id" || field === "tags") continue;
      for (const id of referencesIn(value)) add(keyOf(ANY_KIND, id), named);
    }
  }
  return index;
}
