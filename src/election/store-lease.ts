/** The election by a lease in the store itself: needs nothing but conditional writes. */

import type { Key, Store } from "../store/port.ts";
import { LeaseElection, type LeaseElectionOptions } from "./lease-election.ts";
import { STORE_PACE } from "./lease-times.ts";
import { type StoredLease, StorePlace } from "./store-place.ts";

export interface StoreElectionOptions extends LeaseElectionOptions {
  /** Not disposed of. */
  readonly store: Store;
  /** Where the lease lies. */
  readonly key: Key;
  /** Whether the store honours preconditions; without, the campaign rejects with ELECTION_UNSAFE. A ServiceError is tried again. */
  readonly conditional: (signal: AbortSignal) => Promise<boolean>;
}

/** As `LeaseElection`; the holder renews after a third of the TTL and steps down after four fifths. */
export class StoreElection extends LeaseElection<StoredLease> {
  /** Throws RangeError for a TTL out of bounds. */
  constructor(options: StoreElectionOptions) {
    super(options, {
      name: `${options.store.url}/${options.key}`,
      pace: STORE_PACE,
      openPlace: () => new StorePlace(options),
    });
  }
}
