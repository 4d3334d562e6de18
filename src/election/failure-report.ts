/** Says in the log that an election's server fails: once, then every now and then, for an outage must not bury the log. */

import type { Clock } from "../core/clock.ts";
import type { ServiceError } from "../core/errors.ts";
import type { Log } from "../core/log.ts";

/** The same failure again is worth a line this often. */
const REPEAT_LOG_MS = 5 * 60_000;

export class FailureReport {
  readonly #clock: Clock;
  readonly #log: Log;
  #lastCode: string | undefined;
  #lastAtMs = 0;

  constructor(clock: Clock, log: Log) {
    this.#clock = clock;
    this.#log = log;
  }

  failed(err: ServiceError, retryInMs: number): void {
    const now = this.#clock.monotonicMs();
    if (err.code === this.#lastCode && now - this.#lastAtMs < REPEAT_LOG_MS) {
      this.#log.debug({ err, retryInMs }, "election still fails");
      return;
    }
    this.#lastCode = err.code;
    this.#lastAtMs = now;
    if (err.retryable) this.#log.warn({ err, retryInMs }, "election fails, will try again");
    else this.#log.error({ err, retryInMs }, "election fails, an operator must act");
  }

  /** The next failure is news again. */
  succeeded(): void {
    this.#lastCode = undefined;
  }
}
