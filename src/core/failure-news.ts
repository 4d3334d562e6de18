/** Which failures are worth a line in the log: each once, then every now and then, for an outage must not bury it. */

import type { Clock } from "./clock.ts";

/** The same failure again is worth a line this often. */
export const REPEAT_LOG_MS = 5 * 60_000;

/** Of one thing that is tried again and again. */
export class FailureNews {
  readonly #clock: Clock;
  #last: { readonly what: string; readonly atMs: number } | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Whether to say it, which then counts as done: it is not what was said last, or that is long ago. `what` tells failures apart. */
  isNews(what: string): boolean {
    const atMs = this.#clock.monotonicMs();
    if (this.#last?.what === what && atMs - this.#last.atMs < REPEAT_LOG_MS) return false;
    this.#last = { what, atMs };
    return true;
  }

  /** It works: the next failure is news, whatever it is. Whether there was one since the last time. */
  end(): boolean {
    const hadFailed = this.#last !== undefined;
    this.#last = undefined;
    return hadFailed;
  }
}
