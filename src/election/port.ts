/** Who may write: one of several exporters at a time, by one interface with one conformance suite (test/election/conformance.ts). */

import { type ErrorDetails, ServiceError } from "../core/errors.ts";

export type Leadership =
  /**
   * This exporter may write. `token`, a non-negative integer, is the fencing token: with each new
   * holder it is greater than every one before, however often exporters start anew.
   */
  | { readonly kind: "holder"; readonly token: number }
  /** Another one may, or nobody. `holder`, for people, says who holds the lease, as far as is known. */
  | { readonly kind: "follower"; readonly holder: string | undefined };

/**
 * At most one exporter is the holder at a time, as long as its process runs. One that stood still
 * learns of its loss only when it runs again: so each write is fenced by the token all the same.
 */
export interface Election extends AsyncDisposable {
  /** What is contended for, for logs. */
  readonly name: string;
  /**
   * Takes part until `signal` aborts, and yields each change, the first as soon as it is known; a
   * consumer slower than the changes sees only the newest. Renewing does not wait for the consumer.
   * The driver logs what it gains and loses, and failures, after which it tries again by itself.
   *
   * Once `signal` aborts, a holder gives up the lease at once, so that another one may take it; then,
   * within a few seconds whether that worked or not, the iteration rejects with `signal.reason`.
   * Breaking off the iteration, or dispose, gives up as well; after dispose it rejects with
   * ELECTION_CLOSED. Rejects with ElectionError where no election is possible. One campaign at a time.
   */
  campaign(signal: AbortSignal): AsyncIterable<Leadership>;
}

/**
 * - `ELECTION_CORRUPT`: what lies in place of the lease is none: changed by hand or damaged. Nobody is elected until it is deleted.
 * - `ELECTION_UNSAFE`: the store does not honour conditional writes, so it cannot tell one exporter from two. Run one only, and say so.
 * - `ELECTION_UNAVAILABLE`: network, timeout, throttling, 5xx where the lease lies. Retried.
 * - `ELECTION_DENIED`: the lease may not be read or written with these credentials. Fix the credentials or the role.
 * - `ELECTION_MISCONFIGURED`: the settings lead to no Kubernetes API server, or to a namespace that does not exist. Fix the kubeconfig, the address or the namespace.
 * - `ELECTION_CLOSED`: used after it was closed; a bug of ours.
 */
export type ElectionErrorCode =
  | "ELECTION_CORRUPT"
  | "ELECTION_UNSAFE"
  | "ELECTION_UNAVAILABLE"
  | "ELECTION_DENIED"
  | "ELECTION_MISCONFIGURED"
  | "ELECTION_CLOSED";

export class ElectionError extends ServiceError {
  readonly code: ElectionErrorCode;
  readonly exitStatus: 2 | 4;

  constructor(code: ElectionErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, { retryable: code === "ELECTION_UNAVAILABLE", ...details });
    this.code = code;
    this.exitStatus = code === "ELECTION_UNSAFE" || code === "ELECTION_MISCONFIGURED" ? 2 : 4;
  }
}
