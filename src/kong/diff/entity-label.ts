/** How an entity of a config is called in front of people: by its name and by what it belongs to, with no secret in it. */

import { isArray, type Json, type JsonObject } from "../json-members.ts";
import { HIDDEN, isPlainKind, mask, maskText } from "./mask.ts";

export interface EntityRef {
  /** Undefined where the entity has none, as one written by hand. */
  readonly id: string | undefined;
  /** `echo`, `key-auth (route orders)`; `""` where nothing can be said. */
  readonly label: string;
}

/** Names of the entities that others refer to, by id. */
export type NameIndex = ReadonlyMap<string, string>;

/** Fields that name an entity, the best first. */
const NAMES = ["name", "username", "custom_id", "target", "prefix", "group", "kid"] as const;
/** Fields that say to what an entity belongs. */
const OWNERS = [
  "service",
  "route",
  "consumer",
  "consumer_group",
  "upstream",
  "certificate",
  "set",
] as const;
const REFERRED_KINDS = [
  "services",
  "routes",
  "consumers",
  "consumer_groups",
  "upstreams",
  "key_sets",
] as const;

export function indexNames(table: JsonObject): NameIndex {
  const names = new Map<string, string>();
  for (const kind of REFERRED_KINDS) {
    const entities = table[kind] ?? null;
    if (!isArray(entities)) continue;
    for (const entity of entities) {
      const id = memberText(entity, "id");
      const name = ownName(kind, entity);
      if (id !== undefined && name !== undefined) names.set(id, name);
    }
  }
  return names;
}

export function labelOf(kind: string, entity: Json, names: NameIndex): EntityRef {
  const owners = OWNERS.flatMap((owner) => {
    const given = memberText(entity, owner) ?? memberText(member(entity, owner), "id");
    if (given === undefined) return [];
    // One written by hand is referred to by its name.
    const name = names.get(given) ?? shown(kind, owner, given);
    return name === undefined ? [] : [`${owner} ${name}`];
  });
  const belongs = owners.length === 0 ? "" : `(${owners.join(", ")})`;
  const id = memberText(entity, "id");
  return {
    id: id === undefined ? undefined : shown(kind, "id", id),
    label: [ownName(kind, entity) ?? "", belongs].filter((part) => part !== "").join(" "),
  };
}

/** What tells an entity from others of its kind, in this config and the next. May hold secrets: not for people. */
export function identityOf(entity: Json): string {
  const id = memberText(entity, "id");
  if (id !== undefined) return `id ${id}`;
  const telling = ["key", "instance_name", ...NAMES, ...OWNERS].map((name) => member(entity, name));
  return JSON.stringify(telling);
}

function ownName(kind: string, entity: Json): string | undefined {
  if (!isPlainKind(kind)) return undefined;
  for (const field of NAMES) {
    const text = memberText(entity, field);
    if (text === undefined) continue;
    const name = maskText(text, false);
    const instance = memberText(entity, "instance_name");
    return instance === undefined ? name : `${name} ${maskText(instance, false)}`;
  }
  return undefined;
}

function shown(kind: string, field: string, text: string): string | undefined {
  const masked = mask(kind, [field], text);
  return masked === HIDDEN || typeof masked !== "string" ? undefined : masked;
}

function member(value: Json, name: string): Json {
  if (value === null || typeof value !== "object" || isArray(value)) return null;
  return value[name] ?? null;
}

function memberText(value: Json, name: string): string | undefined {
  const text = member(value, name);
  return typeof text === "string" && text !== "" ? text : undefined;
}
