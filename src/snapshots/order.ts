/** Which snapshot comes before which: which may replace what lies there, which is the newer one, which stands in for another Kong version. */

import type { KongVersion } from "../kong/version.ts";
import type { Version } from "../store/port.ts";
import type { Known } from "./current.ts";
import type { SnapshotMetadata } from "./snapshot.ts";

/**
 * How far a control-plane timestamp may lie in the future and still be believed: beyond that the
 * clock that made it was wrong, and obeying it would block every export until the world has caught up.
 */
const MAX_CREDIBLE_LEAD_MS = 5 * 60_000;

/** The rule that keeps one snapshot from replacing another, and what it compared: fencing tokens, or control-plane timestamps in seconds. */
export interface WhyStale {
  readonly rule: "token" | "timestamp";
  readonly stored: number;
  readonly fresh: number;
}

/** What lies there may not be replaced. `stored` is undefined where all but its token is damaged. */
export interface Stale {
  readonly kind: "stale";
  readonly why: WhyStale;
  readonly stored: SnapshotMetadata | undefined;
}

export type SaveDecision =
  /** With these metadata. */
  | { readonly kind: "write"; readonly metadata: SnapshotMetadata }
  | { readonly kind: "unchanged" }
  | Stale;

/**
 * What is to be done with a config, given what lies in the store. `inDoubt`: see isSettled; `now`: see
 * whyStale. A config that lies there already is written again once it was rehearsed, and stays
 * rehearsed whoever writes it again.
 */
export function decideSave(
  fresh: SnapshotMetadata,
  known: Known,
  inDoubt: Version | undefined,
  now: Date,
): SaveDecision {
  if (known.kind === "absent") return { kind: "write", metadata: fresh };
  const { metadata: stored, fencingToken } = known;
  // The token counts even if the config it came with is damaged.
  if (fencingToken > fresh.fencingToken) {
    return { kind: "stale", why: lowerToken(fresh, fencingToken), stored };
  }
  if (stored === undefined) return { kind: "write", metadata: fresh };
  const isSame = isSameConfig(stored, fresh);
  const isNews = fresh.rehearsed === true && stored.rehearsed !== true;
  if (isSame && !isNews && isSettled(known, fresh.fencingToken, inDoubt)) {
    return { kind: "unchanged" };
  }
  const why = whyStale(fresh, stored, now);
  if (!isSame) {
    return why === undefined ? { kind: "write", metadata: fresh } : { kind: "stale", why, stored };
  }
  const metadata = { ...fresh, rehearsed: stored.rehearsed === true || fresh.rehearsed };
  if (why === undefined) return { kind: "write", metadata };
  // It is no older config: it came by a control plane whose clock is behind.
  return { kind: "write", metadata: { ...metadata, controlPlaneTimestamp: why.stored } };
}

/**
 * Whether what lies there stays until this writer replaces it. Not if it was written under a lower
 * token, for a write of that exporter may still be on its way; nor if it has the version `inDoubt`,
 * which a write of our own was to replace that seemed to fail; nor if the keys to seal it changed.
 */
export function isSettled(
  known: Known,
  fencingToken: number,
  inDoubt: Version | undefined,
): boolean {
  return (
    known.kind === "present" &&
    known.isSealedAsNow &&
    known.fencingToken === fencingToken &&
    (inDoubt === undefined || known.version !== inDoubt)
  );
}

/**
 * Why `fresh` may not replace `stored`; undefined if it may. Never a higher fencing token, and never
 * a config with a newer control-plane timestamp, whatever the tokens say. What an exporter saved
 * itself, under this very token, it may replace by whatever it received later. A timestamp that is
 * missing, or not to be believed, does not block. `now` is the moment of writing, not that in which
 * `fresh` was taken: it may have been kept in memory for long, while another exporter saved newer ones.
 */
