/** How long to wait before trying again: exponential, capped, with full jitter above a floor. */

export interface BackoffPolicy {
  /** Shortest delay ever given, milliseconds. */
  readonly minMs: number;
  /** Longest delay ever given, milliseconds. */
  readonly maxMs: number;
}

/**
 * Delay before attempt number `failures + 1`, in milliseconds: uniform between `minMs` and
 * `minMs * 2^failures`, capped at `maxMs`. `random` returns a number in [0, 1).
 */
export function backoffMs(policy: BackoffPolicy, failures: number, random: () => number): number {
  const ceiling = Math.min(policy.maxMs, policy.minMs * 2 ** Math.min(failures, 30));
  return Math.round(policy.minMs + random() * (ceiling - policy.minMs));
}
