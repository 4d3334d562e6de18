/** One exporter's part in the election by a lease in the store: watch, take it when it is free, hold it, give it up. */

import { backoffMs } from "../core/backoff.ts";
import type { Clock } from "../core/clock.ts";
import { ServiceError } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import { type Precondition, StoreError } from "../store/port.ts";
import { FailureReport } from "./failure-report.ts";
import { MAX_TOKEN, protectedMs } from "./lease.ts";
import { type FoundLease, LeaseObject, type LeaseObjectOptions } from "./lease-object.ts";
import { withLimit } from "./limit.ts";
import { ElectionError, type Leadership } from "./port.ts";
import { Tenure } from "./tenure.ts";

/** See `StoreElectionOptions`. */
export interface StoreCampaignOptions extends LeaseObjectOptions {
  readonly floor: (signal: AbortSignal) => Promise<number>;
  readonly conditional: (signal: AbortSignal) => Promise<boolean>;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
}

/** What was seen in place of the lease, and not changed since. */
interface Sight {
  readonly found: FoundLease | undefined;
  /** When the first answer that showed it was there, by the monotonic clock: its holder may have renewed until then. */
  readonly sinceMs: number;
  /** So that several followers do not all write at once. */
  readonly jitterMs: number;
}

/** Reading a snapshot may take its time, but not the whole shutdown. */
const QUESTION_LIMIT_MS = 60_000;
/** Of the 10 s that a shutdown may take. */
const RELEASE_LIMIT_MS = 3_000;
const RELEASE_RETRY_MS = 100;

export class StoreCampaign {
  readonly #options: StoreCampaignOptions;
  readonly #object: LeaseObject;
  readonly #report: FailureReport;
  #sight: Sight | undefined;
  /** Highest token this campaign knows of. */
  #highest = 0;
  /** Whether a lease of ours may lie in the store. */
  #hasTried = false;

  constructor(options: StoreCampaignOptions) {
    this.#options = options;
    this.#object = new LeaseObject(options);
    this.#report = new FailureReport(options.clock, options.log);
  }

  /** Rejects with `signal.reason` once it aborts, after the release; with ELECTION_UNSAFE; with others only for a bug. */
  async run(announce: (leadership: Leadership) => void, signal: AbortSignal): Promise<never> {
    const { log } = this.#options;
    try {
      await this.#persist(() => this.#checkStore(signal), signal);
      for (;;) {
        const tenure = await this.#persist(() => this.#approach(announce, signal), signal);
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

  /** Calls `step` until it gives something else than the milliseconds to wait before the next call. */
  async #persist<T extends object | true>(
    step: () => Promise<T | number>,
    signal: AbortSignal,
  ): Promise<T> {
    const { clock, random, ttlMs } = this.#options;
    const retry = { minMs: ttlMs / 15, maxMs: (ttlMs * 2) / 3 };
    for (let failures = 0; ; ) {
      let waitMs: number;
      try {
        const result = await step();
        this.#report.succeeded();
        if (typeof result !== "number") return result;
        waitMs = result;
        failures = 0;
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof ServiceError) || isFinal(error)) throw error;
        waitMs = backoffMs(retry, failures, random);
        failures += 1;
        this.#report.failed(error, waitMs);
      }
      await clock.sleep(Math.ceil(waitMs), signal);
    }
  }

