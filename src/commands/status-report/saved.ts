/** What lies in one place, as far as `status` tells it: the current snapshot, what is held back, and the lease. */

import { ServiceError } from "../../core/errors.ts";
import { type LeaseDocument, readLease } from "../../election/store.ts";
import type { HistoryEntry } from "../../snapshots/history.ts";
import { leaseKey } from "../../snapshots/layout.ts";
import type { FoundSighting } from "../../snapshots/reader.ts";
import { metadataOf } from "../../snapshots/sighting.ts";
import { isOlderThan, type Readable, tryRead } from "../snapshots/listing.ts";
import type { Place } from "../snapshots/place.ts";
import { reasonOf } from "../snapshots/reason.ts";

/** Entries of the history that are read to find a good one. */
const MAX_READ = 20;

export interface Saved {
  readonly place: Place;
  /** What readers get who have the keys: see StoreReader.sight. */
  readonly latest: Readable<FoundSighting>;
  /** Id of one in the history that is newer, though the current one should be: somebody put an old one back. */
  readonly newerId: string | undefined;
  /** The newest first; undefined where the store does not tell. */
  readonly held: readonly HistoryEntry[] | undefined;
  /** Why the newest of these was held back. */
  readonly heldBecause: string | undefined;
  /** Undefined: there is none in the store. */
  readonly lease: Readable<LeaseDocument | undefined>;
}

/** Rejects only with `signal.reason`: what fails is part of the answer. */
export async function lookAt(place: Place, signal: AbortSignal): Promise<Saved> {
  const { archive } = place;
  const latest = await tryRead(() => sightLatest(place, signal), signal);
  const lease = await tryRead(() => lookAtLease(place, signal), signal);
  const entries = await tryRead(() => archive.history.list(signal), signal);
  if (entries.kind === "bad") {
    return { place, latest, newerId: undefined, held: undefined, heldBecause: undefined, lease };
  }
  const held = entries.snapshot.filter((entry) => entry.held);
  const heldBecause = await heldReason(place, held[0], signal);
  const kept = entries.snapshot.filter((entry) => !entry.held);
  const newerId = await newerThan(latest, kept.slice(0, MAX_READ), place, signal);
  return { place, latest, newerId, held, heldBecause, lease };
}

async function sightLatest({ archive }: Place, signal: AbortSignal): Promise<FoundSighting> {
  const found = await archive.sight(undefined, signal);
  if (found === undefined) throw new TypeError("unchanged, though nothing was seen before");
  return found;
}

/** The id of the newest good one of `entries`, if that is newer than `latest`. */
async function newerThan(
  latest: Saved["latest"],
  entries: readonly HistoryEntry[],
  { archive }: Place,
  signal: AbortSignal,
): Promise<string | undefined> {
  const metadata = latest.kind === "bad" ? undefined : metadataOf(latest.snapshot);
  if (metadata === undefined) return undefined;
  for (const { id } of entries) {
    const kept = await tryRead(() => archive.history.sight(id, signal), signal);
    if (kept.kind === "bad") continue;
    return isOlderThan(kept.snapshot.metadata, metadata) ? id : undefined;
  }
  return undefined;
}

async function heldReason(
  place: Place,
  entry: HistoryEntry | undefined,
  signal: AbortSignal,
): Promise<string | undefined> {
  if (entry === undefined) return undefined;
  try {
    return (await place.archive.history.sight(entry.id, signal)).held;
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof ServiceError)) throw error;
    return reasonOf(error, place, entry.id);
  }
}

async function lookAtLease(
  { store, version }: Place,
  signal: AbortSignal,
): Promise<LeaseDocument | undefined> {
  return (await readLease({ store, key: leaseKey(version) }, signal))?.document;
}