export function whyStale(
  fresh: SnapshotMetadata,
  stored: SnapshotMetadata,
  now: Date,
): WhyStale | undefined {
  if (stored.fencingToken > fresh.fencingToken) return lowerToken(fresh, stored.fencingToken);
  const isOwn =
    fresh.fencingToken === stored.fencingToken && fresh.exporterId === stored.exporterId;
  const made = fresh.controlPlaneTimestamp;
  const storedMade = credibleTimestamp(stored, now);
  if (isOwn || made === undefined || storedMade === undefined || storedMade <= made) {
    return undefined;
  }
  return { rule: "timestamp", stored: storedMade, fresh: made };
}

function lowerToken({ fencingToken: fresh }: SnapshotMetadata, stored: number): WhyStale {
  return { rule: "token", stored, fresh };
}

/**
 * Whether `a` is newer than `b`, both saved for one Kong version. By the control plane's timestamps,
 * where both have one that is not more than 5 minutes ahead of the clock that took the config; else by
 * when they were taken.
 *
 * A fencing token orders the writers of one store, and a live config has none (0): it decides only
 * where both were written under an election and the tokens differ. A live config would otherwise lose
 * to everything that was ever elected into the store.
 */
export function isNewer(a: SnapshotMetadata, b: SnapshotMetadata): boolean {
  const bothElected = a.fencingToken > 0 && b.fencingToken > 0;
  if (bothElected && a.fencingToken !== b.fencingToken) return a.fencingToken > b.fencingToken;
  const madeA = credibleTimestamp(a, a.exportedAt);
  const madeB = credibleTimestamp(b, b.exportedAt);
  if (madeA !== undefined && madeB !== undefined) return madeA > madeB;
  return a.exportedAt.getTime() > b.exportedAt.getTime();
}

/** Whether `a` is to be used for the wanted version rather than `b`: the nearer, see isNearer; then the newer. */
export function isBetter(wanted: KongVersion, a: SnapshotMetadata, b: SnapshotMetadata): boolean {
  if (isNearer(wanted, b.kongVersion, a.kongVersion)) return false;
  return isNearer(wanted, a.kongVersion, b.kongVersion) || isNewer(a, b);
}

/** Whether they hold one config. Kong's hash tells first: the bytes of one config differ from frame to frame. */
export function isSameConfig(a: SnapshotMetadata, b: SnapshotMetadata): boolean {
  return (a.configHash !== undefined && a.configHash === b.configHash) || a.sha256 === b.sha256;
}

/** Whether it is known to come from another control plane than that of this cluster. */
export function isOfAnotherCluster(
  { clusterId }: SnapshotMetadata,
  cluster: string | undefined,
): boolean {
  return clusterId !== undefined && cluster !== undefined && clusterId !== cluster;
}

/** `at`: the time by which it must be believable. */
function credibleTimestamp(
  { controlPlaneTimestamp: made }: SnapshotMetadata,
  at: Date,
): number | undefined {
  const credibleUntil = (at.getTime() + MAX_CREDIBLE_LEAD_MS) / 1000;
  return made === undefined || made > credibleUntil ? undefined : made;
}

/**
 * Which Kong versions' snapshots may stand in where none was saved for the wanted one.
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
  const own = partsOf(wanted);
  // How many numbers, from the left, must be the same.
  const same = match === "patch" ? 2 : 1;
  return available
    .filter((version) => version !== wanted)
    .map((version) => ({ version, ...partsOf(version) }))
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

/** Four numbers, and what follows them. */
function partsOf(version: KongVersion) {
  const dash = version.indexOf("-");
  const suffix = dash === -1 ? "" : version.slice(dash);
  const numbers = (dash === -1 ? version : version.slice(0, dash)).split(".").map(Number);
  return { numbers: [...numbers, 0].slice(0, 4), suffix };
}

function compare(a: readonly number[], b: readonly number[]): number {
  const index = a.findIndex((number, i) => number !== b[i]);
  return index === -1 ? 0 : (a[index] ?? 0) - (b[index] ?? 0);
}
