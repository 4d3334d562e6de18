/** One time of holding the lease: renewed until it is lost, and given up by one's own clock before anybody else may take it. */

import type { Clock } from "../core/clock.ts";
import { ServiceError } from "../core/errors.ts";
import type { FailureNews } from "../core/failure-news.ts";
import type { Log } from "../core/log.ts";
import { Backoff } from "../core/trying.ts";
import { within } from "../core/waiting.ts";
import { logFailure } from "./campaigns.ts";
import {
  answerBy,
  keepsChanging,
  type LeasePlace,
  type LeaseTimes,
  type SeenLease,
} from "./lease.ts";

export interface TenureOptions<Seen extends SeenLease> {
  readonly place: LeasePlace<Seen>;
  readonly times: LeaseTimes;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  readonly news: FailureNews;
  readonly log: Log;
}

type Renewal<Seen extends SeenLease> =
  | { readonly kind: "renewed"; readonly lease: Seen }
  /** It is ours no more; `why` is for the log. */
  | { readonly kind: "lost"; readonly why: string };

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
    const { clock, random, news, log, times } = this.#options;
    const backoff = new Backoff(random);
    let dueAtMs = this.#sinceMs + times.renewAfterMs;
    for (;;) {
      const sleepMs = Math.ceil(Math.min(dueAtMs - clock.monotonicMs(), this.leftMs));
      if (sleepMs > 0) await clock.sleep(sleepMs, signal);
      if (this.leftMs <= 0) return "it could not be renewed in time";
      const sinceMs = clock.monotonicMs();
      try {
        const renewal = await this.#renewInTime(signal);
        if (renewal.kind === "lost") return renewal.why;
        this.#lease = renewal.lease;
        this.#sinceMs = sinceMs;
        news.end();
        backoff.succeeded();
        dueAtMs = sinceMs + times.renewAfterMs;
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof ServiceError)) throw error;
        // The follower who looks next tells the operator.
        if (error.code === "ELECTION_CORRUPT") return "it was damaged";
        const waitMs = backoff.failed(times.retry);
        logFailure(error, waitMs, { news, log });
        dueAtMs = clock.monotonicMs() + waitMs;
      }
    }
  }

  #renewInTime(signal: AbortSignal): Promise<Renewal<Seen>> {
    const { clock, place, times } = this.#options;
    const limitMs = Math.min(this.leftMs, times.requestLimitMs);
    const question = { what: `renew ${place.name}`, server: place.server, limitMs };
    return within(answerBy(question, clock), signal, (s) => this.#renew(s));
  }

  /** Rejects where it is not known whether the lease is still ours. */
  async #renew(signal: AbortSignal): Promise<Renewal<Seen>> {
    const { place } = this.#options;
    const held = this.#lease;
    const renewed = await place.renew(held, signal);
    if (renewed !== undefined) return { kind: "renewed", lease: renewed };
    const found = await place.read(signal);
    const why = whyLost(held, found);
    if (why !== undefined) return { kind: "lost", why };
    // A renewal that seemed to fail had happened, or somebody changed what is not ours in it.
    const second = found && (await place.renew(found, signal));
    if (second === undefined) throw keepsChanging(`renew ${place.name}`);
    return { kind: "renewed", lease: second };
  }
}

/** Undefined where what lies there in place of `held` is still ours. */
function whyLost(held: SeenLease, found: SeenLease | undefined): string | undefined {
  if (found === undefined) return "it was deleted";
  if (found.claim.kind === "free") return "it was released";
  if (found.claim.kind === "held") return `${found.claim.holder} took it`;
  if (found.token !== held.token) return "its token was changed";
  if (found.sequence < held.sequence) return "an older one was put back";
  return undefined;
}
