/** Which of several snapshots is the newest, or the best for one Kong version: the rule for readers, who find them in different places. */

import type { KongVersion } from "../kong/version.ts";
import type { SnapshotMetadata } from "./snapshot.ts";
import { MAX_CREDIBLE_LEAD_MS } from "./succession.ts";
import { sha256 } from "./verify.ts";
import { isNearer } from "./version-match.ts";

/** `exportedAt` where nobody knows the age: older than all others. */
const UNKNOWN_AGE_MS = 0;

/**
 * Whether `a` is newer than `b`, both saved for one Kong version. By the control plane's timestamps, where both have one that is not
 * more than 5 minutes ahead of the clock that took the config; else by when they were taken.
 *
 * A fencing token orders the writers of one store, and a live config has none (0): it decides only
 * where both were written under an election and the tokens differ. A live config would otherwise lose
 * to everything that was ever elected into the store.
 */
export function isNewer(a: SnapshotMetadata, b: SnapshotMetadata): boolean {
  const bothElected = a.fencingToken > 0 && b.fencingToken > 0;
  if (bothElected && a.fencingToken !== b.fencingToken) return a.fencingToken > b.fencingToken;
  const madeA = credibleTimestamp(a);
  const madeB = credibleTimestamp(b);
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

/**
 * Metadata for a config that came without any, as after a copy by hand. With `putAt`, the moment it
 * was put there, it is as new as that; without, every other snapshot is newer.
 */
export function describeBare(
  config: Uint8Array,
  kongVersion: KongVersion,
  putAt: Date | undefined,
): SnapshotMetadata {
  return {
    kongVersion,
    configHash: undefined,
    hashes: {},
    hashMatch: "unchecked",
    sha256: sha256(config),
    bytes: config.length,
    controlPlaneTimestamp: undefined,
    exportedAt: putAt ?? new Date(UNKNOWN_AGE_MS),
    exporterId: "by-hand",
    fencingToken: 0,
    rehearsed: undefined,
    entities: undefined,
  };
}

/** When the config was taken from its control plane, or put there by hand; undefined where nobody knows. */
export function takenAt({ exportedAt }: SnapshotMetadata): Date | undefined {
  return exportedAt.getTime() === UNKNOWN_AGE_MS ? undefined : exportedAt;
}

function credibleTimestamp(metadata: SnapshotMetadata): number | undefined {
  const { controlPlaneTimestamp, exportedAt } = metadata;
  if (controlPlaneTimestamp === undefined) return undefined;
  const credibleUntil = (exportedAt.getTime() + MAX_CREDIBLE_LEAD_MS) / 1000;
  return controlPlaneTimestamp > credibleUntil ? undefined : controlPlaneTimestamp;
}
