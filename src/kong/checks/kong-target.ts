/** The Kong for which a config is meant, as far as it decides what the config may hold. */

import { printableLine } from "../config-refusal.ts";
import type { JsonMember } from "../json-members.ts";
import {
  definedPlugins,
  enabledPlugins,
  KONG_PLUGIN_NAMES,
  neededPlugin,
  OPEN_SOURCE_PLUGINS,
  type PluginDefinitions,
} from "../plugins.ts";
import { isAtLeast, isEnterprise, type KongVersion } from "../version.ts";
import { kindOrigin, TOP_LEVEL_SETTINGS } from "./entity-schema.ts";
import type { UnknownField } from "./fields.ts";

/**
 * `any`: what the version tells: one of three numbers below 3.10, the last open-source release, is taken for
 * open source; for any other version what Enterprise documents is known.
 */
export type KongEdition = "any" | "open-source";

export interface KongTarget {
  readonly version: KongVersion;
  readonly edition: KongEdition;
  /** KONG_PLUGINS, as written. */
  readonly plugins: readonly string[];
  /** By the config that is meant for it. */
  readonly defined: PluginDefinitions;
}

/** `config`: what is meant for it, with its members. It defines plugins only where the target knows that it can. */
export function targetOf(
  config: Uint8Array,
  members: readonly JsonMember[],
  kong: Omit<KongTarget, "defined">,
): KongTarget {
  const none: PluginDefinitions = { custom: new Set(), clones: new Map() };
  const defined = definedPlugins(config, members);
  const bare: KongTarget = { ...kong, defined: none };
  return {
    ...kong,
    defined: {
      custom: whyNoMember("custom_plugins", bare) === undefined ? defined.custom : none.custom,
      clones: whyNoMember("cloned_plugins", bare) === undefined ? defined.clones : none.clones,
    },
  };
}

/** Why the target does not know this top-level member; undefined where it does, or where nobody can tell. */
export function whyNoMember(name: string, target: KongTarget): string | undefined {
  if (TOP_LEVEL_SETTINGS.has(name)) return undefined;
  const origin = kindOrigin(name);
  switch (origin?.kind) {
    case "core":
      if (origin.since !== undefined && !isAtLeast(target.version, origin.since))
        return cameWith(origin.since, target);
      if (origin.before !== undefined && isAtLeast(target.version, origin.before))
        return `it went with Kong ${origin.before}, and this is for ${target.version}`;
      return undefined;
    case "plugin":
      return whyNoPlugin(origin.plugin, target);
    case "enterprise":
      if (isOpenSource(target)) return notOpenSource(target);
      return origin.since !== undefined && !isAtLeast(target.version, origin.since)
        ? cameWith(origin.since, target)
        : undefined;
    case undefined:
      return isOpen(name, target) ? undefined : `no Kong ${target.version} is known to have it`;
    default:
      return origin satisfies never;
  }
}

/** Why the target has no such plugin; undefined where it has, or may have. */
export function whyNoPlugin(name: string, target: KongTarget): string | undefined {
  const needed = neededPlugin(name, target.defined);
  if (needed === undefined) return undefined;
  const why = whyNotInstalled(needed, target);
  return why === undefined || needed === name
    ? why
    : `it is a clone of ${printableLine(needed)}: ${why}`;
}

function whyNotInstalled(name: string, target: KongTarget): string | undefined {
  const { named, bundled } = enabledPlugins(target.plugins);
  if (named.has(name)) return undefined;
  const since = OPEN_SOURCE_PLUGINS.get(name);
  if (since !== undefined && !isAtLeast(target.version, since)) return cameWith(since, target);
  if (!KONG_PLUGIN_NAMES.includes(name)) return "neither Kong's own nor in KONG_PLUGINS";
  if (since === undefined && isOpenSource(target)) return notOpenSource(target);
  return bundled ? undefined : "KONG_PLUGINS does not name it, nor bundled";
}

export function isOpenSource({
  edition,
  version,
}: Pick<KongTarget, "edition" | "version">): boolean {
  return edition === "open-source" || !isEnterprise(version);
}

/** Why the target does not have the field, which is of open-source Kong's own entities or plugins. */
export function whyNoField({ since }: UnknownField, target: KongTarget): string {
  return since === undefined ? notOpenSource(target) : cameWith(since, target);
}

/** Whether a kind that is in no list may yet be right: a custom plugin's own, or Enterprise's, which are not all public. */
function isOpen(name: string, { version, edition, plugins }: KongTarget): boolean {
  if (name.startsWith("_")) return false;
  if (!isOpenSource({ edition, version })) return true;
  return [...enabledPlugins(plugins).named].some((plugin) => !KONG_PLUGIN_NAMES.includes(plugin));
}

function cameWith(since: string, { version }: Pick<KongTarget, "version">): string {
  return `it came with Kong ${since}, and this is for ${version}`;
}

function notOpenSource({ version }: KongTarget): string {
  return `not in open-source Kong ${version}`;
}
