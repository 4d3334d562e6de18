/** Finds, without a Kong, what would make Kong refuse a config: before the day on which it is needed. */

import { printableLine } from "../config-refusal.ts";
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
 * Enterprise does not describe in public, is never found wrong. Takes a multiple of the config's
 * length in memory, for it is parsed as a whole. Throws SyntaxError where it is not JSON.
 */
export function checkConfig(
  config: Uint8Array,
  kongVersion: KongVersion,
  { plugins = [], edition = "any" }: CheckOptions = {},
): readonly ConfigFinding[] {
  const table = parseTable(config);
  const target: KongTarget = { version: kongVersion, edition, plugins };
  const findings = new Findings();
  checkFormatVersion(table["_format_version"], target, findings);
  const index = new EntityIndex();
  const kinds = Object.entries(table).map(([kind, value]) => [kind, rowsIn(value)] as const);
  for (const [kind, rows] of kinds) for (const row of rows) index.add(kind, row);
  for (const [kind, rows] of kinds) {
    const why = whyNoMember(kind, target);
    if (why !== undefined) {
      findings.add({
        kind: "unknown-member",
        message: `top-level member "${printableLine(kind)}": ${why}`,
      });
    }
    rows.forEach((row, place) => {
      checkEntity({ kind, row, place }, { target, index, findings });
    });
  }
  return findings.list();
}

function parseTable(config: Uint8Array): Row {
  const text = Buffer.from(config.buffer, config.byteOffset, config.length).toString("utf8");
  const table: unknown = JSON.parse(text);
  return isRow(table) ? table : {};
}

/** An empty Lua table may be `{}`. */
function rowsIn(value: unknown): readonly Row[] {
  return Array.isArray(value) ? value.filter(isRow) : [];
}

/** Kong/kong@2.8.5, @3.9.1 kong/db/schema/others/declarative_config.lua */
function checkFormatVersion(value: unknown, { version }: KongTarget, findings: Findings): void {
  const allowed = isAtLeast(version, "3.0") ? ["1.1", "2.1", "3.0"] : ["1.1", "2.1"];
  if (typeof value === "string" && allowed.includes(value)) return;
  findings.add({
    kind: "format-version",
    message: `_format_version: Kong ${version} takes ${allowed.join(", ")} and nothing else`,
  });
}
