/** A call to the lease's server under a time limit: neither stepping down nor shutting down waits for one that hangs. */

import type { Clock } from "../core/clock.ts";
import { ElectionError } from "./port.ts";

export interface LimitedCall {
  /** What is tried, on what. */
  readonly what: string;
  /** Who is asked, for the hint: `the store`. */
  readonly server: string;
  readonly limitMs: number;
}

/**
 * What `run` gives. Rejects with ELECTION_UNAVAILABLE once `limitMs` have passed, and with
 * `signal.reason` once `signal` aborts, both even if `run` takes no notice of the signal it was
 * given; what it does from then on must have no effect.
 */
export async function withLimit<T>(
  { what, server, limitMs }: LimitedCall,
  clock: Clock,
  run: (signal: AbortSignal) => Promise<T>,
  signal: AbortSignal,
): Promise<T> {
  signal.throwIfAborted();
  const limit = new AbortController();
  const relay = (): void => limit.abort(signal.reason);
  signal.addEventListener("abort", relay, { once: true });
  const timer = clock.sleep(limitMs, limit.signal).then((): never => {
    const seconds = Math.round(limitMs / 100) / 10;
    const late = new ElectionError(
      "ELECTION_UNAVAILABLE",
      `could not ${what}: no answer within ${seconds} s`,
      {
        hint: `Look at ${server} and the network; a longer KONG_FALLBACK_LEASE_TTL bears more.`,
      },
    );
    limit.abort(late);
    throw late;
  });
  try {
    return await Promise.race([run(limit.signal), timer]);
  } finally {
    signal.removeEventListener("abort", relay);
    limit.abort();
  }
}
