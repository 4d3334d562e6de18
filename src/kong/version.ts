/** A Kong Gateway version as it travels in `node_version` and names a folder of the store. */

/** `major.minor.patch`, an optional 4th number (Enterprise) and an optional suffix: `3.9.1`, `3.4.3.5`, `3.9.1-enterprise-edition`. */
export type KongVersion = string & { readonly __brand: "KongVersion" };

/** Kong/kong@3.9.1 kong/clustering/compat/init.lua reads `^(\d+)\.(\d+)\.\d+` and ignores the rest. */
const PATTERN = /^\d{1,3}\.\d{1,3}\.\d{1,3}(\.\d{1,5})?(-[A-Za-z0-9.-]{1,64})?$/;

/** Undefined if `text` is not a full version: the control plane demands three numbers. */
export function parseKongVersion(text: string): KongVersion | undefined {
  return PATTERN.test(text) ? (text as KongVersion) : undefined;
}

/**
 * Whether a Kong that reports `reported` (`GET /`) is of this version: all numbers are the same, also
 * how many there are, for `3.9.1` is open source and `3.9.1.2` Enterprise, which take different
 * configs. Suffixes do not count.
 */
export function isSameVersion(version: KongVersion, reported: string): boolean {
  return numbersOf(version) === numbersOf(reported);
}

function numbersOf(version: string): string {
  return version.split("-")[0] ?? "";
}

/** Compares major and minor number; `since` is `major.minor`. */
export function isAtLeast(version: KongVersion, since: string): boolean {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const [sinceMajor = 0, sinceMinor = 0] = since.split(".").map(Number);
  return major > sinceMajor || (major === sinceMajor && minor >= sinceMinor);
}

/** By its 4th number or its suffix; one of 3.10 or later, of which there is no open-source release, is Enterprise's, too. */
export function isEnterprise(version: KongVersion): boolean {
  return (
    /^\d+\.\d+\.\d+\.\d+/.test(version) ||
    version.includes("enterprise") ||
    isAtLeast(version, "3.10")
  );
}
