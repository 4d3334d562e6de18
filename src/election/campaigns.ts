/** What every driver of an election shares: a job that says who leads becomes the iteration that the port promises. */

import { ElectionError, type Leadership } from "./port.ts";

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
  readonly #closed = new AbortController();
  #running: Promise<void> = Promise.resolve();

  /** `name`: what is contended for, for messages. */
  constructor(name: string) {
    this.#name = name;
  }

  /** One campaign by `job`: what it announces, as far as it is a change. Contract as `Election.campaign`. */
  async *start(job: CampaignJob, signal: AbortSignal): AsyncGenerator<Leadership, never> {
    this.#closed.signal.throwIfAborted();
    signal.throwIfAborted();
    const left = new AbortController();
    const news = new News();
    const running = job(
      (leadership) => news.announce(leadership),
      AbortSignal.any([signal, this.#closed.signal, left.signal]),
    ).catch((error: unknown) => news.end(error));
    this.#running = running;
    try {
      for (;;) yield await news.next();
    } finally {
      left.abort();
      await running;
    }
  }

  /** Ends the campaign under way with ELECTION_CLOSED, and resolves when it has given up what it held. */
  async [Symbol.asyncDispose](): Promise<void> {
    const why = `the election for ${this.#name} was closed`;
    this.#closed.abort(new ElectionError("ELECTION_CLOSED", why));
    await this.#running;
  }
}

/** The newest announcement, for one reader. */
class News {
  #given: Leadership | undefined;
  #newest: Leadership | undefined;
  #ended: { readonly error: unknown } | undefined;
  #wake: () => void = () => {};

  announce(leadership: Leadership): void {
    this.#newest = leadership;
    this.#wake();
  }

  end(error: unknown): void {
    this.#ended = { error };
    this.#wake();
  }

  async next(): Promise<Leadership> {
    for (;;) {
      if (this.#ended !== undefined) throw this.#ended.error;
      const newest = this.#newest;
      if (newest !== undefined && !isSame(newest, this.#given)) {
        this.#given = newest;
        return newest;
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}

function isSame(a: Leadership, b: Leadership | undefined): boolean {
  if (a.kind === "holder") return b?.kind === "holder" && a.token === b.token;
  return b?.kind === "follower" && a.holder === b.holder;
}