  /** Rejects with ELECTION_UNSAFE. */
  async #checkStore(signal: AbortSignal): Promise<true> {
    const { conditional, clock, store } = this.#options;
    const what = `learn whether ${store.url} honours conditional writes`;
    if (await withLimit(QUESTION_LIMIT_MS, what, clock, conditional, signal)) return true;
    throw new ElectionError(
      "ELECTION_UNSAFE",
      `${store.url} does not honour conditional writes: a lease there keeps nobody from writing`,
      {
        hint: "Run one exporter and set KONG_FALLBACK_ELECTION=off, or use a store that honours them.",
      },
    );
  }

  /** Looks once, and takes the lease if it is free; else the milliseconds until it is worth to look again. */
  async #approach(
    announce: (leadership: Leadership) => void,
    signal: AbortSignal,
  ): Promise<Tenure | number> {
    const { random, ttlMs } = this.#options;
    const sight = await this.#look(signal);
    if (this.#freeInMs(sight) <= 0) await this.#askFloor(signal);
    // Asked again: where tokens were given out, a missing lease is not free at once.
    const freeInMs = this.#freeInMs(sight);
    if (freeInMs <= 0) return this.#acquire(sight.found, signal);
    const lease = sight.found?.lease;
    const holder = lease === undefined ? undefined : `${lease.holder} on ${lease.hostname}`;
    announce({ kind: "follower", holder });
    // 2 to 5 s for a TTL of 15 s.
    return Math.min(freeInMs, (ttlMs * (2 + 3 * random())) / 15);
  }

  async #look(signal: AbortSignal): Promise<Sight> {
    const { clock, random, ttlMs } = this.#options;
    const what = `read ${this.#object.name}`;
    const found = await withLimit(ttlMs / 3, what, clock, (s) => this.#object.read(s), signal);
    this.#highest = Math.max(this.#highest, found?.lease.token ?? 0);
    if (this.#sight === undefined || this.#sight.found?.version !== found?.version) {
      this.#sight = { found, sinceMs: clock.monotonicMs(), jitterMs: (random() * ttlMs) / 15 };
    }
    return this.#sight;
  }

  async #askFloor(signal: AbortSignal): Promise<void> {
    const { clock, floor, store } = this.#options;
    const what = `learn the highest fencing token in ${store.url}`;
    const known = await withLimit(QUESTION_LIMIT_MS, what, clock, floor, signal);
    this.#highest = Math.max(this.#highest, known);
  }

  /** Not positive: now. */
  #freeInMs({ found, sinceMs, jitterMs }: Sight): number {
    const { clock, ttlMs } = this.#options;
    const seenForMs = clock.monotonicMs() - sinceMs;
    // One that was deleted, perhaps under its holder, is waited for like one that is held.
    if (found === undefined) return this.#highest === 0 ? 0 : ttlMs + jitterMs - seenForMs;
    // Ours, and we do not hold it: it was not renewed in time, or our write of it seemed to fail.
    const restMs = this.#object.isOurs(found.lease) ? 0 : protectedMs(found.lease);
    return restMs === 0 ? 0 : restMs + jitterMs - seenForMs;
  }

  async #acquire(found: FoundLease | undefined, signal: AbortSignal): Promise<Tenure | number> {
    const { clock, random, ttlMs } = this.#options;
    if (this.#highest >= MAX_TOKEN) {
      throw new ElectionError("ELECTION_CORRUPT", `no fencing token is left after ${MAX_TOKEN}`, {
        hint: `No count gets there: look who wrote such a token to ${this.#object.name} or into the snapshot's metadata.`,
      });
    }
    const lease = this.#object.draft(this.#highest + 1, "held");
    const when: Precondition =
      found === undefined ? { ifAbsent: true } : { ifVersion: found.version };
    this.#hasTried = true;
    const sinceMs = clock.monotonicMs();
    try {
      const what = `write ${this.#object.name}`;
      const write = (s: AbortSignal) => this.#object.write(lease, when, s);
      const version = await withLimit(ttlMs / 3, what, clock, write, signal);
      const tenure = new Tenure({ lease, version }, sinceMs, {
        ...{ object: this.#object, report: this.#report },
        ...{ clock, random, ttlMs },
      });
      // The answer may have waited for us: of a process that stood still, others have taken over.
      if (tenure.leftMs > 0) {
        this.#highest = lease.token;
        // What was seen before says nothing about what will lie there afterwards.
        this.#sight = undefined;
        return tenure;
      }
    } catch (error) {
      if (!(error instanceof StoreError) || error.code !== "STORE_PRECONDITION_FAILED") throw error;
      // Somebody else was faster.
    }
    return (ttlMs * (1 + random())) / 30;
  }

  /** Writes an expired lease over ours, so that the next one need not wait. Rejects only for a bug. */
  async #release(): Promise<void> {
    const { clock, log } = this.#options;
    const always = new AbortController().signal;
    try {
      const what = `release ${this.#object.name}`;
      await withLimit(RELEASE_LIMIT_MS, what, clock, (s) => this.#giveUp(s), always);
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error;
      log.warn({ err: error }, "lease not released, another exporter takes it when it expires");
    }
  }

  async #giveUp(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#options;
    for (;;) {
      try {
        const found = await this.#object.read(signal);
        if (found === undefined || !this.#object.isOurs(found.lease)) return;
        const { token, state } = found.lease;
        if (state === "released") return;
        const lease = this.#object.draft(token, "released");
        await this.#object.write(lease, { ifVersion: found.version }, signal);
        log.info({ fencingToken: token }, "lease released");
        return;
      } catch (error) {
        if (!(error instanceof StoreError)) throw error;
        // A renewal that was under way came first, or the answer was lost: only a fresh look tells.
        if (!error.retryable && error.code !== "STORE_PRECONDITION_FAILED") throw error;
      }
      await clock.sleep(RELEASE_RETRY_MS, signal);
    }
  }
}

/** No use in trying again. */
function isFinal(error: ServiceError): boolean {
  return error instanceof ElectionError && error.code === "ELECTION_UNSAFE";
}
