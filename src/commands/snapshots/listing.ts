/** What lies in one place: the current snapshot and the newest of the history, each read and verified. */

import { ServiceError } from "../../core/errors.ts";
import type { HistoryEntry, KeptSnapshot } from "../../snapshots/history.ts";
import { historyHash } from "../../snapshots/history-id.ts";
import type { Snapshot } from "../../snapshots/snapshot.ts";
import { type Place, readCurrent } from "./place.ts";

/** Read, or why it cannot be used. */
export type Readable<T> =
  | { readonly kind: "good"; readonly snapshot: T }
  | { readonly kind: "bad"; readonly error: ServiceError };

export interface ListedEntry {
  readonly entry: HistoryEntry;
  /** Whether it is the one that is current. */
  readonly isCurrent: boolean;
  readonly read: Readable<KeptSnapshot>;
}

export interface Listing {
  /** Also where it is missing: why. */
  readonly current: Readable<Snapshot>;
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
  const current = await tryRead(() => readCurrent(place, signal), signal);
  const currentId = idOfCurrent(current, entries);
  const listed: ListedEntry[] = [];
  for (const entry of entries.slice(0, limit)) {
    const read = await tryRead(() => history.read(entry.id, signal), signal);
    listed.push({ entry, isCurrent: entry.id === currentId, read });
  }
  return { current, entries: listed, olderCount: entries.length - listed.length };
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
  current: Readable<Snapshot>,
  entries: readonly HistoryEntry[],
): string | undefined {
  if (current.kind === "bad" || current.snapshot.metadata === undefined) return undefined;
  const hash = historyHash(current.snapshot.metadata);
  return entries.find((entry) => !entry.held && entry.hash === hash)?.id;
}
