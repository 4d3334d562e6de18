/** Which entities a config has, to be looked up by id, by name, and by what must be unique among them. */

import { idOf, type Row } from "./entity-title.ts";
import { uniqueFieldsOf } from "./unique-fields.ts";

/** How often something was seen. */
type Counts = Map<string, number>;

export class EntityIndex {
  readonly #ids = new Map<string, Counts>();
  /** By kind and field; a value is preceded by its workspace. */
  readonly #values = new Map<string, Counts>();
  /** By kind: what an entity may be named by instead of its id. */
  readonly #names = new Map<string, Set<string>>();

  add(kind: string, row: Row): void {
    const id = idOf(row);
    if (id !== undefined) count(this.#ids, kind, id);
    uniqueFieldsOf(kind).forEach((field, place) => {
      const value = row[field];
      if (typeof value !== "string") return;
      count(this.#values, `${kind}.${field}`, inWorkspace(row, value));
      if (place > 0) return;
      const names = this.#names.get(kind) ?? new Set();
      this.#names.set(kind, names.add(value));
    });
  }

  hasKind(kind: string): boolean {
    return this.#ids.has(kind);
  }

  /** `reference`: an id, or in a config written by hand a name. */
  has(kind: string, reference: string): boolean {
    const isId = this.#ids.get(kind)?.has(reference) === true;
    return isId || this.#names.get(kind)?.has(reference) === true;
  }

  sharesId(kind: string, id: string): boolean {
    return (this.#ids.get(kind)?.get(id) ?? 0) > 1;
  }

  /** Fields of which another entity of its kind and workspace has the same value. */
  sharedFields(kind: string, row: Row): readonly string[] {
    return uniqueFieldsOf(kind).filter((field) => {
      const value = row[field];
      if (typeof value !== "string") return false;
      return (this.#values.get(`${kind}.${field}`)?.get(inWorkspace(row, value)) ?? 0) > 1;
    });
  }
}

function inWorkspace(row: Row, value: string): string {
  const workspace = row["ws_id"];
  return `${typeof workspace === "string" ? workspace : ""} ${value}`;
}

function count(index: Map<string, Counts>, name: string, value: string): void {
  const counts: Counts = index.get(name) ?? new Map();
  index.set(name, counts.set(value, (counts.get(value) ?? 0) + 1));
}
