/** Which entities a config has, to be looked up by id, by name, and by what must be unique among them. */

import {
  foreignKeysOf,
  KINDS_UNIQUE_EVERYWHERE,
  referencesIn,
  uniqueFieldsOf,
} from "./entity-schema.ts";
import { idOf, type Row } from "./entity-title.ts";

/** Of one kind. */
interface Kind {
  readonly ids: Tally;
  readonly fields: readonly UniqueField[];
  /** What an entity may be named by instead of its id. */
  readonly names: Set<string>;
  /** By kind: what it refers to that was not there yet. */
  readonly awaited: Map<string, Set<string>>;
}

interface UniqueField {
  readonly field: string;
  readonly byScope: Map<string, Tally>;
}

export class EntityIndex {
  readonly #kinds = new Map<string, Kind>();

  /** What the row refers to, too, is kept in mind, for `isFlawless`. */
  add(kind: string, row: Row): void {
    const of = this.#kindOf(kind);
    const id = idOf(row);
    if (id !== undefined) of.ids.add(id);
    of.fields.forEach(({ field, byScope }, place) => {
      const [value] = referencesIn(row[field]);
      if (value === undefined) return;
      entry(byScope, scopeOf(kind, row), () => new Tally()).add(value);
      if (place === 0) of.names.add(value);
    });
    for (const { field, kind: referred } of foreignKeysOf(kind)) {
      for (const reference of referencesIn(row[field])) {
        if (this.has(referred, reference)) continue;
        entry(of.awaited, referred, () => new Set()).add(reference);
      }
    }
  }

  hasKind(kind: string): boolean {
    return (this.#kinds.get(kind)?.ids.size ?? 0) > 0;
  }

  /** `reference`: an id, or in a config written by hand a name. */
  has(kind: string, reference: string): boolean {
    const of = this.#kinds.get(kind);
    return of !== undefined && (of.ids.has(reference) || of.names.has(reference));
  }

  /** Once all are added: whether no two of the kind share anything, and all they refer to is there. */
  isFlawless(kind: string): boolean {
    const of = this.#kinds.get(kind);
    if (of === undefined) return true;
    return (
      !of.ids.hasShared &&
      of.fields.every(({ byScope }) => [...byScope.values()].every((t) => !t.hasShared)) &&
      [...of.awaited].every(([referred, references]) =>
        [...references].every((reference) => this.has(referred, reference)),
      )
    );
  }

  sharesId(kind: string, id: string): boolean {
    return this.#kinds.get(kind)?.ids.isShared(id) === true;
  }

  /** Fields of which another entity of its kind has the same value, where it must be unique: in its workspace or everywhere. */
  sharedFields(kind: string, row: Row): readonly string[] {
    const fields = this.#kinds.get(kind)?.fields ?? [];
    return fields.flatMap(({ field, byScope }) => {
      const [value] = referencesIn(row[field]);
      const isShared =
        value !== undefined && byScope.get(scopeOf(kind, row))?.isShared(value) === true;
      return isShared ? [field] : [];
    });
  }

  #kindOf(kind: string): Kind {
    return entry(this.#kinds, kind, () => ({
      ids: new Tally(),
      fields: uniqueFieldsOf(kind).map((field) => ({ field, byScope: new Map() })),
      names: new Set(),
      awaited: new Map(),
    }));
  }
}

/** What was seen, and what of it more than once. */
class Tally {
  readonly #seen = new Set<string>();
  readonly #shared = new Set<string>();

  get size(): number {
    return this.#seen.size;
  }

  get hasShared(): boolean {
    return this.#shared.size > 0;
  }

  add(value: string): void {
    const before = this.#seen.size;
    this.#seen.add(value);
    if (this.#seen.size === before) this.#shared.add(value);
  }

  has(value: string): boolean {
    return this.#seen.has(value);
  }

  isShared(value: string): boolean {
    return this.#shared.has(value);
  }
}

/** The workspace within which its values must be unique; `""` for the default one and for all of Kong. */
function scopeOf(kind: string, row: Row): string {
  if (KINDS_UNIQUE_EVERYWHERE.has(kind)) return "";
  const workspace = row["ws_id"];
  return typeof workspace === "string" ? workspace : "";
}

function entry<V>(map: Map<string, V>, key: string, make: () => V): V {
  const found = map.get(key);
  if (found !== undefined) return found;
  const made = make();
  map.set(key, made);
  return made;
}
