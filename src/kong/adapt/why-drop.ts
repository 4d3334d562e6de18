/** What of a config an open-source Kong does not take, and why. */

import { ENTERPRISE_VAULT_BACKENDS } from "../checks/entity-fields.ts";
import { isRow, type Row } from "../checks/entity-title.ts";
import { foreignKeysOf, referencesIn } from "../checks/foreign-keys.ts";
import { type KongTarget, whyNoMember, whyNoPlugin } from "../checks/kong-target.ts";
import type { JsonMember } from "../json-members.ts";
import { entitiesOf } from "./entities.ts";

/** Undefined for what stays. */
export function whyDropMember(
  config: Uint8Array,
  member: JsonMember,
  target: KongTarget,
): string | undefined {
  if (member.key === "workspaces") {
    for (const { row } of entitiesOf(config, member)) {
      // Without them a config means the same: all its entities are in the default one.
      if (hasSettings(row)) return "they carry settings that open-source Kong does not know";
    }
  }
  return whyNoMember(member.key, target);
}

/** Undefined for what stays, unless it refers to what does not. */
export function whyDropEntity(kind: string, row: Row, target: KongTarget): string | undefined {
  const { name } = row;
  if (kind === "plugins" && typeof name === "string") {
    const why = whyNoPlugin(name, target);
    if (why !== undefined) return why;
  }
  if (kind === "vaults" && typeof name === "string" && ENTERPRISE_VAULT_BACKENDS.has(name)) {
    return `its backend ${name} is not in open-source Kong`;
  }
  const foreignKey = foreignKeysOf(kind).find(
    (key) => referencesIn(row[key.field]).length > 0 && whyNoMember(key.kind, target) !== undefined,
  );
  return foreignKey && `it refers to ${foreignKey.kind}, which this Kong does not have`;
}

/** In open-source Kong both are records without fields. Kong/kong@3.9.1 kong/db/schema/entities/workspaces.lua */
function hasSettings(row: Row): boolean {
  return [row["config"], row["meta"]].some(
    (settings) => isRow(settings) && Object.keys(settings).length > 0,
  );
}
