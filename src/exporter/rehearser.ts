/** Port to whatever loads a config to see whether it can be restored. */

import { type ErrorDetails, ServiceError } from "../core/errors.ts";

/** What came of it. `reasons`: one line for each error, without values of the config. */
export type RehearsalResult =
  | { readonly kind: "passed" }
  | { readonly kind: "refused"; readonly reasons: readonly string[] };

export interface Rehearser {
  /** Loads the config and waits until it is served. One at a time; no retry inside. Rejects with RehearsalError, or with `signal.reason`. */
  rehearse(config: Uint8Array, signal: AbortSignal): Promise<RehearsalResult>;
}

/**
 * - `REHEARSAL_UNAVAILABLE`: the Kong of KONG_FALLBACK_REHEARSAL_URL does not answer, fails, is busy, or did not show the config in time. Retried; with `required` nothing is saved until then.
 * - `REHEARSAL_MISCONFIGURED`: it is of another version, has a database, denies us, takes no body that long, or is no Admin API. Retried all the same, for it may be mended.
 */
export type RehearsalErrorCode = "REHEARSAL_UNAVAILABLE" | "REHEARSAL_MISCONFIGURED";

export class RehearsalError extends ServiceError {
  readonly code: RehearsalErrorCode;
  readonly exitStatus = 4;

  constructor(code: RehearsalErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, { retryable: true, ...details });
    this.code = code;
  }
}
