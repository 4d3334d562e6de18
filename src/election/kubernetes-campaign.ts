/** One exporter's part in the election by a Kubernetes Lease: watch, take it when it is free, hold it, give it up. */

import { randomUUID } from "node:crypto";
import type { Clock } from "../core/clock.ts";
import { ServiceError } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import { FailureReport } from "./failure-report.ts";
import type { KubernetesLease, LeaseDraft, LeasePlace } from "./kubernetes-lease.ts";
import { KubernetesTenure } from "./kubernetes-tenure.ts";
import { followMs, type KubernetesTimes } from "./kubernetes-times.ts";
import { MAX_TOKEN } from "./lease.ts";
import { withLimit } from "./limit.ts";
import { ElectionError, type Leadership } from "./port.ts";

export interface KubernetesCampaignOptions {
  readonly place: LeasePlace;
  readonly exporter: { readonly id: string; readonly hostname: string };
  readonly times: KubernetesTimes;
  readonly floor: (signal: AbortSignal) => Promise<number>;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
}

/** What was seen in place of the Lease, and not changed since. */
interface Sight {
  readonly found: KubernetesLease | undefined;
  /** When the first answer that showed it was there, by the monotonic clock: its holder may have renewed until then. */
  readonly sinceMs: number;
}

/** Reading a snapshot may take its time, but not the whole shutdown. */
const QUESTION_LIMIT_MS = 60_000;
/** Of the 10 s that a shutdown may take. */
const RELEASE_LIMIT_MS = 3_000;
const RELEASE_RETRY_MS = 100;

export class KubernetesCampaign {
  readonly #options: KubernetesCampaignOptions;
  readonly #report: FailureReport;
  /** As client-go's: a UUID for each campaign, so that two exporters that were given one id are told apart all the same. */
  readonly #identity: string;
  #sight: Sight | undefined;
  /** Highest token this campaign knows of. */
  #highest = 0;
  /** Whether the Lease may be ours. */
  #hasTried = false;

  constructor(options: KubernetesCampaignOptions) {
    const { exporter, clock, log } = options;
    this.#options = options;
    this.#report = new FailureReport(clock, log);
    this.#identity = `${exporter.hostname}_${exporter.id}_${randomUUID()}`;
  }

  /** Rejects with `signal.reason` once it aborts, after the release; with others only for a bug. */
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

  /** Looks until it has the Lease. */
  async #acquire(
    announce: (leadership: Leadership) => void,
    signal: AbortSignal,
  ): Promise<KubernetesTenure> {
    const { clock, random, times } = this.#options;
    for (;;) {
      let waitMs = followMs(times, random);
      try {
        const result = await this.#approach(announce, signal);
        this.#report.succeeded();
        if (result instanceof KubernetesTenure) return result;
        waitMs = Math.min(waitMs, result);
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof ServiceError)) throw error;
        this.#report.failed(error, waitMs);
      }
      await clock.sleep(Math.ceil(waitMs), signal);
    }
  }

  /** Looks once, and takes the Lease if it is free; else the milliseconds until it may be. */
  async #approach(
    announce: (leadership: Leadership) => void,
    signal: AbortSignal,
  ): Promise<KubernetesTenure | number> {
    const sight = await this.#look(signal);
    if (this.#freeInMs(sight) <= 0) await this.#askFloor(signal);
    // Asked again: where tokens were given out, a missing Lease is not free at once.
    const freeInMs = this.#freeInMs(sight);
    if (freeInMs <= 0) return (await this.#take(sight.found, signal)) ?? Number.POSITIVE_INFINITY;
    announce({ kind: "follower", holder: sight.found?.holder });
    return freeInMs;
  }

  async #look(signal: AbortSignal): Promise<Sight> {
    const { clock, place, times } = this.#options;
    const what = `read ${place.name}`;
    const limitMs = times.requestLimitMs;
    const found = await withLimit(limitMs, what, clock, (s) => place.read(s), signal);
    this.#highest = Math.max(this.#highest, found?.token ?? 0);
    if (this.#sight === undefined || this.#sight.found?.version !== found?.version) {
      this.#sight = { found, sinceMs: clock.monotonicMs() };
    }
    return this.#sight;
  }

  async #askFloor(signal: AbortSignal): Promise<void> {
    const { clock, floor, place } = this.#options;
    const what = `learn the highest fencing token for ${place.name}`;
    const known = await withLimit(QUESTION_LIMIT_MS, what, clock, floor, signal);
    this.#highest = Math.max(this.#highest, known);
  }

  /** Not positive: now. */
  #freeInMs({ found, sinceMs }: Sight): number {
    const { clock, times } = this.#options;
    const seenForMs = clock.monotonicMs() - sinceMs;
    // One that was deleted, perhaps under its holder, is waited for like one that is held.
    if (found === undefined) return this.#highest === 0 ? 0 : times.ttlMs - seenForMs;
    // Ours, and we do not hold it: it was not renewed in time, or our write of it seemed to fail.
    if (found.holder === "" || found.holder === this.#identity) return 0;
    return found.ttlMs - seenForMs;
  }

  /** Undefined if somebody else was faster. */
  async #take(
    found: KubernetesLease | undefined,
    signal: AbortSignal,
  ): Promise<KubernetesTenure | undefined> {
    const { clock, place, times } = this.#options;
    if (this.#highest >= MAX_TOKEN) {
      throw new ElectionError("ELECTION_CORRUPT", `no fencing token is left after ${MAX_TOKEN}`, {
        hint: `No count gets there: look who wrote such a token to ${place.name} or into the snapshot's metadata.`,
      });
    }
    const draft: LeaseDraft = {
      holder: this.#identity,
      token: this.#highest + 1,
      ttlSeconds: Math.ceil(times.ttlMs / 1_000),
      transitions: (found?.transitions ?? 0) + 1,
      acquiredAt: clock.now(),
      renewedAt: clock.now(),
    };
    this.#hasTried = true;
    const sinceMs = clock.monotonicMs();
    const what = `take ${place.name}`;
    const write = (s: AbortSignal) => place.write(draft, found, s);
    const lease = await withLimit(times.requestLimitMs, what, clock, write, signal);
    if (lease === undefined) return undefined;
    const tenure = new KubernetesTenure(draft, lease, sinceMs, {
      ...{ place, times, clock },
      report: this.#report,
    });
    // The answer may have waited for us: of a process that stood still, others have taken over.
    if (tenure.leftMs <= 0) return undefined;
    this.#highest = draft.token;
    // What was seen before says nothing about what will lie there afterwards.
    this.#sight = undefined;
    return tenure;
  }

  /** Writes a Lease without a holder over ours, so that the next one need not wait. Rejects only for a bug. */
  async #release(): Promise<void> {
    const { clock, log, place } = this.#options;
    const always = new AbortController().signal;
    try {
      const what = `release ${place.name}`;
      await withLimit(RELEASE_LIMIT_MS, what, clock, (s) => this.#giveUp(s), always);
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
        if (found?.holder !== this.#identity) return;
        const { token, transitions } = found;
        const now = clock.now();
        // kubernetes/client-go@v0.36.3 tools/leaderelection/leaderelection.go:release
        const draft = { holder: "", ttlSeconds: 1, token, transitions };
        const times = { acquiredAt: now, renewedAt: now };
        if ((await place.write({ ...draft, ...times }, found, signal)) !== undefined) {
          log.info({ fencingToken: token }, "lease released");
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
}
