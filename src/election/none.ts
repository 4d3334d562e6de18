/** No election: for an operator who sees to it that only one exporter runs. */

import { type BackoffPolicy, backoffMs } from "../core/backoff.ts";
import type { Clock } from "../core/clock.ts";
import { ServiceError } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import { Campaigns } from "./campaigns.ts";
import { FailureReport } from "./failure-report.ts";
import type { Election, Leadership } from "./port.ts";

export interface NoElectionOptions {
  /** What would be contended for, for logs. */
  readonly name: string;
  /** The highest token known: with a lower one nothing could be written. A ServiceError is tried again. */
  readonly floor: (signal: AbortSignal) => Promise<number>;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  readonly log: Log;
}

/** While the floor cannot be learnt. */
const RETRY: BackoffPolicy = { minMs: 1_000, maxMs: 10_000 };

/** Always the holder, as soon as the floor is known. The token is the floor: it does not grow, and may be 0. */
export class NoElection implements Election {
  readonly #options: NoElectionOptions;
  readonly #campaigns: Campaigns;

  constructor(options: NoElectionOptions) {
    this.#options = options;
    this.#campaigns = new Campaigns(options.name);
  }

  get name(): string {
    return this.#options.name;
  }

  campaign(signal: AbortSignal): AsyncIterable<Leadership> {
    return this.#campaigns.start(async (announce, ended) => {
      announce({ kind: "holder", token: await this.#askFloor(ended) });
      return untilAborted(ended);
    }, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#campaigns[Symbol.asyncDispose]();
  }

  async #askFloor(signal: AbortSignal): Promise<number> {
    const { clock, random, floor, log } = this.#options;
    const report = new FailureReport(clock, log);
    for (let failures = 0; ; failures += 1) {
      try {
        return await floor(signal);
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof ServiceError)) throw error;
        const waitMs = backoffMs(RETRY, failures, random);
        report.failed(error, waitMs);
        await clock.sleep(waitMs, signal);
      }
    }
  }
}

function untilAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) return reject(signal.reason);
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}
