/** Tries again until an attempt succeeds, fails for good, or the time for all of them is used up. */

import { type BackoffPolicy, backoffMs } from "../core/backoff.ts";
import type { Clock } from "../core/clock.ts";
import { ServiceError } from "../core/errors.ts";

export interface RetryOptions {
  /** Time for all attempts and the waits between them, milliseconds. */
  readonly budgetMs: number;
  readonly backoff: BackoffPolicy;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  /** What to throw if the time runs out before any attempt has failed, e.g. while the first one hangs. */
  readonly timedOut: () => ServiceError;
  /** Called before each wait, with the attempt that failed (from 1) and the wait to come. */
  readonly onRetry: (error: ServiceError, attempt: number, delayMs: number) => void;
}

/**
 * The first result. A `ServiceError` that is not `retryable`, and anything else, is thrown at once;
 * so is the last error when the next wait would end after the budget. Where the other side asked
 * for a longer wait (`retryAfterMs`), it gets it. Rejects with `signal.reason` once `signal` aborts;
 * the signal an attempt gets also ends with the budget.
 */
export async function retryWithin<T>(
  options: RetryOptions,
  signal: AbortSignal,
  attempt: (signal: AbortSignal, number: number) => Promise<T>,
): Promise<T> {
  const { budgetMs, clock } = options;
  const deadline = clock.monotonicMs() + budgetMs;
  const budget = new AbortController();
  const done = new AbortController();
  clock.sleep(budgetMs, done.signal).then(
    () => budget.abort(),
    // Only `done` ends this sleep early.
    () => {},
  );
  const both = AbortSignal.any([signal, budget.signal]);
  let last: ServiceError | undefined;
  try {
    for (let number = 1; ; number += 1) {
      signal.throwIfAborted();
      try {
        return await attempt(both, number);
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof ServiceError)) {
          throw budget.signal.aborted ? (last ?? options.timedOut()) : error;
        }
        if (!error.retryable) throw error;
        last = error;
        const delayMs = waitMs(error, number, options);
        if (clock.monotonicMs() + delayMs >= deadline) throw error;
        options.onRetry(error, number, delayMs);
        await clock.sleep(delayMs, signal);
      }
    }
  } finally {
    done.abort();
  }
}

function waitMs(error: ServiceError, failures: number, options: RetryOptions): number {
  const own = backoffMs(options.backoff, failures, options.random);
  const asked = "retryAfterMs" in error ? error.retryAfterMs : undefined;
  return typeof asked === "number" ? Math.max(own, asked) : own;
}
