/** What all elections share: a job that says who leads becomes the iteration that the port promises. */

import type { Clock } from "../core/clock.ts";
import type { ServiceError } from "../core/errors.ts";
import type { FailureNews } from "../core/failure-news.ts";
import type { Log } from "../core/log.ts";
import { Mailbox, Scope } from "../core/waiting.ts";
import { ElectionError, type Leadership } from "./port.ts";

export interface ElectionOptions {
  /**
   * The highest token known elsewhere: the lease may have been deleted by hand, the tokens must not
   * start anew, and with a lower one nothing could be written. Asked before each acquisition. A
   * ServiceError is tried again.
   */
  readonly floor: (signal: AbortSignal) => Promise<number>;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  readonly log: Log;
}

/**
 * Runs until it rejects. Once `signal` aborts it gives up what it holds, within a few seconds, and
 * rejects with `signal.reason`.
 */
export type CampaignJob = (
  announce: (leadership: Leadership) => void,
  signal: AbortSignal,
) => Promise<never>;

export class Campaigns implements AsyncDisposable {
  readonly #name: string;
  readonly #open = new Scope();
  #running: Promise<void> = Promise.resolve();

  /** `name`: what is contended for, for messages. */
  constructor(name: string) {
    this.#name = name;
  }

  /** One campaign by `job`: what it announces, as far as it is a change. Contract as `Election.campaign`. */
  async *start(job: CampaignJob, signal: AbortSignal): AsyncGenerator<Leadership, never> {
    this.#open.signal.throwIfAborted();
    signal.throwIfAborted();
    using campaign = new Scope(signal, this.#open.signal);
    using jobOver = new Scope();
    const news = new Mailbox<Leadership>();
    const running = job((leadership) => news.put(leadership), campaign.signal);
    this.#running = running.catch((error: unknown) => jobOver.end(error));
    let last: Leadership | undefined;
    try {
      for (;;) {
        const newest = await news.newest(jobOver.signal);
        news.remove(newest);
        if (isSame(newest, last)) continue;
        last = newest;
        yield newest;
      }
    } finally {
      campaign.end();
      await this.#running;
    }
  }

  /** Ends the campaign under way with ELECTION_CLOSED, and resolves when it has given up what it held. */
  async [Symbol.asyncDispose](): Promise<void> {
    const why = `the election for ${this.#name} was closed`;
    this.#open.end(new ElectionError("ELECTION_CLOSED", why));
    await this.#running;
  }
}

/** One line for a failure that is news, the rest for those who debug. */
export function logFailure(
  err: ServiceError,
  retryInMs: number,
  { news, log }: { readonly news: FailureNews; readonly log: Log },
): void {
  const fields = { err, retryInMs };
  if (!news.isNews(err.code)) log.debug(fields, "election still fails");
  else if (err.retryable) log.warn(fields, "election fails, will try again");
  else log.error(fields, "election fails, an operator must act");
}

function isSame(a: Leadership, b: Leadership | undefined): boolean {
  if (a.kind === "holder") return b?.kind === "holder" && a.token === b.token;
  return b?.kind === "follower" && a.holder === b.holder;
}
