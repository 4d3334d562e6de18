/** The election by a lease, wherever it lies: each campaign watches, takes, holds and releases it by the same rules. */

import type { Clock } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import { Campaign } from "./campaign.ts";
import { Campaigns } from "./campaigns.ts";
import { MAX_LEASE_TTL_MS, MIN_LEASE_TTL_MS } from "./lease.ts";
import type { LeasePlace, SeenLease } from "./lease-place.ts";
import { type LeasePace, leaseTimes } from "./lease-times.ts";
import type { Election, Leadership } from "./port.ts";

export interface LeaseElectionOptions {
  readonly exporter: { readonly id: string; readonly hostname: string };
  /**
   * How long a holder may go without renewing, milliseconds, from MIN_LEASE_TTL_MS to
   * MAX_LEASE_TTL_MS. When it renews and steps down, and how often followers look, are parts of it.
   */
  readonly ttlMs: number;
  /**
   * The highest token known elsewhere: the lease may have been deleted by hand, and the tokens must
   * not start anew. Asked before each acquisition. A ServiceError is tried again.
   */
  readonly floor: (signal: AbortSignal) => Promise<number>;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  readonly log: Log;
}

/** What a driver adds. */
export interface LeaseDriver<Seen extends SeenLease> {
  /** Of the lease, for messages. */
  readonly name: string;
  readonly pace: LeasePace;
  /** For one campaign. */
  readonly openPlace: () => LeasePlace<Seen>;
}

/**
 * Another's lease is judged by watching it not change for its TTL on one's own monotonic clock; no
 * two clocks are ever compared. The holder counts from before its last good write, followers from
 * after they saw it, so the holder is always the first to think that it has expired. A lease that
 * was deleted is waited for like one that is held. Its token is never taken back: release leaves a
 * lease there that nobody holds. One that lost the lease goes on as a follower.
 *
 * The monotonic clock of Linux stands still while a machine is suspended: after that a holder learns
 * of its loss only from its next renewal. The fencing of the writes holds all the same.
 */
export class LeaseElection<Seen extends SeenLease> implements Election {
  readonly name: string;
  readonly #options: LeaseElectionOptions;
  readonly #driver: LeaseDriver<Seen>;
  readonly #campaigns: Campaigns;

  /** Throws RangeError for a TTL out of bounds. */
  constructor(options: LeaseElectionOptions, driver: LeaseDriver<Seen>) {
    const { ttlMs } = options;
    // Followers wait no longer than the maximum, whatever the lease says: two could hold a longer one.
    if (!(ttlMs >= MIN_LEASE_TTL_MS && ttlMs <= MAX_LEASE_TTL_MS)) {
      throw new RangeError(`a lease of ${ttlMs} ms is not possible`);
    }
    this.name = driver.name;
    this.#options = options;
    this.#driver = driver;
    this.#campaigns = new Campaigns(this.name);
  }

  campaign(signal: AbortSignal): AsyncIterable<Leadership> {
    const times = leaseTimes(this.#options.ttlMs, this.#driver.pace);
    const campaign = new Campaign({ ...this.#options, times, place: this.#driver.openPlace() });
    return this.#campaigns.start((announce, ended) => campaign.run(announce, ended), signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#campaigns[Symbol.asyncDispose]();
  }
}
