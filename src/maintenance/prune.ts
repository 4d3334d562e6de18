/** Removes from the history of a folder what is beyond its limits. */

import type { Removal, RetentionPolicy } from "../snapshots/retention.ts";
import type { StoreError } from "../store/port.ts";
import type { VersionFolder } from "./folder.ts";

export interface Pruned {
  /** What was to go, the oldest first. */
  readonly removals: readonly Removal[];
  /** By id: why it could not be deleted. */
  readonly failures: ReadonlyMap<string, StoreError>;
}

/**
 * Deletes the oldest first and needs no lease: whoever else prunes deletes the same ones, and the
 * newest and the current one stay whatever is saved meanwhile. With `dryRun` deletes nothing. Rejects
 * with StoreError where the history cannot be listed.
 */
export async function pruneFolder(
  { archive }: VersionFolder,
  policy: RetentionPolicy,
  { dryRun, now }: { readonly dryRun: boolean; readonly now: Date },
  signal: AbortSignal,
): Promise<Pruned> {
  const removals = await archive.planPrune(policy, now, signal);
  if (dryRun) return { removals, failures: new Map() };
  const ids = removals.map(({ entry }) => entry.id);
  const { failed } = await archive.history.remove(ids, signal);
  return { removals, failures: new Map(failed.map(({ id, error }) => [id, error])) };
}
