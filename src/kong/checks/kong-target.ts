/** The Kong for which a config is meant, as far as it decides what the config may hold. */

import { KONG_PLUGIN_NAMES, OPEN_SOURCE_PLUGINS } from "../plugins.ts";
import type { KongVersion } from "../version.ts";
import { kindOrigin, TOP_LEVEL_SETTINGS } from "./entity-schema.ts";

/** `any`: what Enterprise documents is taken for known, for a version does not always tell the edition. */
export type KongEdition = "any" | "open-source";

export interface KongTarget {
  readonly version: KongVersion;
  readonly edition: KongEdition;
  /** Of KONG_PLUGINS, as written; Kong's own are enabled in any case. */
  readonly plugins: readonly string[];
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
      if (target.edition === "open-source") return notOpenSource(target);
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
  if (target.plugins.includes(name)) return undefined;
  const since = OPEN_SOURCE_PLUGINS.get(name);
  if (since !== undefined) {
    return isAtLeast(target.version, since) ? undefined : cameWith(since, target);
  }
  if (!KONG_PLUGIN_NAMES.includes(name)) return "neither Kong's own nor in KONG_PLUGINS";
  return target.edition === "any" ? undefined : notOpenSource(target);
}

/** Compares major and minor number; `since` is `major.minor`. */
export function isAtLeast(version: KongVersion, since: string): boolean {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const [sinceMajor = 0, sinceMinor = 0] = since.split(".").map(Number);
  return major > sinceMajor || (major === sinceMajor && minor >= sinceMinor);
}

/** Whether a kind that is in no list may yet be right: a custom plugin's own, or Enterprise's, which are not all public. */
function isOpen(name: string, { version, edition, plugins }: KongTarget): boolean {
  if (name.startsWith("_")) return false;
  if (edition === "any" && isEnterprise(version)) return true;
  return plugins.some((plugin) => !KEYWORDS.has(plugin) && !KONG_PLUGIN_NAMES.includes(plugin));
}

/** By its 4th number or its suffix. */
function isEnterprise(version: KongVersion): boolean {
  return /^\d+\.\d+\.\d+\.\d+/.test(version) || version.includes("enterprise");
}

function cameWith(since: string, { version }: KongTarget): string {
  return `it came with Kong ${since}, and this is for ${version}`;
}

function notOpenSource({ version }: KongTarget): string {
  return `not in open-source Kong ${version}`;
}

/** See `plugins` in Kong's kong.conf. */
const KEYWORDS: ReadonlySet<string> = new Set(["bundled", "off"]);
