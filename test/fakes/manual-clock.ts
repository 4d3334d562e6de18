/** A clock that stands still until a test moves it: no test waits for real time. */

import { setImmediate } from "node:timers/promises";
import type { Clock } from "../../src/core/clock.ts";

interface Sleeper {
  readonly dueMs: number;
  readonly forMs: number;
  readonly wake: () => void;
}

export class ManualClock implements Clock {
  readonly #startMs: number;
  readonly #sleepers = new Set<Sleeper>();
  readonly #watchers = new Set<() => void>();
  #elapsedMs = 0;

  constructor(start = new Date("2026-11-21T12:00:00Z")) {
    this.#startMs = start.getTime();
  }

  now(): Date {
    return new Date(this.#startMs + this.#elapsedMs);
  }

  monotonicMs(): number {
    return this.#elapsedMs;
  }

  sleep(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      const stop = (): void => {
        this.#sleepers.delete(sleeper);
        reject(signal.reason);
      };
      const wake = (): void => {
        this.#sleepers.delete(sleeper);
        signal.removeEventListener("abort", stop);
        resolve();
      };
      const sleeper: Sleeper = { dueMs: this.#elapsedMs + ms, forMs: ms, wake };
      signal.addEventListener("abort", stop, { once: true });
      this.#sleepers.add(sleeper);
      for (const check of this.#watchers) check();
    });
  }

  /** How many are asleep: 0 once everything has let go of its timers. */
  get sleepers(): number {
    return this.#sleepers.size;
  }

  /** Until the next one wakes, milliseconds; Infinity where nobody sleeps. */
  get quietMs(): number {
    return Math.min(...[...this.#sleepers].map(({ dueMs }) => dueMs)) - this.#elapsedMs;
  }

  /** Resolves once somebody sleeps for exactly `ms`, at once if somebody does already. */
  untilSleeping(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const check = (): void => {
        if (![...this.#sleepers].some((sleeper) => sleeper.forMs === ms)) return;
        this.#watchers.delete(check);
        resolve();
      };
      this.#watchers.add(check);
      check();
    });
  }

  /**
   * Lets `ms` pass. Sleepers wake in the order they are due, each at its own time, and what they do
   * next (sleep again, say) has happened before the next one wakes.
   */
  async advance(ms: number): Promise<void> {
    const endMs = this.#elapsedMs + ms;
    await setImmediate();
    for (;;) {
      const next = [...this.#sleepers].sort((a, b) => a.dueMs - b.dueMs)[0];
      if (next === undefined || next.dueMs > endMs) break;
      this.#elapsedMs = Math.max(this.#elapsedMs, next.dueMs);
      next.wake();
      await setImmediate();
    }
    this.#elapsedMs = endMs;
    await setImmediate();
  }
}
