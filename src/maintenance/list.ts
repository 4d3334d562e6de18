/** What lies in a folder: the current snapshot and the newest of the history, each read, and verified as far as our keys open it. */

import { type Result, resultOf } from "../core/result.ts";
import type { HistoryEntry, KeptSighting } from "../snapshots/history.ts";
import { historyHash } from "../snapshots/layout.ts";
import { isNewer, isSameConfig } from "../snapshots/order.ts";
import { metadataOf, type Sighting } from "../snapshots/sighting.ts";
import type { SnapshotMetadata } from "../snapshots/snapshot.ts";
import { sightCurrentOf, type VersionFolder } from "./folder.ts";

export interface Listing {
  /** Where it is missing: why. */
  readonly current: Result<Sighting>;
  /** Of the entry that is newer than the current one, though that should be the newest: somebody put an old one back. */
  readonly newerId: string | undefined;
  /** The newest first. */
  readonly entries: readonly ListedEntry[];
  /** How many older ones were not read. */
  readonly olderCount: number;
}

export interface ListedEntry {
  readonly entry: HistoryEntry;
  /** Whether it is the one that is current. */
  readonly isCurrent: boolean;
  readonly read: Result<KeptSighting>;
}

/** Reads at most `limit` of the history, one after the other. Rejects with StoreError where the store does not answer. */
export async function listFolder(
  folder: VersionFolder,
  limit: number,
  signal: AbortSignal,
): Promise<Listing> {
  const { history } = folder.archive;
  const entries = await history.list(signal);
  const current = await resultOf(() => sightCurrentOf(folder, signal), signal);
  const reads: Pick<ListedEntry, "entry" | "read">[] = [];
  for (const entry of entries.slice(0, limit)) {
    reads.push({ entry, read: await resultOf(() => history.sight(entry.id, signal), signal) });
  }
  // A name alone is no proof: anybody may have put an object there.
  const good = reads.filter(({ read }) => read.kind === "good").map(({ entry }) => entry);
  const currentId = idOfCurrent(current, good);
  const listed = reads.map((each) => ({ ...each, isCurrent: each.entry.id === currentId }));
  const newest = listed.find(({ entry, read }) => !entry.held && read.kind === "good");
  const isOlder =
    current.kind === "good" &&
    newest?.read.kind === "good" &&
    isOlderThan(newest.read.value.metadata, metadataOf(current.value));
  return {
    current,
    newerId: isOlder ? newest.entry.id : undefined,
    entries: listed,
    olderCount: entries.length - listed.length,
  };
}

/** The entry under which the current one is kept; undefined where it is missing there. */
export function idOfCurrent(
  current: Result<Sighting>,
  entries: readonly HistoryEntry[],
): string | undefined {
  const metadata = current.kind === "bad" ? undefined : metadataOf(current.value);
  if (metadata === undefined) return undefined;
  const hash = historyHash(metadata);
  return entries.find((entry) => !entry.held && entry.hash === hash)?.id;
}

/** Whether what is current is older than another config that was current, too. */
export function isOlderThan(
  kept: SnapshotMetadata,
  current: SnapshotMetadata | undefined,
): boolean {
  return current !== undefined && !isSameConfig(kept, current) && isNewer(kept, current);
}
