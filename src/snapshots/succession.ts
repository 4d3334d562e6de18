/** Which snapshot may replace which: the rule that keeps a stale writer from moving the backup backwards. */

import type { SnapshotMetadata } from "./snapshot.ts";

/**
 * How far a control-plane timestamp may lie in the future and still be believed: beyond that the
 * clock that made it was wrong, and obeying it would block every export until the world has caught up.
 */
export const MAX_CREDIBLE_LEAD_MS = 5 * 60_000;

/** The rule that keeps a snapshot from replacing another, and what it compared: fencing tokens, or control-plane timestamps in seconds. */
export interface Refusal {
  readonly rule: "token" | "timestamp";
  readonly stored: number;
  readonly fresh: number;
}

/**
 * Why `fresh` may not replace `stored`; undefined if it may. Never a higher fencing token, and never
 * a config with a newer control-plane timestamp, whatever the tokens say. What an exporter saved
 * itself, under this very token, it may replace by whatever it received later. A timestamp that is
 * missing, or not to be believed, does not block. `now` is the moment of writing, not that in which
 * `fresh` was taken: it may have been kept in memory for long, while another exporter saved newer ones.
 */
export function refusal(
  fresh: SnapshotMetadata,
  stored: SnapshotMetadata,
  now: Date,
): Refusal | undefined {
  if (stored.fencingToken > fresh.fencingToken) {
    return { rule: "token", stored: stored.fencingToken, fresh: fresh.fencingToken };
  }
  const isOwn =
    fresh.fencingToken === stored.fencingToken && fresh.exporterId === stored.exporterId;
  const made = fresh.controlPlaneTimestamp;
  const storedMade = stored.controlPlaneTimestamp;
  if (isOwn || made === undefined || storedMade === undefined || storedMade <= made) {
    return undefined;
  }
  const credibleUntil = (now.getTime() + MAX_CREDIBLE_LEAD_MS) / 1000;
  if (storedMade > credibleUntil) return undefined;
  return { rule: "timestamp", stored: storedMade, fresh: made };
}
