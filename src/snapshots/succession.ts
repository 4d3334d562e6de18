/** Which snapshot may replace which: the rule that keeps a stale writer from moving the backup backwards. */

import type { SnapshotMetadata } from "./snapshot.ts";

/**
 * How far a stored control-plane timestamp may lie after the moment the newer config was taken and
 * still be believed: beyond that the clock that made it was wrong, and obeying it would block every
 * export until the world has caught up.
 */
export const MAX_CREDIBLE_LEAD_MS = 5 * 60_000;

/**
 * Whether `fresh` may replace `stored`. A lower fencing token never replaces a higher one, a higher
 * one always replaces a lower one. Between equal tokens: what an exporter itself saved it may replace
 * by what it received later; what another saved only by a config whose control-plane timestamp is
 * not older. A missing timestamp cannot be judged and does not block.
 */
export function supersedes(fresh: SnapshotMetadata, stored: SnapshotMetadata): boolean {
  if (fresh.fencingToken !== stored.fencingToken) return fresh.fencingToken > stored.fencingToken;
  if (fresh.exporterId === stored.exporterId) return true;
  if (fresh.controlPlaneTimestamp === undefined || stored.controlPlaneTimestamp === undefined) {
    return true;
  }
  const credibleUntil = (fresh.exportedAt.getTime() + MAX_CREDIBLE_LEAD_MS) / 1000;
  if (stored.controlPlaneTimestamp > credibleUntil) return true;
  return fresh.controlPlaneTimestamp >= stored.controlPlaneTimestamp;
}
