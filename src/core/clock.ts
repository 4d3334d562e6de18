/** Time as an argument: jobs and drivers never ask the machine for it. */

export interface Clock {
  /** Wall-clock time: for metadata and logs only, never to judge how long something took. */
  now(): Date;
  /** Milliseconds since an arbitrary start; never goes back. */
  monotonicMs(): number;
  /** Resolves after `ms` milliseconds; rejects with `signal.reason` as soon as the signal aborts. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}
