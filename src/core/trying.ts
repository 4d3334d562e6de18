/** Trying again: one way to count failures, to wait between attempts, and to give up. */

import type { Clock } from "./clock.ts";
import { ServiceError } from "./errors.ts";
import { within } from "./waiting.ts";

/** Exponential, capped, with jitter: the n-th failure in a row is followed by a delay between `minMs` and `minMs * 2^n`. */
export interface BackoffPolicy {
  /** Shortest delay ever given, milliseconds. */
  readonly minMs: number;
  /** Longest delay ever given, milliseconds. */
  readonly maxMs: number;
}

/** Counts failures in a row, and says how long to wait after each. */
export class Backoff {
  readonly #random: () => number;
  #failures = 0;

  /** `random` gives numbers in [0, 1). */
  constructor(random: () => number) {
    this.#random = random;
  }

  /** In a row, so far. */
  get failures(): number {
    return this.#failures;
  }

  /**
   * Counts one more, and gives the delay before the next attempt, milliseconds: uniform between
   * `minMs` and `minMs * 2^failures`, capped at `maxMs`; what the other side asked for (`atLeastMs`)
   * where that is longer.
   */
  failed(policy: BackoffPolicy, atLeastMs = 0): number {
    this.#failures += 1;
    const ceiling = Math.min(policy.maxMs, policy.minMs * 2 ** Math.min(this.#failures, 30));
    const own = Math.round(policy.minMs + this.#random() * (ceiling - policy.minMs));
    return Math.max(own, atLeastMs);
  }

  /** The next failure is a first one. */
  succeeded(): void {
    this.#failures = 0;
  }
}

/** What the other side asked for by `Retry-After`, milliseconds; 0 where it did not. */
export function retryAfterMsOf(error: ServiceError): number {
  const asked = "retryAfterMs" in error ? error.retryAfterMs : undefined;
  return typeof asked === "number" ? asked : 0;
}

export interface Trying {
  readonly backoff: BackoffPolicy;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  /** Which errors are worth another attempt; by default those that are `retryable`. */
  readonly isWorthRetrying?: (error: ServiceError) => boolean;
  /** Called before each wait: `attempt`, from 1, failed, the next one comes in `delayMs`. */
  readonly onRetry?: (error: ServiceError, attempt: number, delayMs: number) => void;
}

/**
 * The first result. A `ServiceError` that is not worth retrying, and anything else, is thrown at once.
 * Where the other side asked for a longer wait (`retryAfterMs`), it gets it. Rejects with
 * `signal.reason` once `signal` aborts, between attempts and, as far as `attempt` heeds it, in one.
 */
export async function keepTrying<T>(
  trying: Trying,
  signal: AbortSignal,
  attempt: (signal: AbortSignal, number: number) => Promise<T>,
): Promise<T> {
  const { backoff, clock, random, isWorthRetrying = isRetryable, onRetry } = trying;
  const counter = new Backoff(random);
  for (;;) {
    signal.throwIfAborted();
    try {
      return await attempt(signal, counter.failures + 1);
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof ServiceError) || !isWorthRetrying(error)) throw error;
      const delayMs = counter.failed(backoff, retryAfterMsOf(error));
      onRetry?.(error, counter.failures, delayMs);
      await clock.sleep(delayMs, signal);
    }
  }
}

function isRetryable(error: ServiceError): boolean {
  return error.retryable;
}

export interface Budget {
  /** Time for all attempts and the waits between them, milliseconds. */
  readonly ms: number;
  /** What to throw if the time runs out before any attempt has failed, e.g. while the first one hangs. */
  readonly timedOut: () => ServiceError;
}

/**
 * `keepTrying` inside a budget. The last error is thrown at once where the next wait would end after
 * it. An attempt under way when the budget ends is left behind, whether or not it heeds its signal:
 * then the last error is thrown or, where none came before, what `timedOut` gives.
 */
export async function keepTryingWithin<T>(
  budget: Budget,
  trying: Trying,
  signal: AbortSignal,
  attempt: (signal: AbortSignal, number: number) => Promise<T>,
): Promise<T> {
  const { clock, onRetry } = trying;
  const endsAtMs = clock.monotonicMs() + budget.ms;
  let last: ServiceError | undefined;
  const inTime: Trying = {
    ...trying,
    onRetry: (error, number, delayMs) => {
      if (clock.monotonicMs() + delayMs >= endsAtMs) throw error;
      last = error;
      onRetry?.(error, number, delayMs);
    },
  };
  const late = (): ServiceError => last ?? budget.timedOut();
  return within({ ms: budget.ms, clock, late }, signal, (both) =>
    keepTrying(inTime, both, attempt),
  );
}
