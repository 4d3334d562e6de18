/** Which other Kong versions' snapshots may stand in where none was saved for the wanted one: only older ones, and only near ones. */

import type { KongVersion } from "../kong/version.ts";

/**
 * - `exact`: none.
 * - `patch`: older ones with the same major and minor number; of Enterprise also those that differ
 *   only in the 4th number.
 * - `minor`: older ones with the same major number.
 */
export type VersionMatch = "exact" | "patch" | "minor";

/**
 * Those of `available` that may stand in for `wanted`, the nearest first. A missing 4th number counts
 * as 0. The suffix, as in `3.9.1-enterprise-edition`, must be the same: it tells editions and
 * preliminary versions apart, and those have no order.
 */
export function olderVersions(
  wanted: KongVersion,
  available: readonly KongVersion[],
  match: VersionMatch,
): readonly KongVersion[] {
  if (match === "exact") return [];
  const own = parse(wanted);
  // How many numbers, from the left, must be the same.
  const same = match === "patch" ? 2 : 1;
  return available
    .filter((version) => version !== wanted)
    .map((version) => ({ version, ...parse(version) }))
    .filter(
      ({ numbers, suffix }) =>
        suffix === own.suffix &&
        compare(numbers.slice(0, same), own.numbers.slice(0, same)) === 0 &&
        compare(numbers, own.numbers) <= 0,
    )
    .sort((a, b) => compare(b.numbers, a.numbers))
    .map(({ version }) => version);
}

/**
 * Whether a snapshot saved for `a` is to be preferred to one saved for `b`, however old they are: the
 * wanted version comes before all others, a nearer one before a farther one. False both ways where
 * they are equally near.
 */
export function isNearer(wanted: KongVersion, a: KongVersion, b: KongVersion): boolean {
  if (a === b || b === wanted) return false;
  // Of two that are equally near, the first given comes first.
  return a === wanted || olderVersions(wanted, [b, a], "minor")[0] === a;
}

interface Parts {
  /** Four. */
  readonly numbers: readonly number[];
  readonly suffix: string;
}

function parse(version: KongVersion): Parts {
  const dash = version.indexOf("-");
  const suffix = dash === -1 ? "" : version.slice(dash);
  const numbers = (dash === -1 ? version : version.slice(0, dash)).split(".").map(Number);
  return { numbers: [...numbers, 0].slice(0, 4), suffix };
}

function compare(a: readonly number[], b: readonly number[]): number {
  const index = a.findIndex((number, place) => number !== b[place]);
  return index === -1 ? 0 : (a[index] ?? 0) - (b[index] ?? 0);
}
