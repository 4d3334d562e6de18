/** Reads which Kong rehearses for which version, and what happens where it cannot. */

import { type KongVersion, parseKongVersion } from "../../kong/version.ts";
import { parseHttpUrl } from "./parsers.ts";
import type { SettingsReader } from "./reader.ts";
import type { SettingName } from "./table.ts";

export interface RehearsalSettings {
  readonly mode: "required" | "best-effort";
  /** For one rehearsal in all. */
  readonly timeoutMs: number;
  /** URLs of Admin APIs. Has every version of KONG_VERSION, or `mode` is `best-effort`; empty: nothing is rehearsed. */
  readonly urls: ReadonlyMap<KongVersion, string>;
  /** URLs of Status APIs; of some of these versions, or none. */
  readonly statusUrls: ReadonlyMap<KongVersion, string>;
}

/** One URL, or one for each version. */
type PerVersion = string | ReadonlyMap<KongVersion, string>;

const EXPECTED =
  "a URL like http://host:port, without credentials, or a list like 3.8.1=URL,3.9.1=URL";

export function readRehearsal(
  read: SettingsReader,
  versions: readonly KongVersion[],
): RehearsalSettings {
  const mode = read.oneOf("KONG_FALLBACK_REHEARSAL", ["required", "best-effort"]) ?? "required";
  const urls = readUrls(read, "KONG_FALLBACK_REHEARSAL_URL", versions);
  const without = versions.filter((version) => !urls.has(version));
  if (mode === "required" && urls.size > 0 && without.length > 0) {
    read.fault(
      "KONG_FALLBACK_REHEARSAL_URL",
      `has none for ${without.join(", ")} of KONG_VERSION: add them, or set KONG_FALLBACK_REHEARSAL=best-effort`,
    );
  }
  return {
    mode,
    timeoutMs: read.seconds("KONG_FALLBACK_REHEARSAL_TIMEOUT", 1, 3_600),
    urls,
    statusUrls: readUrls(read, "KONG_FALLBACK_REHEARSAL_STATUS_URL", versions),
  };
}

/** One URL alone belongs to the only version, and is a fault where there are several: a Kong rehearses for its own. */
function readUrls(
  read: SettingsReader,
  name: SettingName,
  versions: readonly KongVersion[],
): ReadonlyMap<KongVersion, string> {
  const value = read.parsed(name, EXPECTED, parsePerVersion) ?? new Map<KongVersion, string>();
  if (typeof value !== "string") return value;
  if (versions.length > 1) {
    read.fault(name, "must name one for each version of KONG_VERSION: 3.8.1=URL,3.9.1=URL");
  }
  return new Map(versions.map((version) => [version, value]));
}

function parsePerVersion(text: string): PerVersion | undefined {
  if (!/^\s*\d[^=/]*=/.test(text)) return parseHttpUrl(text);
  const urls = new Map<KongVersion, string>();
  for (const part of text.split(",")) {
    const [, versionText = "", urlText = ""] = /^\s*([^=]+)=(\S+)\s*$/.exec(part) ?? [];
    const version = parseKongVersion(versionText);
    const url = parseHttpUrl(urlText);
    if (version === undefined || url === undefined || urls.has(version)) return undefined;
    urls.set(version, url);
  }
  return urls;
}
