/** Finds, without a Kong, what would make Kong refuse a config: before the day on which it is needed. */

import { printableLine } from "../config-refusal.ts";
import { eachElement, type JsonSpan, jsonMembers } from "../json-members.ts";
import type { KongVersion } from "../version.ts";
import { checkEntity } from "./check-entity.ts";
import { EntityIndex } from "./entity-index.ts";
import { isRow, type Row } from "./entity-title.ts";
import { type ConfigFinding, Findings } from "./finding.ts";
import { isAtLeast, type KongEdition, type KongTarget, whyNoMember } from "./kong-target.ts";

export interface CheckOptions {
  /** KONG_PLUGINS, as written. Default: Kong's own only. */
  readonly plugins?: readonly string[];
  /** Default `any`. With `open-source` everything that is Enterprise's is found, too. */
  readonly edition?: KongEdition;
}

/**
 * What is wrong with `config` for a Kong of this version; empty for what a control plane sends when
 * it is well. `config` is in the flat form: of entities that stand in others, as a config written by
 * hand may nest them, nothing is seen. By kind of finding, then in the config's order; of each kind the
 * first 100, and a last one that says how many more. What custom plugins bring along, and what
 * Enterprise does not describe in public, is never found wrong. Holds the ids and names of all entities,
 * and one entity at a time. Throws JsonSyntaxError where `config` is not one well-formed JSON object.
 */
export function checkConfig(
  config: Uint8Array,
  kongVersion: KongVersion,
  { plugins = [], edition = "any" }: CheckOptions = {},
): readonly ConfigFinding[] {
  const target: KongTarget = { version: kongVersion, edition, plugins };
  const findings = new Findings();
  // Of a member that stands twice a parser takes the last.
  const members = [...new Map(jsonMembers(config).map((member) => [member.key, member])).values()];
  const format = members.find(({ key }) => key === "_format_version");
  checkFormatVersion(format && valueAt(config, format), target, findings);
  const index = new EntityIndex();
  for (const member of members) eachRow(config, member, (row) => index.add(member.key, row));
  for (const member of members) {
    const { key: kind } = member;
    const why = whyNoMember(kind, target);
    if (why !== undefined) {
      const message = `top-level member "${printableLine(kind)}": ${why}`;
      findings.add("unknown-member", () => ({ message }));
    }
    eachRow(config, member, (row, place) => {
      checkEntity({ kind, row, place }, { target, index, findings });
    });
  }
  return findings.list();
}

function eachRow(
  config: Uint8Array,
  { start }: JsonSpan,
  visit: (row: Row, place: number) => void,
): void {
  let place = 0;
  eachElement(config, start, (span) => {
    const row = valueAt(config, span);
    if (isRow(row)) visit(row, place);
    place += 1;
  });
}

function valueAt(config: Uint8Array, { start, end }: JsonSpan): unknown {
  const value = Buffer.from(config.buffer, config.byteOffset + start, end - start);
  return JSON.parse(value.toString("utf8"));
}

/** Kong/kong@2.8.5, @3.9.1 kong/db/schema/others/declarative_config.lua */
function checkFormatVersion(value: unknown, { version }: KongTarget, findings: Findings): void {
  const allowed = isAtLeast(version, "3.0") ? ["1.1", "2.1", "3.0"] : ["1.1", "2.1"];
  if (typeof value === "string" && allowed.includes(value)) return;
  const message = `_format_version: Kong ${version} takes ${allowed.join(", ")} and nothing else`;
  findings.add("format-version", () => ({ message }));
}
