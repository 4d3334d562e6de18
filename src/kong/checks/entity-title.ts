/** What an entity is called in a message: its kind, its name and its id, and no other value of it. */

import { printableLine } from "../config-refusal.ts";

/** Of every other kind the id alone is shown: what identifies a credential may be the secret itself. */
const NAME_FIELDS: ReadonlyMap<string, string> = new Map([
  ["cloned_plugins", "name"],
  ["consumer_groups", "name"],
  ["consumers", "username"],
  ["custom_plugins", "name"],
  ["filter_chains", "name"],
  ["key_sets", "name"],
  ["keys", "name"],
  ["plugins", "name"],
  ["routes", "name"],
  ["services", "name"],
  ["snis", "name"],
  ["targets", "target"],
  ["upstreams", "name"],
  ["vaults", "prefix"],
  ["workspaces", "name"],
]);

/** An entity of a config, parsed, with any fields. */
export type Row = { readonly [field: string]: unknown };

/** `plugin "rate-limiting" (id 4d8c...)`; `services[3]` where it has neither name nor id. `index`: its place among its kind. */
export function entityTitle(kind: string, row: Row, index: number): string {
  const field = NAME_FIELDS.get(kind);
  const name = field === undefined ? undefined : row[field];
  const id = idOf(row);
  const hasName = typeof name === "string" && name !== "";
  if (!hasName && id === undefined) return `${printableLine(kind)}[${index}]`;
  const singular = printableLine(kind).replace(/s$/, "");
  return [
    singular,
    ...(hasName ? [`"${printableLine(name)}"`] : []),
    ...(id === undefined ? [] : [`(id ${printableLine(id)})`]),
  ].join(" ");
}

export function idOf(row: Row): string | undefined {
  const id = row["id"];
  return typeof id === "string" && id !== "" ? id : undefined;
}

export function isRow(value: unknown): value is Row {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
