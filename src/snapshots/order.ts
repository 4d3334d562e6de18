/** Which snapshot comes before which: which may replace what lies there, which is the newer one, which stands in for another Kong version. */

import type { KongVersion } from "../kong/version.ts";
import { PROPAGATION_MS } from "../kong/wire.ts";
import type { Version } from "../store/port.ts";
import type { Known } from "./current.ts";
import { historyHash } from "./layout.ts";
import { isRestored, replacedHashOf } from "./restored.ts";
import type { SnapshotMetadata } from "./snapshot.ts";

/** What a writer knows of how a config came after others, without asking any clock on a wall. */
export interface Provenance {
  /**
   * When the session began in which it was received, by the writer's monotonic clock, milliseconds:
   * the control plane had it then, or got it later.
   */
  readonly asOfMs: number;
  /** Whether the writer received `stored`, that very payload, before this config. */
  readonly follows: (stored: SnapshotMetadata) => boolean;
}

/** Of a config of which nothing is known but its metadata. */
export const UNKNOWN_PROVENANCE: Provenance = {
  asOfMs: Number.NEGATIVE_INFINITY,
  follows: () => false,
};

/** What a writer remembers of its own writes. */
export interface OwnWrites {
  /** The object that one was to replace which seemed to fail, and may still happen. */
  readonly inDoubt: Version | undefined;
  /** Tokens under which it wrote, or tried to. */
  readonly tokens: ReadonlySet<number>;
}

/**
 * Why a config may become current:
 * - `free`: nothing lies there, or nothing that can be used.
 * - `same`: it is the one that lies there.
 * - `own`: this writer wrote what lies there, and received this one later.
 * - `confirmed`: it came in a session that began after this writer had seen what lies there.
 * - `followed`: this writer received what lies there, and then this one.
 */
export type WriteRule = "free" | "same" | "own" | "confirmed" | "followed";

export type SaveDecision =
  /** With these metadata. */
  | { readonly kind: "write"; readonly rule: WriteRule; readonly metadata: SnapshotMetadata }
  | { readonly kind: "unchanged" }
  | Refusal;

/** What lies there may not be replaced. */
export type Refusal =
  /** It has a higher fencing token: another exporter has taken over. `stored` is undefined where all but its token is damaged. */
  | {
      readonly kind: "stale";
      readonly storedToken: number;
      readonly stored: SnapshotMetadata | undefined;
    }
  /** Nobody knows which of the two is the newer one, before a session that begins at `sinceMs`, by the writer's monotonic clock, or later has brought a config. */
  | {
      readonly kind: "unconfirmed";
      readonly sinceMs: number;
      readonly stored: SnapshotMetadata;
    }
  /** It is the config of another Kong cluster, whose data planes rely on it: two of them share one prefix. */
  | { readonly kind: "foreign"; readonly stored: SnapshotMetadata }
  /** An operator has put it there in place of this very config, so it stays until the control plane has another one. */
  | { readonly kind: "overruled"; readonly stored: SnapshotMetadata };

/**
 * What is to be done with a config, given what lies in the store. No clock on a wall has a part in it:
 * docs/format.md, "Who may write". What is written gets a later control-plane timestamp than what it
 * replaces. A config that lies there already is written again once it was rehearsed, and stays
 * rehearsed whoever writes it again.
 */
export function decideSave(
  fresh: SnapshotMetadata,
  known: Known,
  { asOfMs, follows }: Provenance,
  { inDoubt, tokens }: OwnWrites,
): SaveDecision {
  if (known.kind === "absent") return { kind: "write", rule: "free", metadata: fresh };
  const { metadata: stored, fencingToken, seenAtMs } = known;
  // The token counts even if the config it came with is damaged.
  if (fencingToken > fresh.fencingToken) {
    return { kind: "stale", storedToken: fencingToken, stored };
  }
  if (stored === undefined) return { kind: "write", rule: "free", metadata: fresh };
  if (isOfAnotherCluster(stored, fresh.clusterId)) return { kind: "foreign", stored };
  if (isSameConfig(stored, fresh)) {
    const isNews = fresh.rehearsed === true && stored.rehearsed !== true;
    if (!isNews && isSettled(known, fresh.fencingToken, inDoubt)) return { kind: "unchanged" };
    const rehearsed = stored.rehearsed === true || fresh.rehearsed;
    return { kind: "write", rule: "same", metadata: stampedAfter({ ...fresh, rehearsed }, stored) };
  }
  if (isOverruled(fresh, stored)) return { kind: "overruled", stored };
  const sinceMs = seenAtMs + PROPAGATION_MS;
  const isOwn =
    fresh.exporterId === stored.exporterId &&
    (fresh.fencingToken === fencingToken || tokens.has(fencingToken));
  const rule = isOwn
    ? "own"
    : asOfMs >= sinceMs
      ? "confirmed"
      : follows(stored)
        ? "followed"
        : undefined;
  if (rule === undefined) return { kind: "unconfirmed", sinceMs, stored };
  return { kind: "write", rule, metadata: stampedAfter(fresh, stored) };
}

/** One step of a control plane's clock, seconds. */
const CLOCK_STEP = 0.001;

/**
 * `fresh`, which is known to be newer than `older`, with a later control-plane timestamp, however the
 * clocks that made them were set: so that all who cannot know better see the right order, too. Of the
 * same config, with no earlier one.
 */
export function stampedAfter(
  fresh: SnapshotMetadata,
  older: SnapshotMetadata | undefined,
): SnapshotMetadata {
  const made = older?.controlPlaneTimestamp;
  if (older === undefined || made === undefined) return fresh;
  // A sum of such fractions is not exact.
  const least = isSameConfig(fresh, older) ? made : Math.round((made + CLOCK_STEP) * 1000) / 1000;
  const stamp = Math.max(fresh.controlPlaneTimestamp ?? least, least);
  return { ...fresh, controlPlaneTimestamp: stamp };
}

/** Whether `stored` was restored, and `fresh` is what it replaced; where it does not say what that was, no newer one. */
function isOverruled(fresh: SnapshotMetadata, stored: SnapshotMetadata): boolean {
  if (!isRestored(stored)) return false;
  const replaced = replacedHashOf(stored);
  if (replaced !== undefined) return historyHash(fresh) === replaced;
  const [made, storedMade] = [fresh.controlPlaneTimestamp, stored.controlPlaneTimestamp];
  return made !== undefined && storedMade !== undefined && made <= storedMade;
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
 * Whether `a` is newer than `b`, both saved for one Kong version. By the control plane's timestamps,
 * which writers keep in the order that they know of; where one has none, by when they were taken.
 *
 * A fencing token orders the writers of one store, and a live config has none (0): it decides only
 * where both were written under an election and the tokens differ. A live config would otherwise lose
 * to everything that was ever elected into the store.
 */
export function isNewer(a: SnapshotMetadata, b: SnapshotMetadata): boolean {
  const bothElected = a.fencingToken > 0 && b.fencingToken > 0;
  if (bothElected && a.fencingToken !== b.fencingToken) return a.fencingToken > b.fencingToken;
  const [madeA, madeB] = [a.controlPlaneTimestamp, b.controlPlaneTimestamp];
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
  { clusterId }: Pick<SnapshotMetadata, "clusterId">,
  cluster: string | undefined,
): boolean {
  return clusterId !== undefined && cluster !== undefined && clusterId !== cluster;
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
