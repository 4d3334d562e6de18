/** Finds, without a Kong, what would make Kong refuse a config: before the day on which it is needed. */

import { setImmediate } from "node:timers/promises";
import { hearsay } from "../../core/hearsay.ts";
import { printableLine } from "../config-refusal.ts";
import { elementPieces, type JsonMember, jsonMembers } from "../json-members.ts";
import { isAtLeast, type KongVersion } from "../version.ts";
import { EntityIndex } from "./entity-index.ts";
import {
  ENTERPRISE_VAULT_BACKENDS,
  foreignFields,
  foreignKeysOf,
  KINDS_OF_NO_WORKSPACE,
  kindOrigin,
  nestingKeyOf,
  referencesIn,
  uniqueFieldsOf,
} from "./entity-schema.ts";
import { entityTitle, idOf, isRow, type Row } from "./entity-title.ts";
import {
  isOpenSource,
  type KongEdition,
  type KongTarget,
  targetOf,
  whyNoField,
  whyNoMember,
  whyNoPlugin,
} from "./kong-target.ts";

export interface CheckOptions {
  /** KONG_PLUGINS, as written. Default: `bundled`, all of Kong's own and no other. */
  readonly plugins?: readonly string[];
  /** Default `any`. With `open-source` everything that is Enterprise's is found, whatever the version tells, and every `ws_id`. */
  readonly edition?: KongEdition;
}

/**
 * What is wrong with `config` for a Kong of this version; empty for what a control plane sends when
 * it is well, and for what a hand wrote as Kong takes it: without ids, and with entities that stand
 * inside those they belong to, which are checked like the others. By kind of finding, then in the config's order; of each kind the
 * first 100, and a last one that says how many more. What custom plugins bring along, and what
 * Enterprise does not describe in public, is never found wrong. Holds the ids and names of all entities,
 * and some entities at a time. Throws JsonSyntaxError where `config` is not one well-formed JSON object.
 */
export function checkConfig(
  config: Uint8Array,
  kongVersion: KongVersion,
  options: CheckOptions = {},
): readonly ConfigFinding[] {
  const checking = checkInPieces(config, kongVersion, options);
  for (;;) {
    const step = checking.next();
    if (step.done) return step.value;
  }
}

/** What checkConfig does, a few milliseconds at a time: in between, others have their turn. */
export async function checkConfigInTurns(
  config: Uint8Array,
  kongVersion: KongVersion,
  options: CheckOptions = {},
): Promise<readonly ConfigFinding[]> {
  const checking = checkInPieces(config, kongVersion, options);
  for (;;) {
    const step = checking.next();
    if (step.done) return step.value;
    await setImmediate();
  }
}

/** Yields after each piece of work. */
function* checkInPieces(
  config: Uint8Array,
  kongVersion: KongVersion,
  { plugins = [], edition = "any" }: CheckOptions,
): Generator<undefined, readonly ConfigFinding[]> {
  const findings = new Findings();
  // Of a member that stands twice a parser takes the last.
  const members = [...new Map(jsonMembers(config).map((member) => [member.key, member])).values()];
  const target = targetOf(config, members, { version: kongVersion, edition, plugins });
  const format = members.find(({ key }) => key === "_format_version");
  checkFormatVersion(format && valueAt(config, format), target, findings);
  const index = new EntityIndex();
  const kindsIn = new Map<JsonMember, Set<string>>();
  for (const member of members) {
    const why = whyNoMember(member.key, target);
    if (why !== undefined) {
      const message = `top-level member "${printableLine(member.key)}": ${why}`;
      findings.add("unknown-member", () => ({ message }));
    }
    const kinds = new Set<string>();
    kindsIn.set(member, kinds);
    yield* eachEntity(config, member, (entity) => {
      kinds.add(entity.kind);
      checkAlone(entity, target, findings);
      index.add(entity.kind, entity.row);
    });
  }
  // Most configs are spared the second look.
  for (const [member, kinds] of kindsIn) {
    if ([...kinds].every((kind) => index.isFlawless(kind))) continue;
    yield* eachEntity(config, member, (entity) => checkAmongAll(entity, index, findings));
  }
  return findings.list();
}

function* eachEntity(
  config: Uint8Array,
  { key: kind, start }: JsonMember,
  visit: (entity: Entity) => void,
): Generator<undefined, void> {
  let place = 0;
  for (const piece of elementPieces(config, start)) {
    for (const { value } of piece) {
      const at = place++;
      if (!isRow(value)) continue;
      visitWithNested({ kind, row: value, title: () => entityTitle(kind, value, at) }, visit);
    }
    yield;
  }
}

/** The entity, then those that stand inside it, each with the foreign key that its place stands for. */
function visitWithNested(entity: Entity, visit: (entity: Entity) => void): void {
  visit(entity);
  const { row } = entity;
  const [name] = uniqueFieldsOf(entity.kind).map((field) => row[field]);
  const reference = idOf(row) ?? name;
  for (const [kind, children] of Object.entries(row)) {
    if (!Array.isArray(children)) continue;
    const key = nestingKeyOf(kind, entity.kind);
    if (key === undefined) continue;
    children.filter(isRow).forEach((child, place) => {
      const title = () => `${entityTitle(kind, child, place)} in ${entity.title()}`;
      const nested = reference === undefined ? child : { [key]: reference, ...child };
      visitWithNested({ kind, row: nested, title }, visit);
    });
  }
}

