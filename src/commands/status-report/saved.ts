/** What lies in one place, as far as `status` tells it: the current snapshot, what is held back, and the lease. */

import { ServiceError } from "../../core/errors.ts";
import type { Lease } from "../../election/lease.ts";
import { LeaseObject } from "../../election/lease-object.ts";
import type { HistoryEntry } from "../../snapshots/history.ts";
import { leaseKey } from "../../snapshots/layout.ts";
import type { FoundSnapshot } from "../../snapshots/snapshot.ts";
import type { CommandContext } from "../context.ts";
import { type Readable, tryRead } from "../snapshots/listing.ts";
import type { Place } from "../snapshots/place.ts";

export interface Saved {
  readonly place: Place;
  /** What readers get: see SnapshotReader.latest. */
  readonly latest: Readable<FoundSnapshot>;
  /** The newest first; undefined where the store does not tell. */
  readonly held: readonly HistoryEntry[] | undefined;
  /** Why the newest of these was held back. */
  readonly heldBecause: string | undefined;
  /** Undefined: there is none in the store. */
  readonly lease: Readable<Lease | undefined>;
}

/** Rejects only with `signal.reason`: what fails is part of the answer. */
export async function lookAt(
  place: Place,
  context: CommandContext,
  signal: AbortSignal,
): Promise<Saved> {
  const { archive } = place;
  const latest = await tryRead(() => archive.latest(signal), signal);
  const lease = await tryRead(() => readLease(place, context, signal), signal);
  const entries = await tryRead(() => archive.history.list(signal), signal);
  if (entries.kind === "bad") {
    return { place, latest, held: undefined, heldBecause: undefined, lease };
  }
  const held = entries.snapshot.filter((entry) => entry.held);
  return { place, latest, held, heldBecause: await reasonOf(place, held[0], signal), lease };
}

async function reasonOf(
  { archive }: Place,
  entry: HistoryEntry | undefined,
  signal: AbortSignal,
): Promise<string | undefined> {
  if (entry === undefined) return undefined;
  try {
    return (await archive.history.read(entry.id, signal)).held;
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof ServiceError)) throw error;
    return error.message;
  }
}

async function readLease(
  { store, version }: Place,
  { settings, hostname, clock }: CommandContext,
  signal: AbortSignal,
): Promise<Lease | undefined> {
  const exporter = { id: "status", hostname };
  const { leaseTtlMs: ttlMs } = settings;
  const object = new LeaseObject({ store, key: leaseKey(version), exporter, ttlMs, clock });
  return (await object.read(signal))?.lease;
}
