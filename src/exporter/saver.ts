/** Saves the newest of the configs offered to it: the first at once, then at most one per export delay, and none is lost. */

import pRetry from "p-retry";
import type { Clock } from "../core/clock.ts";
import { ServiceError } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import type { WriterMetrics } from "./metrics.ts";

/** "saved": written; the others: nothing had to, or was allowed to, be written. */
export type SaveResult = "saved" | "unchanged" | "stale" | "held";

/** Delays between attempts, milliseconds: doubled from the first to the longest, with jitter. */
export interface SaveRetry {
  readonly minMs: number;
  readonly maxMs: number;
}

export interface SaverOptions<T> {
  /** One attempt. A ServiceError is retried without end; anything else is a bug and ends the saver. */
  readonly save: (item: T, signal: AbortSignal) => Promise<SaveResult>;
  /** Least time between two writes, milliseconds. */
  readonly exportDelayMs: number;
  /** While the store does not take the config. */
  readonly retry: SaveRetry;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Pick<WriterMetrics, "saveFailed">;
}

/** After SIGTERM there are only seconds left to save what is pending. */
const LAST_RETRY: SaveRetry = { minMs: 100, maxMs: 1_000 };

export class Saver<T> {
  readonly #options: SaverOptions<T>;
  #pending: { readonly item: T } | undefined;
  #wake: (() => void) | undefined;

  constructor(options: SaverOptions<T>) {
    this.#options = options;
  }

  /** Replaces whatever still waits: only the newest counts. */
  offer(item: T): void {
    this.#pending = { item };
    this.#wake?.();
  }

  /**
   * Works until `stop` aborts, then saves what is pending without any delay, for as long as
   * `deadline` allows. Resolves to whether nothing was left unsaved.
   */
  async run(stop: AbortSignal, deadline: AbortSignal): Promise<boolean> {
    try {
      for (;;) {
        await this.#somethingPending(stop);
        const result = await this.#saveNewest(this.#options.retry, stop, deadline);
        if (result === "saved") await this.#options.clock.sleep(this.#options.exportDelayMs, stop);
      }
    } catch (error) {
      if (!stop.aborted) throw error;
      // A write under way was cut off by the deadline, or by nothing we know.
      if (error !== stop.reason && !deadline.aborted) throw error;
    }
    try {
      if (!deadline.aborted) await this.#saveNewest(LAST_RETRY, deadline, deadline);
    } catch (error) {
      if (!deadline.aborted) throw error;
    }
    return this.#pending === undefined;
  }

  /** Rejects with `stop.reason` once it aborts. */
  async #somethingPending(stop: AbortSignal): Promise<void> {
    stop.throwIfAborted();
    if (this.#pending !== undefined) return;
    await new Promise<void>((resolve, reject) => {
      const onAbort = () => reject(stop.reason);
      stop.addEventListener("abort", onAbort, { once: true });
      this.#wake = () => {
        stop.removeEventListener("abort", onAbort);
        resolve();
      };
    });
    this.#wake = undefined;
  }

  /**
   * Each attempt takes the newest: while the store is down, older ones are overtaken. `signal` ends
   * the waiting between attempts, `deadline` also the attempt itself: a write under way when the
   * process is told to stop may still finish.
   */
  async #saveNewest(
    retry: SaveRetry,
    signal: AbortSignal,
    deadline: AbortSignal,
  ): Promise<SaveResult> {
    const { save, log, metrics } = this.#options;
    return pRetry(
      async () => {
        const pending = this.#pending;
        if (pending === undefined) return "unchanged";
        const result = await save(pending.item, deadline);
        if (this.#pending === pending) this.#pending = undefined;
        return result;
      },
      {
        retries: Number.POSITIVE_INFINITY,
        minTimeout: retry.minMs,
        maxTimeout: retry.maxMs,
        randomize: true,
        signal,
        shouldRetry: ({ error }) => error instanceof ServiceError,
        onFailedAttempt: ({ error, attemptNumber }) => {
          if (!(error instanceof ServiceError)) return;
          metrics.saveFailed(error.code);
          log.error(
            { err: error, attempt: attemptNumber },
            "config not saved, kept in memory, will try again",
          );
        },
      },
    );
  }
}