function valueAt(config: Uint8Array, { start, end }: JsonMember): unknown {
  return JSON.parse(Buffer.from(config.subarray(start, end)).toString("utf8"));
}

/** Kong/kong@2.8.5, @3.9.1 kong/db/schema/others/declarative_config.lua */
function checkFormatVersion(value: unknown, { version }: KongTarget, findings: Findings): void {
  const allowed = isAtLeast(version, "3.0") ? ["1.1", "2.1", "3.0"] : ["1.1", "2.1"];
  if (typeof value === "string" && allowed.includes(value)) return;
  const message = `_format_version: Kong ${version} takes ${allowed.join(", ")} and nothing else`;
  findings.add("format-version", () => ({ message }));
}

/**
 * - `format-version`: its `_format_version` is not one that this Kong takes.
 * - `unknown-member`: a top-level member, mostly a kind of entities, that this Kong does not know.
 * - `unknown-plugin`: a plugin that this Kong does not have.
 * - `unknown-vault`: a vault whose backend this Kong does not have. Looked for in open-source Kong only.
 * - `unknown-field`: a field, of an entity or of a bundled plugin's `config`, that this Kong does not have. Looked for in open-source Kong only.
 * - `workspace-id`: `ws_id` on a kind that belongs to no workspace; with the edition `open-source`, on any kind.
 * - `duplicate-id`: two of a kind with the same id.
 * - `duplicate-value`: two of a kind share what must be unique, as their name: in a workspace, or everywhere.
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

export interface Entity {
  readonly kind: string;
  readonly row: Row;
  /** How to name it in a message. */
  readonly title: () => string;
}

/** By itself. */
export function checkAlone(entity: Entity, target: KongTarget, findings: Findings): void {
  for (const problem of targetProblems(entity, target)) report(entity, problem, findings);
}

/** Among all others, which `index` knows. */
export function checkAmongAll(entity: Entity, index: EntityIndex, findings: Findings): void {
  for (const problem of sharedValues(entity, index)) report(entity, problem, findings);
  for (const problem of danglingReferences(entity, index)) report(entity, problem, findings);
}

type Problem = readonly [ConfigFindingKind, string];

function report({ kind, row, title }: Entity, problem: Problem, findings: Findings): void {
  const [findingKind, what] = problem;
  findings.add(findingKind, () => ({
    message: `${title()}: ${what}`,
    entity: { kind, id: idOf(row) },
  }));
}

function targetProblems({ kind, row }: Entity, target: KongTarget): readonly Problem[] {
  const problems: Problem[] = [];
  const { name } = row;
  if ((kind === "plugins" || kind === "cloned_plugins") && typeof name === "string") {
    const why = whyNoPlugin(name, target);
    if (why !== undefined) problems.push(["unknown-plugin", why]);
  }
  const belongsNowhere = KINDS_OF_NO_WORKSPACE.has(kind) && (row["ws_id"] ?? null) !== null;
  if (belongsNowhere) {
    problems.push(["workspace-id", "it has a ws_id, and its kind belongs to no workspace"]);
  }
  if (target.edition === "open-source" && !belongsNowhere && "ws_id" in row) {
    problems.push(["workspace-id", "it has a ws_id, which open-source Kong does not know"]);
  }
  if (!isOpenSource(target)) return problems;
  if (kind === "vaults" && typeof name === "string" && ENTERPRISE_VAULT_BACKENDS.has(name)) {
    problems.push(["unknown-vault", `its backend ${name} is not in open-source Kong`]);
  }
  const foreign = foreignFields(kind, row, target.version);
  if (foreign.length === 0) return problems;
  // Of a list each record may have it.
  for (const [path, field] of new Map(foreign.map((it) => [it.path.join("."), it]))) {
    const name = printableLine(path);
    const problem =
      field.since === undefined
        ? `open-source Kong has no field ${name} here`
        : `its field ${name}: ${whyNoField(field, target)}`;
    problems.push(["unknown-field", problem]);
  }
  return problems;
}

function sharedValues(entity: Entity, index: EntityIndex): readonly Problem[] {
  const { kind, row } = entity;
  if (kindOrigin(kind) === undefined) return [];
  const id = idOf(row);
  if (id !== undefined && index.sharesId(kind, id)) {
    return [["duplicate-id", "another of its kind has the same id"]];
  }
  const fields = index.sharedFields(kind, row);
  return fields.map((field) => ["duplicate-value", `another has the same ${field}`]);
}

function* danglingReferences({ kind, row }: Entity, index: EntityIndex): Generator<Problem> {
  for (const { field, kind: referred } of foreignKeysOf(kind)) {
    // Nobody outside knows how Enterprise sends all of its own kinds.
    if (kindOrigin(referred)?.kind === "enterprise" && !index.hasKind(referred)) continue;
    for (const reference of referencesIn(row[field])) {
      if (index.has(referred, reference)) continue;
      // Where a reference belongs somebody may have put the thing itself, as a certificate with its key.
      const shown = printableLine(hearsay(reference)) || "[redacted]";
      yield ["dangling-reference", `its ${field} ${shown} does not exist`];
    }
  }
}
