/** The election by a lease in the store itself: needs nothing but conditional writes. */

import type { Clock } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import type { Key, Store } from "../store/port.ts";
import { Campaigns } from "./campaigns.ts";
import { MAX_LEASE_TTL_MS, MIN_LEASE_TTL_MS } from "./lease.ts";
import type { Election, Leadership } from "./port.ts";
import { StoreCampaign } from "./store-campaign.ts";

/** 15 s, as of Kubernetes' leader election. kubernetes/client-go tools/leaderelection/leaderelection.go */
export const DEFAULT_LEASE_TTL_MS = 15_000;

export interface StoreElectionOptions {
  /** Not disposed of. */
  readonly store: Store;
  /** Where the lease lies. */
  readonly key: Key;
  readonly exporter: { readonly id: string; readonly hostname: string };
  /**
   * How long a holder may go without renewing, milliseconds, from MIN_LEASE_TTL_MS to
   * MAX_LEASE_TTL_MS. It renews after a third and steps down after four fifths; followers look every
   * 2/15 to 5/15.
   */
  readonly ttlMs: number;
  /**
   * The highest token known elsewhere: the lease may have been deleted by hand, and the tokens must
   * not start anew. Asked before each acquisition. A ServiceError is tried again.
   */
  readonly floor: (signal: AbortSignal) => Promise<number>;
  /** Whether the store honours preconditions; without, the campaign rejects with ELECTION_UNSAFE. A ServiceError is tried again. */
  readonly conditional: (signal: AbortSignal) => Promise<boolean>;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  readonly log: Log;
}

/**
 * Another's lease is judged by watching it not change for its TTL on one's own monotonic clock; no
 * two clocks are ever compared. The holder counts from before its last good write, followers from
 * after they saw it, so the holder is always the first to think that it has expired. A lease that
 * was deleted is waited for like one that is held. Its token is never taken back: release writes an
 * expired lease.
 *
 * The monotonic clock of Linux stands still while a machine is suspended: after that a holder learns
 * of its loss only from its next renewal. The fencing of the writes holds all the same.
 */
export class StoreElection implements Election {
  readonly name: string;
  readonly #options: StoreElectionOptions;
  readonly #campaigns: Campaigns;

  /** Throws RangeError for a TTL out of bounds. */
  constructor(options: StoreElectionOptions) {
    const { store, key, ttlMs } = options;
    // Followers wait no longer than the maximum, whatever the lease says: two could hold a longer one.
    if (!(ttlMs >= MIN_LEASE_TTL_MS && ttlMs <= MAX_LEASE_TTL_MS)) {
      throw new RangeError(`a lease of ${ttlMs} ms is not possible`);
    }
    this.#options = options;
    this.name = `${store.url}/${key}`;
    this.#campaigns = new Campaigns(this.name);
  }

  campaign(signal: AbortSignal): AsyncIterable<Leadership> {
    const campaign = new StoreCampaign(this.#options);
    return this.#campaigns.start((announce, ended) => campaign.run(announce, ended), signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#campaigns[Symbol.asyncDispose]();
  }
}
