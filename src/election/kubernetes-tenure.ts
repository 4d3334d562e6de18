/** One time of holding the Lease: renewed until it is lost, and given up by one's own clock before anybody else may take it. */

import type { Clock } from "../core/clock.ts";
import { ServiceError } from "../core/errors.ts";
import type { FailureReport } from "./failure-report.ts";
import type { KubernetesLease, LeaseDraft, LeasePlace } from "./kubernetes-lease.ts";
import type { KubernetesTimes } from "./kubernetes-times.ts";
import { withLimit } from "./limit.ts";
import { ElectionError } from "./port.ts";

export interface KubernetesTenureOptions {
  readonly place: LeasePlace;
  readonly times: KubernetesTimes;
  readonly clock: Clock;
  readonly report: FailureReport;
}

export class KubernetesTenure {
  readonly #options: KubernetesTenureOptions;
  /** As it was acquired; renewals change nothing but the time. */
  readonly #draft: LeaseDraft;
  #lease: KubernetesLease;
  /** When the write of it began, by the monotonic clock: nobody can have seen it before. */
  #sinceMs: number;

  /** `lease` was acquired by writing `draft`, which began at `sinceMs` of the monotonic clock. */
  constructor(
    draft: LeaseDraft,
    lease: KubernetesLease,
    sinceMs: number,
    options: KubernetesTenureOptions,
  ) {
    this.#draft = draft;
    this.#lease = lease;
    this.#sinceMs = sinceMs;
    this.#options = options;
  }

  get token(): number {
    return this.#draft.token;
  }

  /** Milliseconds until it ends by itself; not positive once it has. */
  get leftMs(): number {
    const { clock, times } = this.#options;
    return this.#sinceMs + times.renewDeadlineMs - clock.monotonicMs();
  }

  /** Renews; resolves, with the reason for the log, once the Lease is lost. Rejects with `signal.reason`. */
  async hold(signal: AbortSignal): Promise<string> {
    const { clock, place, report, times } = this.#options;
    for (let triedAtMs = this.#sinceMs; ; ) {
      const dueInMs = triedAtMs + times.retryMs - clock.monotonicMs();
      const sleepMs = Math.ceil(Math.min(dueInMs, this.leftMs));
      if (sleepMs > 0) await clock.sleep(sleepMs, signal);
      const leftMs = this.leftMs;
      if (leftMs <= 0) return "it could not be renewed in time";
      triedAtMs = clock.monotonicMs();
      try {
        const limitMs = Math.min(leftMs, times.requestLimitMs);
        const what = `renew ${place.name}`;
        const outcome = await withLimit(limitMs, what, clock, (s) => this.#renew(s), signal);
        if (typeof outcome === "string") return outcome;
        this.#lease = outcome;
        this.#sinceMs = triedAtMs;
        report.succeeded();
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof ServiceError)) throw error;
        // The follower who looks next tells the operator.
        if (error.code === "ELECTION_CORRUPT") return "it was damaged";
        report.failed(error, Math.max(0, triedAtMs + times.retryMs - clock.monotonicMs()));
      }
    }
  }

  /** The Lease renewed, or why it is ours no more. Rejects where neither is known. */
  async #renew(signal: AbortSignal): Promise<KubernetesLease | string> {
    const { place, clock } = this.#options;
    const draft: LeaseDraft = { ...this.#draft, renewedAt: clock.now() };
    const renewed = await place.write(draft, this.#lease, signal);
    if (renewed !== undefined) return renewed;
    const found = await place.read(signal);
    if (found === undefined) return "it was deleted";
    const { holder, token } = found;
    if (holder !== draft.holder) return holder === "" ? "it was released" : `${holder} took it`;
    if (token !== draft.token) return "its token was changed";
    // A renewal that seemed to fail had happened, or somebody changed a label.
    const second = await place.write(draft, found, signal);
    if (second !== undefined) return second;
    const message = `could not renew ${place.name}: it changes all the time`;
    throw new ElectionError("ELECTION_UNAVAILABLE", message);
  }
}
