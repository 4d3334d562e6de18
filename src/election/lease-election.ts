/** The election by a lease, wherever it lies: each campaign watches it, takes it when it is free, holds it and gives it up by the same rules. */

import { ServiceError } from "../core/errors.ts";
import { FailureNews } from "../core/failure-news.ts";
import { keepTryingWithin } from "../core/trying.ts";
import { Scope, within } from "../core/waiting.ts";
import { Campaigns, type ElectionOptions, logFailure } from "./campaigns.ts";
import {
  answerBy,
  believe,
  type Exporter,
  isLeap,
  keepsChanging,
  type LeasePace,
  type LeasePlace,
  type LeaseTimes,
  leaseTimes,
  MAX_LEASE_TTL_MS,
  MIN_LEASE_TTL_MS,
  protectedMs,
  type Range,
  type SeenLease,
  tokenAfter,
} from "./lease.ts";
import type { Election, Leadership } from "./port.ts";
import { Tenure } from "./tenure.ts";

export interface LeaseElectionOptions extends ElectionOptions {
  readonly exporter: Exporter;
  /**
   * How long a holder may go without renewing, milliseconds, from MIN_LEASE_TTL_MS to
   * MAX_LEASE_TTL_MS. When it renews and steps down, and how often followers look, are parts of it.
   */
  readonly ttlMs: number;
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

interface CampaignOptions<Seen extends SeenLease> extends ElectionOptions {
  /** Of this campaign alone. */
  readonly place: LeasePlace<Seen>;
  readonly times: LeaseTimes;
}

/** What was seen in place of the lease, and not changed since. */
interface Sight<Seen> {
  readonly found: Seen | undefined;
  /** When the first answer that showed it was there, by the monotonic clock: its holder may have renewed until then. */
  readonly sinceMs: number;
}

/** Of one attempt to win the lease. */
type Outcome<Seen extends SeenLease> =
  | { readonly kind: "won"; readonly tenure: Tenure<Seen> }
  /** It is not worth looking again before `waitMs` have passed. */
  | { readonly kind: "not yet"; readonly waitMs: number };

/** Reading a snapshot may take its time, but not the whole shutdown. */
const SLOW_ANSWER_LIMIT_MS = 60_000;
/** Of the 10 s that a shutdown may take. */
const RELEASE_LIMIT_MS = 3_000;
const RELEASE_RETRY = { minMs: 100, maxMs: 100 };

/** One exporter's part in it, from its first look to the release. */
class Campaign<Seen extends SeenLease> {
  readonly #options: CampaignOptions<Seen>;
  readonly #news: FailureNews;
  #isChecked = false;
  #sight: Sight<Seen> | undefined;
  /** Highest token this campaign knows of. */
  #highest = 0;
  /** Whether the lease may be ours. */
  #hasTried = false;

  constructor(options: CampaignOptions<Seen>) {
    this.#options = options;
    this.#news = new FailureNews(options.clock);
  }

  /** Rejects with `signal.reason` once it aborts, after the release; with ELECTION_UNSAFE; with others only for a bug. */
  async run(announce: (leadership: Leadership) => void, signal: AbortSignal): Promise<never> {
    const { log } = this.#options;
    try {
      for (;;) {
        const tenure = await this.#acquire(announce, signal);
        const { token } = tenure;
        log.info({ fencingToken: token }, "lease acquired, this exporter writes");
        announce({ kind: "holder", token });
        const reason = await tenure.hold(signal);
        announce({ kind: "follower", holder: undefined });
        log.warn({ fencingToken: token, reason }, "lease lost, this exporter writes no more");
      }
    } catch (error) {
      if (this.#hasTried) await this.#release();
      throw error;
    }
  }

  /** Looks until it has the lease. */
  async #acquire(
    announce: (leadership: Leadership) => void,
    signal: AbortSignal,
  ): Promise<Tenure<Seen>> {
    const { clock, log, times } = this.#options;
    for (;;) {
      let waitMs: number;
      try {
        const outcome = await this.#approach(announce, signal);
        this.#news.end();
        if (outcome.kind === "won") return outcome.tenure;
        waitMs = outcome.waitMs;
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof ServiceError) || error.code === "ELECTION_UNSAFE") throw error;
        waitMs = this.#atRandom(times.look);
        logFailure(error, waitMs, { news: this.#news, log });
      }
      await clock.sleep(Math.ceil(waitMs), signal);
    }
  }

