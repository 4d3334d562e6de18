/** One time of holding the lease: renewed until it is lost, and given up by one's own clock before anybody else may take it. */

import { backoffMs } from "../core/backoff.ts";
import type { Clock } from "../core/clock.ts";
import { ServiceError } from "../core/errors.ts";
import type { FailureReport } from "./failure-report.ts";
import type { LeasePlace, SeenLease } from "./lease-place.ts";
import type { LeaseTimes } from "./lease-times.ts";
import { withLimit } from "./limit.ts";
import { ElectionError } from "./port.ts";

export interface TenureOptions<Seen extends SeenLease> {
  readonly place: LeasePlace<Seen>;
  readonly times: LeaseTimes;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  readonly report: FailureReport;
}

export class Tenure<Seen extends SeenLease> {
  readonly #options: TenureOptions<Seen>;
  #lease: Seen;
  /** When the write of it began, by the monotonic clock: nobody can have seen it before. */
  #sinceMs: number;

  /** `lease`: as it was taken, by a write that began at `sinceMs` of the monotonic clock. */
  constructor(lease: Seen, sinceMs: number, options: TenureOptions<Seen>) {
    this.#lease = lease;
    this.#sinceMs = sinceMs;
    this.#options = options;
  }

  get token(): number {
    return this.#lease.token;
  }

  /** Milliseconds until it ends by itself; not positive once it has. */
  get leftMs(): number {
    const { clock, times } = this.#options;
    return this.#sinceMs + times.holdMs - clock.monotonicMs();
  }

  /** Renews; resolves, with the reason for the log, once the lease is lost. Rejects with `signal.reason`. */
  async hold(signal: AbortSignal): Promise<string> {
    const { clock, place, random, report, times } = this.#options;
    let failures = 0;
    let dueAtMs = this.#sinceMs + times.renewAfterMs;
    for (;;) {
      const sleepMs = Math.ceil(Math.min(dueAtMs - clock.monotonicMs(), this.leftMs));
      if (sleepMs > 0) await clock.sleep(sleepMs, signal);
      const leftMs = this.leftMs;
      if (leftMs <= 0) return "it could not be renewed in time";
      const sinceMs = clock.monotonicMs();
      try {
        const limitMs = Math.min(leftMs, times.requestLimitMs);
        const call = { what: `renew ${place.name}`, server: place.server, limitMs };
        const outcome = await withLimit(call, clock, (s) => this.#renew(s), signal);
        if (typeof outcome === "string") return outcome;
        this.#lease = outcome;
        this.#sinceMs = sinceMs;
        report.succeeded();
        failures = 0;
        dueAtMs = sinceMs + times.renewAfterMs;
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof ServiceError)) throw error;
        // The follower who looks next tells the operator.
        if (error.code === "ELECTION_CORRUPT") return "it was damaged";
        const waitMs = backoffMs(times.retry, failures, random);
        failures += 1;
        report.failed(error, waitMs);
        dueAtMs = clock.monotonicMs() + waitMs;
      }
    }
  }

  /** The lease renewed, or why it is ours no more. Rejects where neither is known. */
  async #renew(signal: AbortSignal): Promise<Seen | string> {
    const { place } = this.#options;
    const held = this.#lease;
    const renewed = await place.renew(held, signal);
    if (renewed !== undefined) return renewed;
    const found = await place.read(signal);
    if (found === undefined) return "it was deleted";
    if (!found.isOurs) return found.holder === "" ? "it was released" : `${found.holder} took it`;
    if (found.token !== held.token) return "its token was changed";
    if (found.sequence < held.sequence) return "an older one was put back";
    // A renewal that seemed to fail had happened, or somebody changed what is not ours in it.
    const second = await place.renew(found, signal);
    if (second !== undefined) return second;
    const message = `could not renew ${place.name}: it changes all the time`;
    throw new ElectionError("ELECTION_UNAVAILABLE", message);
  }
}
