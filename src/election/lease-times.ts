/** How long what lasts in an election by a lease: parts of its TTL, so that one setting scales all of it. */

import type { BackoffPolicy } from "../core/backoff.ts";

/** Milliseconds each. */
export interface LeaseTimes {
  /** How long others leave the lease alone after they saw it change. */
  readonly ttlMs: number;
  /** How long after the beginning of its last good write the holder steps down. */
  readonly holdMs: number;
  /** From the beginning of one good write of the holder to the next. */
  readonly renewAfterMs: number;
  /** From one look of a follower to the next, at random within it. */
  readonly look: { readonly minMs: number; readonly maxMs: number };
  /** The same where another one was faster: only who it was is to be seen. */
  readonly lookAfterRace: { readonly minMs: number; readonly maxMs: number };
  /** After a renewal that failed. */
  readonly retry: BackoffPolicy;
  /** Longest wait for the answers to one look, acquisition or renewal. */
  readonly requestLimitMs: number;
}

/** Parts of the TTL. What `holdFor` leaves of it is for clocks that run apart, and for letting go. */
export interface LeasePace {
  readonly holdFor: number;
  readonly renewAfter: number;
  readonly lookWithin: number;
}

/** Of 15 s: 12 s, 5 s, and looks every 2 to 5 s, for each request to a store costs money. */
export const STORE_PACE: LeasePace = { holdFor: 4 / 5, renewAfter: 1 / 3, lookWithin: 5 / 15 };

/**
 * Of 15 s: 10 s, 2 s, and looks every 2 to 4.4 s, as of Kubernetes' own controllers.
 * kubernetes/client-go@v0.36.3 tools/leaderelection/leaderelection.go
 */
export const KUBERNETES_PACE: LeasePace = {
  holdFor: 10 / 15,
  renewAfter: 2 / 15,
  lookWithin: 4.4 / 15,
};

export function leaseTimes(ttlMs: number, pace: LeasePace): LeaseTimes {
  return {
    ttlMs,
    holdMs: ttlMs * pace.holdFor,
    renewAfterMs: ttlMs * pace.renewAfter,
    look: { minMs: (ttlMs * 2) / 15, maxMs: ttlMs * pace.lookWithin },
    lookAfterRace: { minMs: ttlMs / 30, maxMs: ttlMs / 15 },
    retry: { minMs: ttlMs / 60, maxMs: ttlMs / 15 },
    requestLimitMs: ttlMs / 3,
  };
}
