/** What can be wrong with a config, as one line for a person, and a bounded list of such lines. */

/**
 * - `format-version`: its `_format_version` is not one that this Kong takes.
 * - `unknown-member`: a top-level member, mostly a kind of entities, that this Kong does not know.
 * - `unknown-plugin`: a plugin that this Kong does not have.
 * - `unknown-vault`: a vault whose backend this Kong does not have. Looked for in open-source Kong only.
 * - `unknown-field`: a field that this Kong does not have. Looked for in open-source Kong only.
 * - `workspace-id`: `ws_id` on a kind that belongs to no workspace; in open-source Kong, on any kind.
 * - `missing-id`, `duplicate-id`: an entity without an id; two of a kind with the same.
 * - `duplicate-value`: two of a kind and workspace share what must be unique, as their name.
 * - `dangling-reference`: what it names does not exist.
 * - `more`: the last one, where not all are listed.
 */
export type ConfigFindingKind = (typeof ORDER)[number];

export interface ConfigFinding {
  readonly kind: ConfigFindingKind;
  /** Names and ids, never another value. */
  readonly message: string;
  readonly entity?: { readonly kind: string; readonly id: string | undefined };
}

const ORDER = [
  "format-version",
  "unknown-member",
  "unknown-plugin",
  "unknown-vault",
  "unknown-field",
  "workspace-id",
  "missing-id",
  "duplicate-id",
  "duplicate-value",
  "dangling-reference",
  "more",
] as const;

/** Of each kind, so that many of one do not hide another. A config comes from outside and may be wrong in every row. */
const MAX_OF_A_KIND = 100;

export class Findings {
  readonly #listed = new Map<ConfigFindingKind, ConfigFinding[]>();
  #more = 0;

  /** `finding` is called only where it will be listed. */
  add(kind: ConfigFindingKind, finding: () => Omit<ConfigFinding, "kind">): void {
    const ofKind = this.#listed.get(kind) ?? [];
    this.#listed.set(kind, ofKind);
    if (ofKind.length < MAX_OF_A_KIND) ofKind.push({ kind, ...finding() });
    else this.#more += 1;
  }

  /** By kind, in the order of ConfigFindingKind's list, then as they were added. */
  list(): readonly ConfigFinding[] {
    const listed = ORDER.flatMap((kind) => this.#listed.get(kind) ?? []);
    if (this.#more === 0) return listed;
    return [...listed, { kind: "more", message: `and ${this.#more} more of these` }];
  }
}
