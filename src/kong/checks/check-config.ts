/** Finds, without a Kong, what would make Kong refuse a config: before the day on which it is needed. */

import { setImmediate } from "node:timers/promises";
import { printableLine } from "../config-refusal.ts";
import { elementPieces } from "../json-elements.ts";
import { type JsonMember, jsonMembers } from "../json-members.ts";
import type { KongVersion } from "../version.ts";
import { checkAlone, checkAmongAll, type Entity } from "./check-entity.ts";
import { EntityIndex } from "./entity-index.ts";
import { isRow } from "./entity-title.ts";
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
  const target: KongTarget = { version: kongVersion, edition, plugins };
  const findings = new Findings();
  // Of a member that stands twice a parser takes the last.
  const members = [...new Map(jsonMembers(config).map((member) => [member.key, member])).values()];
  const format = members.find(({ key }) => key === "_format_version");
  checkFormatVersion(format && valueAt(config, format), target, findings);
  const index = new EntityIndex();
  for (const member of members) {
    const why = whyNoMember(member.key, target);
    if (why !== undefined) {
      const message = `top-level member "${printableLine(member.key)}": ${why}`;
      findings.add("unknown-member", () => ({ message }));
    }
    yield* eachEntity(config, member, (entity) => {
      checkAlone(entity, target, findings);
      index.add(entity.kind, entity.row);
    });
  }
  // Most configs are spared the second look.
  for (const member of members.filter(({ key }) => !index.isFlawless(key))) {
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
      if (isRow(value)) visit({ kind, row: value, place });
      place += 1;
    }
    yield;
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
