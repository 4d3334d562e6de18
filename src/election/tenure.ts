/** One time of holding the lease: renewed until it is lost, and given up by one's own clock before anybody else may take it. */

import { type BackoffPolicy, backoffMs } from "../core/backoff.ts";
import type { Clock } from "../core/clock.ts";
import { ServiceError } from "../core/errors.ts";
import { StoreError } from "../store/port.ts";
import type { FailureReport } from "./failure-report.ts";
import type { FoundLease, LeaseObject } from "./lease-object.ts";
import { withLimit } from "./limit.ts";
import { ElectionError } from "./port.ts";

export interface TenureOptions {
  readonly object: LeaseObject;
  readonly ttlMs: number;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  readonly report: FailureReport;
}

/** A lease of ours as it lies in the store. */
interface Grant extends FoundLease {
  /** When the write of it began, by the monotonic clock: nobody can have seen it before. */
  readonly sinceMs: number;
}

/** Parts of the TTL: a renewal is due after a third; a fifth is left for clocks that run apart, and for letting go. */
const RENEW_AFTER = 1 / 3;
const HOLD_FOR = 4 / 5;

export class Tenure {
  readonly #options: TenureOptions;
  /** When each write began that may have happened since the last one known to have succeeded, by sequence. */
  readonly #begun = new Map<number, number>();
  #grant: Grant;

  /** `first`: as it was acquired, by a write that began at `sinceMs` of the monotonic clock. */
  constructor(first: FoundLease, sinceMs: number, options: TenureOptions) {
    this.#options = options;
    this.#grant = { ...first, sinceMs };
  }

  get token(): number {
    return this.#grant.lease.token;
  }

  /** Milliseconds until it ends by itself; not positive once it has. */
  get leftMs(): number {
    const { clock, ttlMs } = this.#options;
    return this.#grant.sinceMs + ttlMs * HOLD_FOR - clock.monotonicMs();
  }

  /** Renews; resolves, with the reason for the log, once the lease is lost. Rejects with `signal.reason`. */
  async hold(signal: AbortSignal): Promise<string> {
    const { clock, random, report, ttlMs, object } = this.#options;
    const retry: BackoffPolicy = { minMs: ttlMs / 60, maxMs: ttlMs / 15 };
    const stepMs = ttlMs * RENEW_AFTER;
    let failures = 0;
    let dueInMs = this.#renewalDueInMs();
    for (;;) {
      const sleepMs = Math.ceil(Math.min(dueInMs, this.leftMs));
      if (sleepMs > 0) await clock.sleep(sleepMs, signal);
      const leftMs = this.leftMs;
      if (leftMs <= 0) return "it could not be renewed in time";
      try {
        const limitMs = Math.min(leftMs, stepMs);
        const what = `renew ${object.name}`;
        const outcome = await withLimit(limitMs, what, clock, (s) => this.#renew(s), signal);
        if (typeof outcome === "string") return outcome;
        this.#grant = outcome;
        this.#begun.clear();
        report.succeeded();
        failures = 0;
        dueInMs = this.#renewalDueInMs();
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof ServiceError)) throw error;
        dueInMs = backoffMs(retry, failures, random);
        failures += 1;
        report.failed(error, dueInMs);
      }
    }
  }

  #renewalDueInMs(): number {
    const { clock, ttlMs } = this.#options;
    return this.#grant.sinceMs + ttlMs * RENEW_AFTER - clock.monotonicMs();
  }

  /** The new grant, or why there is none any more. Rejects where neither is known. */
  async #renew(signal: AbortSignal): Promise<Grant | string> {
    const { object, clock } = this.#options;
    const { version, lease: before } = this.#grant;
    const sinceMs = clock.monotonicMs();
    const lease = object.draft(before.token, "held");
    this.#begun.set(lease.sequence, sinceMs);
    try {
      return { lease, version: await object.write(lease, { ifVersion: version }, signal), sinceMs };
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      // Whatever failed: this write, or an earlier one that seemed to fail, may have happened.
      return this.#recognise(error, signal);
    }
  }

  async #recognise(cause: StoreError, signal: AbortSignal): Promise<Grant | string> {
    const { object } = this.#options;
    let found: FoundLease | undefined;
    try {
      found = await object.read(signal);
    } catch (error) {
      // The follower who looks next tells the operator.
      if (error instanceof ElectionError && error.code === "ELECTION_CORRUPT") {
        return "it was damaged";
      }
      throw error;
    }
    if (found === undefined) return "it was deleted";
    if (found.version === this.#grant.version) throw cause;
    const { lease } = found;
    if (!object.isOurs(lease)) return `${lease.holder} on ${lease.hostname} took it`;
    const sinceMs = this.#begun.get(lease.sequence);
    return sinceMs === undefined ? "an older one was put back" : { ...found, sinceMs };
  }
}
