/** What lies in one place: the current snapshot and the newest of the history, each read, and verified as far as our keys open it. */

import { ServiceError } from "../../core/errors.ts";
import type { HistoryEntry, KeptSighting } from "../../snapshots/history.ts";
import { historyHash } from "../../snapshots/layout.ts";
import { isNewer, isSameConfig } from "../../snapshots/order.ts";
import { metadataOf, type Sighting } from "../../snapshots/sighting.ts";
import type { SnapshotMetadata } from "../../snapshots/snapshot.ts";
import { type Place, sightCurrentOf } from "./place.ts";

/** Read, or why it cannot be used. */
export type Readable<T> =
  | { readonly kind: "good"; readonly snapshot: T }
  | { readonly kind: "bad"; readonly error: ServiceError };

export interface ListedEntry {
  readonly entry: HistoryEntry;
  /** Whether it is the one that is current. */
  readonly isCurrent: boolean;
  readonly read: Readable<KeptSighting>;
}

export interface Listing {
  /** Also where it is missing: why. */
  readonly current: Readable<Sighting>;
  /** Of the entry that is newer than the current one, though that should be the newest: somebody put an old one back. */
  readonly newerId: string | undefined;
  /** The newest first. */
  readonly entries: readonly ListedEntry[];
  /** How many older ones were not read. */
  readonly olderCount: number;
}

/** Reads at most `limit` of the history, one after the other. Rejects with StoreError where the store does not answer. */
export async function listPlace(
  place: Place,
  limit: number,
  signal: AbortSignal,
): Promise<Listing> {
  const { history } = place.archive;
  const entries = await history.list(signal);
  const current = await tryRead(() => sightCurrentOf(place, signal), signal);
  const reads: Pick<ListedEntry, "entry" | "read">[] = [];
  for (const entry of entries.slice(0, limit)) {
    reads.push({ entry, read: await tryRead(() => history.sight(entry.id, signal), signal) });
  }
  // A name alone is no proof: anybody may have put an object there.
  const good = reads.filter(({ read }) => read.kind === "good").map(({ entry }) => entry);
  const currentId = idOfCurrent(current, good);
  const listed = reads.map((each) => ({ ...each, isCurrent: each.entry.id === currentId }));
  const newest = listed.find(({ entry, read }) => !entry.held && read.kind === "good");
  const isOlder =
    current.kind === "good" &&
    newest?.read.kind === "good" &&
    isOlderThan(newest.read.snapshot.metadata, metadataOf(current.snapshot));
  return {
    current,
    newerId: isOlder ? newest.entry.id : undefined,
    entries: listed,
    olderCount: entries.length - listed.length,
  };
}

/** What `read` gives, or why it gives nothing. Rejects only with `signal.reason`, or for a bug. */
export async function tryRead<T>(
  read: () => Promise<T>,
  signal: AbortSignal,
): Promise<Readable<T>> {
  try {
    return { kind: "good", snapshot: await read() };
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof ServiceError)) throw error;
    return { kind: "bad", error };
  }
}

/** The entry under which the current one is kept; undefined where it is missing there. */
export function idOfCurrent(
  current: Readable<Sighting>,
  entries: readonly HistoryEntry[],
): string | undefined {
  const metadata = current.kind === "bad" ? undefined : metadataOf(current.snapshot);
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
