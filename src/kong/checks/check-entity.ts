/** What can be said against one entity of a config. */

import { hearsay } from "../../core/hearsay.ts";
import { printableLine } from "../config-refusal.ts";
import { ENTERPRISE_VAULT_BACKENDS, isForeignField } from "./entity-fields.ts";
import type { EntityIndex } from "./entity-index.ts";
import { KINDS_OF_NO_WORKSPACE, KINDS_WITHOUT_ID, kindOrigin } from "./entity-kinds.ts";
import { entityTitle, idOf, type Row } from "./entity-title.ts";
import type { ConfigFindingKind, Findings } from "./finding.ts";
import { foreignKeysOf, referencesIn } from "./foreign-keys.ts";
import { type KongTarget, whyNoPlugin } from "./kong-target.ts";

export interface Entity {
  readonly kind: string;
  readonly row: Row;
  /** Its place among its kind, from 0. */
  readonly place: number;
}

/** By itself. */
export function checkAlone(entity: Entity, target: KongTarget, findings: Findings): void {
  for (const problem of targetProblems(entity, target)) report(entity, problem, findings);
  if (lacksId(entity)) report(entity, ["missing-id", "it has no id"], findings);
}

/** Among all others, which `index` knows. */
export function checkAmongAll(entity: Entity, index: EntityIndex, findings: Findings): void {
  for (const problem of sharedValues(entity, index)) report(entity, problem, findings);
  for (const problem of danglingReferences(entity, index)) report(entity, problem, findings);
}

type Problem = readonly [ConfigFindingKind, string];

function report({ kind, row, place }: Entity, problem: Problem, findings: Findings): void {
  const [findingKind, what] = problem;
  findings.add(findingKind, () => ({
    message: `${entityTitle(kind, row, place)}: ${what}`,
    entity: { kind, id: idOf(row) },
  }));
}

function targetProblems({ kind, row }: Entity, target: KongTarget): readonly Problem[] {
  const problems: Problem[] = [];
  const { name } = row;
  if (kind === "plugins" && typeof name === "string") {
    const why = whyNoPlugin(name, target);
    if (why !== undefined) problems.push(["unknown-plugin", why]);
  }
  const belongsNowhere = KINDS_OF_NO_WORKSPACE.has(kind) && (row["ws_id"] ?? null) !== null;
  if (belongsNowhere) {
    problems.push(["workspace-id", "it has a ws_id, and its kind belongs to no workspace"]);
  }
  if (target.edition === "any") return problems;
  if (!belongsNowhere && "ws_id" in row) {
    problems.push(["workspace-id", "it has a ws_id, which open-source Kong does not know"]);
  }
  if (kind === "vaults" && typeof name === "string" && ENTERPRISE_VAULT_BACKENDS.has(name)) {
    problems.push(["unknown-vault", `its backend ${name} is not in open-source Kong`]);
  }
  for (const field of Object.keys(row)) {
    if (field === "ws_id" || !isForeignField(kind, field, target.version)) continue;
    const problem = `open-source Kong has no field ${printableLine(field)} here`;
    problems.push(["unknown-field", problem]);
  }
  return problems;
}

/** A custom plugin's kind may have another primary key, and Enterprise's are not all public. */
function lacksId({ kind, row }: Entity): boolean {
  if (idOf(row) !== undefined || KINDS_WITHOUT_ID.has(kind)) return false;
  const origin = kindOrigin(kind)?.kind;
  return origin === "core" || origin === "plugin";
}

function sharedValues(entity: Entity, index: EntityIndex): readonly Problem[] {
  const { kind, row } = entity;
  if (kindOrigin(kind) === undefined || lacksId(entity)) return [];
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
