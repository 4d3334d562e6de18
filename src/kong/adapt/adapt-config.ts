/** Makes a control plane's config fit a DB-less open-source Kong, which would refuse the whole of it for one thing it does not know. */

import { foreignFields } from "../checks/entity-schema.ts";
import { isRow, type Row } from "../checks/entity-title.ts";
import type { UnknownField } from "../checks/fields.ts";
import { type KongTarget, targetOf, whyNoField, whyNoMember } from "../checks/kong-target.ts";
import { printableLine } from "../config-refusal.ts";
import { elementsOf, type JsonMember, type JsonSpan, jsonMembers } from "../json-members.ts";
import type { KongVersion } from "../version.ts";
import { applyCuts, cutItems } from "./cuts.ts";
import { type Change, type DroppedEntities, dropEntities, entitiesOf } from "./drop-entities.ts";

export interface AdaptTarget {
  readonly kongVersion: KongVersion;
  /** The target's KONG_PLUGINS, as written. Kong's own stay in any case: what is easily enabled there may be what lets in known clients only. */
  readonly plugins: readonly string[];
}

export interface AdaptedConfig {
  /** The same object where nothing was changed. */
  readonly config: Uint8Array;
  /** In the config's order: members, entities, fields. */
  readonly changes: readonly Change[];
}

/**
 * Takes out what an open-source Kong of this version does not know: kinds, plugins, vaults, fields,
 * every `ws_id`, and what refers to an entity that was taken out: made null, a reference would turn
 * a plugin for some into one for all. Nothing is added, renamed or re-written, so two entities that only
 * their workspaces told apart remain; `checkConfig` with the edition `open-source` finds them, and the
 * fields of plugins that cannot be left out without changing what they do. Services, routes, consumers
 * and their certificates are never taken out. `config` is one well-formed JSON object. Holds some
 * entities at a time, and what is to be cut. Idempotent.
 */
export function adaptConfig(
  config: Uint8Array,
  { kongVersion, plugins }: AdaptTarget,
): AdaptedConfig {
  const members = jsonMembers(config);
  const target = targetOf(config, members, {
    version: kongVersion,
    edition: "open-source",
    plugins: ["bundled", ...plugins],
  });
  const reasons = new Map<JsonMember, string>();
  for (const member of members) {
    const why = whyDropMember(config, member, target);
    if (why !== undefined) reasons.set(member, why);
  }
  const kept = members.filter((member) => !reasons.has(member));
  const dropped = dropEntities(config, kept, target);
  const fields = kept.map((member) => fieldCuts(config, member, dropped, target));
  const changes = [
    ...[...reasons].map(([member, why]) => memberChange(config, member, why)),
    ...dropped.changes,
    ...fields.flatMap((of) => of.changes),
  ];
  if (changes.length === 0) return { config, changes };
  const open = config.indexOf(OPEN_BRACE) + 1;
  const cuts = [
    cutItems(config, open, members, (member) => reasons.has(member)),
    ...kept.map(({ start }) => {
      return cutItems(config, start + 1, elementsOf(config, start), (item) => dropped.has(item));
    }),
    ...fields.map((of) => of.cuts),
  ];
  return { config: applyCuts(config, cuts.flat()), changes };
}

const OPEN_BRACE = 0x7b;
const OPEN_BRACKET = 0x5b;

function memberChange(config: Uint8Array, { key, start }: JsonMember, why: string): Change {
  let entities = 0;
  for (const _ of elementsOf(config, start)) entities += 1;
  const what = entities === 0 ? "" : ` (${entities})`;
  return {
    kind: "member",
    message: `dropped ${printableLine(key)}${what}: ${why}`,
    member: key,
    entities,
  };
}

function fieldCuts(
  config: Uint8Array,
  member: JsonMember,
  dropped: DroppedEntities,
  target: KongTarget,
): { readonly cuts: readonly JsonSpan[]; readonly changes: readonly Change[] } {
  const cuts: JsonSpan[] = [];
  const counts = new Map<string, { field: string; of: string; why: string; entities: number }>();
  const kind = member.key;
  for (const entity of entitiesOf(config, member)) {
    if (dropped.has(entity)) continue;
    const { row, start, end } = entity;
    const fields = new Map(
      droppedFields(kind, row, target.version).map((it) => [it.path.join("."), it]),
    );
    if (fields.size === 0) continue;
    for (const [path, field] of fields) {
      const isConfig = field.path[0] === "config" && kind === "plugins";
      const of = isConfig ? `plugins ${JSON.stringify(row["name"])}` : kind;
      const key = `${of} ${path}`;
      const why = whyNoField(field, target);
      const count = counts.get(key) ?? { field: path, of, why, entities: 0 };
      counts.set(key, { ...count, entities: count.entities + 1 });
    }
    const paths = [...fields.values()].map(({ path }) => path);
    cuts.push(...cutFields(config, { start, end }, paths));
  }
  const changes = [...counts.values()].map(({ field, of, why, entities }): Change => {
    const what = `the field ${printableLine(field)} of ${entities} of ${printableLine(of)}`;
    return { kind: "field", message: `dropped ${what}: ${why}`, entityKind: kind, field, entities };
  });
  return { cuts, changes };
}

/** Cuts every value at one of the paths below the object or list; a list's elements are at its own path. */
function cutFields(
  config: Uint8Array,
  { start, end }: JsonSpan,
  paths: readonly (readonly string[])[],
): readonly JsonSpan[] {
  if (config[start] === OPEN_BRACKET) {
    return [...elementsOf(config, start)].flatMap((item) => cutFields(config, item, paths));
  }
  if (config[start] !== OPEN_BRACE) return [];
  const members = jsonMembers(config.subarray(start, end)).map((member) => ({
    key: member.key,
    start: member.start + start,
    end: member.end + start,
  }));
  const isCut = ({ key }: JsonMember) =>
    paths.some(([name, ...rest]) => {
      return name === key && rest.length === 0;
    });
  const inner = members
    .filter((member) => !isCut(member))
    .flatMap((member) => {
      const below = paths.flatMap(([name, ...rest]) => (name === member.key ? [rest] : []));
      return below.length === 0 ? [] : cutFields(config, member, below);
    });
  return [...cutItems(config, start + 1, members, isCut), ...inner];
}

/**
 * Null and an empty list say no more than that the field exists there; a DB-less Kong refuses even that.
 * Of plugins only `ordering` and what came with a later Kong may go with its value, as Kong's own control
 * planes leave it out for older data planes (Kong/kong@3.9.1 kong/clustering/compat); without any other
 * field the plugin would do something else.
 */
function droppedFields(kind: string, row: Row, version: KongVersion): readonly UnknownField[] {
  const workspace =
    "ws_id" in row ? [{ path: ["ws_id"], since: undefined, value: row["ws_id"] }] : [];
  const foreign = foreignFields(kind, row, version).filter(
    ({ path: [field], since, value }) =>
      isEmpty(value) || kind !== "plugins" || field === "ordering" || since !== undefined,
  );
  return [...workspace, ...foreign];
}

/** Lua may write an empty list as `{}`. */
function isEmpty(value: unknown): boolean {
  return value === null || (typeof value === "object" && Object.keys(value).length === 0);
}

/** Undefined for what stays. */
function whyDropMember(
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

/** In open-source Kong both are records without fields. Kong/kong@3.9.1 kong/db/schema/entities/workspaces.lua */
function hasSettings(row: Row): boolean {
  return [row["config"], row["meta"]].some(
    (settings) => isRow(settings) && Object.keys(settings).length > 0,
  );
}
