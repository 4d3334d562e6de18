/** What a snapshot says about itself once it was restored: that it is the newest, and by whose word. */

import { countEntities } from "../../kong/entity-counts.ts";
import type { NewSnapshot, SnapshotMetadata } from "../../snapshots/snapshot.ts";
import { RESTORED } from "./describe.ts";

/** One step of a control plane's clock, seconds. */
const STEP = 0.001;

export interface Restoring {
  /** The id it had in the history. */
  readonly id: string;
  readonly fencingToken: number;
  readonly now: Date;
}

/**
 * Its control-plane timestamp is just after that of what it replaces, so that an exporter which still
 * has that config in memory does not put it back, and one that the control plane makes from now on is
 * newer, whatever this machine's clock says.
 */
export function restoredMetadata(
  { config, metadata }: NewSnapshot,
  replaced: SnapshotMetadata | undefined,
  { id, fencingToken, now }: Restoring,
): SnapshotMetadata {
  const made = metadata.controlPlaneTimestamp;
  const replacedMade = replaced?.controlPlaneTimestamp;
  return {
    ...metadata,
    controlPlaneTimestamp:
      replacedMade === undefined ? made : Math.max(made ?? 0, replacedMade + STEP),
    exportedAt: now,
    exporterId: `${RESTORED}${id}`,
    fencingToken,
    entities: metadata.entities ?? countEntities(config),
  };
}
