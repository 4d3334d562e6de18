/** One exporter's part in the election by a lease: watch it, take it when it is free, hold it, give it up. */

import type { Clock } from "../core/clock.ts";
import { ServiceError } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import { FailureReport } from "./failure-report.ts";
import { isLeap, MAX_TOKEN, noTokenLeft, unbelievable } from "./lease.ts";
import type { LeasePlace, SeenLease } from "./lease-place.ts";
import type { LeaseTimes } from "./lease-times.ts";
import { type LimitedCall, withLimit } from "./limit.ts";
import type { Leadership } from "./port.ts";
import { Tenure } from "./tenure.ts";

/** See `LeaseElectionOptions`. */
export interface CampaignOptions<Seen extends SeenLease> {
  /** Of this campaign alone. */
  readonly place: LeasePlace<Seen>;
  readonly times: LeaseTimes;
  readonly floor: (signal: AbortSignal) => Promise<number>;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
}

/** What was seen in place of the lease, and not changed since. */
interface Sight<Seen> {
  readonly found: Seen | undefined;
  /** When the first answer that showed it was there, by the monotonic clock: its holder may have renewed until then. */
  readonly sinceMs: number;
}

/** Reading a snapshot may take its time, but not the whole shutdown. */
const QUESTION_LIMIT_MS = 60_000;
/** Of the 10 s that a shutdown may take. */
const RELEASE_LIMIT_MS = 3_000;
const RELEASE_RETRY_MS = 100;

export class Campaign<Seen extends SeenLease> {
  readonly #options: CampaignOptions<Seen>;
  readonly #report: FailureReport;
  #isChecked = false;
  #sight: Sight<Seen> | undefined;
  /** Highest token this campaign knows of. */
  #highest = 0;
  /** Whether the lease may be ours. */
  #hasTried = false;

