/** No election: for an operator who makes sure that only one exporter runs. */

import type { ServiceError } from "../core/errors.ts";
import { FailureNews } from "../core/failure-news.ts";
import { type BackoffPolicy, keepTrying } from "../core/trying.ts";
import { forever } from "../core/waiting.ts";
import { Campaigns, type ElectionOptions, logFailure } from "./campaigns.ts";
import type { Election, Leadership } from "./port.ts";

export interface NoElectionOptions extends ElectionOptions {
  /** What would be contended for, for logs. */
  readonly name: string;
}

/** While the floor cannot be learnt. */
const RETRY: BackoffPolicy = { minMs: 1_000, maxMs: 10_000 };

/** Always the holder, as soon as the floor is known. The token is the floor: it does not grow, and may be 0. */
export class NoElection implements Election {
  readonly name: string;
  readonly #options: NoElectionOptions;
  readonly #campaigns: Campaigns;

  constructor(options: NoElectionOptions) {
    this.name = options.name;
    this.#options = options;
    this.#campaigns = new Campaigns(options.name);
  }

  campaign(signal: AbortSignal): AsyncIterable<Leadership> {
    return this.#campaigns.start(async (announce, ended) => {
      announce({ kind: "holder", token: await this.#askFloor(ended) });
      return forever(ended);
    }, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#campaigns[Symbol.asyncDispose]();
  }

  #askFloor(signal: AbortSignal): Promise<number> {
    const { clock, random, floor, log } = this.#options;
    const news = new FailureNews(clock);
    const trying = {
      backoff: RETRY,
      clock,
      random,
      isWorthRetrying: () => true,
      onRetry: (error: ServiceError, _: number, delayMs: number) =>
        logFailure(error, delayMs, { news, log }),
    };
    return keepTrying(trying, signal, floor);
  }
}
