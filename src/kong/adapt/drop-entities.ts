/** Decides which entities go: those the target does not take, and those that cannot be without them. */

import { kindOrigin } from "../checks/entity-kinds.ts";
import { entityTitle, idOf, type Row } from "../checks/entity-title.ts";
import { foreignKeysOf, referencesIn } from "../checks/foreign-keys.ts";
import type { KongTarget } from "../checks/kong-target.ts";
import type { JsonMember, JsonSpan } from "../json-members.ts";
import type { Change } from "./change.ts";
import { entitiesOf, type Place, rowAt } from "./entities.ts";
import { whyDropEntity } from "./why-drop.ts";

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
  const drop = ({ kind, index, start }: Place, row: Row, why: string): void => {
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
): ReadonlyMap<string, readonly Place[]> {
  const references = new Map<string, Place[]>();
  const add = (key: string, { kind, index, start, end }: Place): void => {
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
