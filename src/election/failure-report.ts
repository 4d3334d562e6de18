/** Says in the log that an election's server fails, as often as it is news. */

import type { Clock } from "../core/clock.ts";
import type { ServiceError } from "../core/errors.ts";
import { FailureNews } from "../core/failure-news.ts";
import type { Log } from "../core/log.ts";

export class FailureReport {
  readonly #news: FailureNews;
  readonly #log: Log;

  constructor(clock: Clock, log: Log) {
    this.#news = new FailureNews(clock);
    this.#log = log;
  }

  failed(err: ServiceError, retryInMs: number): void {
    const fields = { err, retryInMs };
    if (!this.#news.isNews(err.code)) this.#log.debug(fields, "election still fails");
    else if (err.retryable) this.#log.warn(fields, "election fails, will try again");
    else this.#log.error(fields, "election fails, an operator must act");
  }

  /** The next failure is news again. */
  succeeded(): void {
    this.#news.end();
  }
}
