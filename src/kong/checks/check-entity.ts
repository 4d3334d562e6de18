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

interface Scene {
  readonly target: KongTarget;
  readonly index: EntityIndex;
  readonly findings: Findings;
}

export function checkEntity(entity: Entity, { target, index, findings }: Scene): void {
  const { kind, row, place } = entity;
  const report = ([findingKind, problem]: Problem): void => {
    findings.add(findingKind, () => ({
      message: `${entityTitle(kind, row, place)}: ${problem}`,
      entity: { kind, id: idOf(row) },
    }));
  };
  targetProblems(entity, target).forEach(report);
  idProblems(entity, index).forEach(report);
  for (const problem of danglingReferences(entity, index)) report(problem);
}

type Problem = readonly [ConfigFindingKind, string];

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
function idProblems({ kind, row }: Entity, index: EntityIndex): readonly Problem[] {
  const origin = kindOrigin(kind)?.kind;
  if (origin === undefined) return [];
  const id = idOf(row);
  const needsId = origin !== "enterprise" && !KINDS_WITHOUT_ID.has(kind);
  if (id === undefined && needsId) return [["missing-id", "it has no id"]];
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