  /** Looks once, and takes the lease if it is free. */
  async #approach(
    announce: (leadership: Leadership) => void,
    signal: AbortSignal,
  ): Promise<Outcome<Seen>> {
    const { times } = this.#options;
    if (!this.#isChecked) await this.#check(signal);
    const sight = await this.#look(signal);
    if (this.#freeInMs(sight) <= 0) await this.#askFloor(signal);
    // Asked again: where tokens were given out, a missing lease is not free at once.
    const freeInMs = this.#freeInMs(sight);
    if (freeInMs <= 0) {
      const tenure = await this.#take(sight.found, signal);
      if (tenure !== undefined) return { kind: "won", tenure };
      return { kind: "not yet", waitMs: this.#atRandom(times.lookAfterRace) };
    }
    const claim = sight.found?.claim;
    announce({ kind: "follower", holder: claim?.kind === "held" ? claim.holder : undefined });
    return { kind: "not yet", waitMs: Math.min(freeInMs, this.#atRandom(times.look)) };
  }

  async #check(signal: AbortSignal): Promise<void> {
    const { place } = this.#options;
    const what = `learn whether ${place.name} can keep exporters apart`;
    await this.#ask(what, SLOW_ANSWER_LIMIT_MS, signal, (s) => place.check(s));
    this.#isChecked = true;
  }

  async #look(signal: AbortSignal): Promise<Sight<Seen>> {
    const { clock, place, times } = this.#options;
    const read = (s: AbortSignal) => place.read(s);
    const found = await this.#ask(`read ${place.name}`, times.requestLimitMs, signal, read);
    if (found !== undefined) await this.#believe(found, signal);
    if (this.#sight === undefined || this.#sight.found?.version !== found?.version) {
      this.#sight = { found, sinceMs: clock.monotonicMs() };
    }
    return this.#sight;
  }

  /** Its token counts from now on. Rejects with ELECTION_CORRUPT if no count can have got there. */
  async #believe({ token }: Seen, signal: AbortSignal): Promise<void> {
    if (isLeap(token, this.#highest)) await this.#askFloor(signal);
    this.#highest = believe(token, this.#highest, this.#options.place.name);
  }

  async #askFloor(signal: AbortSignal): Promise<void> {
    const { clock, floor, place } = this.#options;
    // The tokens lie with the snapshots, wherever the lease does.
    const question = {
      what: `learn the highest fencing token for ${place.name}`,
      server: "the store",
      limitMs: SLOW_ANSWER_LIMIT_MS,
    };
    const known = await within(answerBy(question, clock), signal, floor);
    this.#highest = Math.max(this.#highest, known);
  }

  /** Not positive: now. */
  #freeInMs({ found, sinceMs }: Sight<Seen>): number {
    const { clock, times } = this.#options;
    const seenForMs = clock.monotonicMs() - sinceMs;
    // One that was deleted, perhaps under its holder, is waited for like one that is held.
    if (found === undefined) return this.#highest === 0 ? 0 : times.ttlMs - seenForMs;
    // Ours, and we do not hold it: it was not renewed in time, or our write of it seemed to fail.
    return protectedMs(found.claim) - seenForMs;
  }

  /** Undefined if somebody else was faster, or may have been. */
  async #take(over: Seen | undefined, signal: AbortSignal): Promise<Tenure<Seen> | undefined> {
    const { clock, place, times } = this.#options;
    const token = tokenAfter(this.#highest, place.name);
    this.#hasTried = true;
    const sinceMs = clock.monotonicMs();
    const take = (s: AbortSignal) => place.take(token, over, s);
    const lease = await this.#ask(`take ${place.name}`, times.requestLimitMs, signal, take);
    if (lease === undefined) return undefined;
    const tenure = new Tenure(lease, sinceMs, { ...this.#options, news: this.#news });
    // The answer may have waited for us: of a process that stood still, others have taken over.
    if (tenure.leftMs <= 0) return undefined;
    this.#highest = token;
    // What was seen before says nothing about what will lie there afterwards.
    this.#sight = undefined;
    return tenure;
  }

  /** So that the next one need not wait. Rejects only for a bug. */
  async #release(): Promise<void> {
    const { clock, log, place, random } = this.#options;
    const what = `release ${place.name}`;
    const { late } = answerBy({ what, server: place.server, limitMs: RELEASE_LIMIT_MS }, clock);
    const trying = { backoff: RELEASE_RETRY, clock, random, onRetry: () => {} };
    // Whoever is told to stop gives it up all the same.
    using always = new Scope();
    try {
      await keepTryingWithin({ ms: RELEASE_LIMIT_MS, timedOut: late }, trying, always.signal, (s) =>
        this.#giveUp(s),
      );
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error;
      log.warn({ err: error }, "lease not released, another exporter takes it when it expires");
    }
  }

  async #giveUp(signal: AbortSignal): Promise<void> {
    const { log, place } = this.#options;
    // Before each attempt: the answer to the last one was lost, perhaps.
    const found = await place.read(signal);
    if (found?.claim.kind !== "ours") return;
    if ((await place.release(found, signal)) === undefined)
      throw keepsChanging(`release ${place.name}`);
    log.info({ fencingToken: found.token }, "lease released");
  }

  #ask<T>(
    what: string,
    limitMs: number,
    signal: AbortSignal,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const { clock, place } = this.#options;
    return within(answerBy({ what, server: place.server, limitMs }, clock), signal, work);
  }

  /** At random, so that not all followers ask at once. */
  #atRandom({ minMs, maxMs }: Range): number {
    return minMs + (maxMs - minMs) * this.#options.random();
  }
}