  constructor(options: CampaignOptions<Seen>) {
    this.#options = options;
    this.#report = new FailureReport(options.clock, options.log);
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
    const { clock, times } = this.#options;
    for (;;) {
      let waitMs: number;
      try {
        const result = await this.#approach(announce, signal);
        this.#report.succeeded();
        if (typeof result !== "number") return result;
        waitMs = result;
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof ServiceError) || error.code === "ELECTION_UNSAFE") throw error;
        waitMs = this.#within(times.look);
        this.#report.failed(error, waitMs);
      }
      await clock.sleep(Math.ceil(waitMs), signal);
    }
  }

  /** Looks once, and takes the lease if it is free; else the milliseconds until it is worth to look again. */
  async #approach(
    announce: (leadership: Leadership) => void,
    signal: AbortSignal,
  ): Promise<Tenure<Seen> | number> {
    const { times } = this.#options;
    if (!this.#isChecked) await this.#check(signal);
    const sight = await this.#look(signal);
    if (this.#freeInMs(sight) <= 0) await this.#askFloor(signal);
    // Asked again: where tokens were given out, a missing lease is not free at once.
    const freeInMs = this.#freeInMs(sight);
    if (freeInMs <= 0) {
      return (await this.#take(sight.found, signal)) ?? this.#within(times.lookAfterRace);
    }
    announce({ kind: "follower", holder: sight.found?.holder });
    return Math.min(freeInMs, this.#within(times.look));
  }

  async #check(signal: AbortSignal): Promise<void> {
    const { clock, place } = this.#options;
    const call = this.#asking(
      `learn whether ${place.name} can keep exporters apart`,
      QUESTION_LIMIT_MS,
    );
    await withLimit(call, clock, (s) => place.check(s), signal);
    this.#isChecked = true;
  }

  async #look(signal: AbortSignal): Promise<Sight<Seen>> {
    const { clock, place, times } = this.#options;
    const call = this.#asking(`read ${place.name}`, times.requestLimitMs);
    const found = await withLimit(call, clock, (s) => place.read(s), signal);
    if (found !== undefined) await this.#believe(found, signal);
    if (this.#sight === undefined || this.#sight.found?.version !== found?.version) {
      this.#sight = { found, sinceMs: clock.monotonicMs() };
    }
    return this.#sight;
  }

  /** Its token counts from now on. Rejects with ELECTION_CORRUPT if no count can have got there. */
  async #believe({ token }: Seen, signal: AbortSignal): Promise<void> {
    if (isLeap(token, this.#highest)) await this.#askFloor(signal);
    if (isLeap(token, this.#highest)) {
      throw unbelievable(this.#options.place.name, token, this.#highest);
    }
    this.#highest = Math.max(this.#highest, token);
  }

  async #askFloor(signal: AbortSignal): Promise<void> {
    const { clock, floor, place } = this.#options;
    // The tokens lie with the snapshots, wherever the lease does.
    const call = {
      what: `learn the highest fencing token for ${place.name}`,
      server: "the store",
      limitMs: QUESTION_LIMIT_MS,
    };
    const known = await withLimit(call, clock, floor, signal);
    this.#highest = Math.max(this.#highest, known);
  }

  /** Not positive: now. */
  #freeInMs({ found, sinceMs }: Sight<Seen>): number {
    const { clock, times } = this.#options;
    const seenForMs = clock.monotonicMs() - sinceMs;
    // One that was deleted, perhaps under its holder, is waited for like one that is held.
    if (found === undefined) return this.#highest === 0 ? 0 : times.ttlMs - seenForMs;
    // Ours, and we do not hold it: it was not renewed in time, or our write of it seemed to fail.
    return found.isOurs || found.protectedMs === 0 ? 0 : found.protectedMs - seenForMs;
  }

  /** Undefined if somebody else was faster, or may have been. */
  async #take(over: Seen | undefined, signal: AbortSignal): Promise<Tenure<Seen> | undefined> {
    const { clock, place, random, times } = this.#options;
    if (this.#highest >= MAX_TOKEN) throw noTokenLeft(place.name);
    const token = this.#highest + 1;
    this.#hasTried = true;
    const sinceMs = clock.monotonicMs();
    const call = this.#asking(`take ${place.name}`, times.requestLimitMs);
    const take = (s: AbortSignal) => place.take(token, over, s);
    const lease = await withLimit(call, clock, take, signal);
    if (lease === undefined) return undefined;
    const options = { place, times, clock, random, report: this.#report };
    const tenure = new Tenure(lease, sinceMs, options);
    // The answer may have waited for us: of a process that stood still, others have taken over.
    if (tenure.leftMs <= 0) return undefined;
    this.#highest = token;
    // What was seen before says nothing about what will lie there afterwards.
    this.#sight = undefined;
    return tenure;
  }

  /** So that the next one need not wait. Rejects only for a bug. */
  async #release(): Promise<void> {
    const { clock, log, place } = this.#options;
    const always = new AbortController().signal;
    try {
      const call = this.#asking(`release ${place.name}`, RELEASE_LIMIT_MS);
      await withLimit(call, clock, (s) => this.#giveUp(s), always);
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error;
      log.warn({ err: error }, "lease not released, another exporter takes it when it expires");
    }
  }

  async #giveUp(signal: AbortSignal): Promise<void> {
    const { clock, log, place } = this.#options;
    for (;;) {
      try {
        const found = await place.read(signal);
        if (!found?.isOurs) return;
        if ((await place.release(found, signal)) !== undefined) {
          log.info({ fencingToken: found.token }, "lease released");
          return;
        }
        // A renewal that was under way came first.
      } catch (error) {
        // The answer was lost, perhaps: only a fresh look tells.
        if (!(error instanceof ServiceError) || !error.retryable) throw error;
      }
      await clock.sleep(RELEASE_RETRY_MS, signal);
    }
  }

  #asking(what: string, limitMs: number): LimitedCall {
    return { what, server: this.#options.place.server, limitMs };
  }

  /** At random, so that not all followers ask at once. */
  #within({ minMs, maxMs }: LeaseTimes["look"]): number {
    return minMs + (maxMs - minMs) * this.#options.random();
  }
}
