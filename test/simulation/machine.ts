/** Where one exporter process runs: clocks that are wrong and drift, an event loop that may stand still, and a sudden end. */

import type { Clock } from "../../src/core/clock.ts";
import type { Schedule } from "./schedule.ts";
import { WallClock } from "./wall-clock.ts";

export interface MachineOptions {
  readonly name: string;
  readonly schedule: Schedule;
  /** Of its clocks: 1.01 is one percent too fast. */
  readonly rate: number;
  /** Of the wall clock, milliseconds. */
  readonly skewMs: number;
}

export class Machine implements Clock {
  readonly name: string;
  readonly wall: WallClock;
  isDead = false;
  pausedUntilMs = 0;
  /** At the end of a pause. */
  timersFirst = true;
  readonly #options: MachineOptions;
  readonly #bornMs: number;
  #suspendedMs = 0;

  constructor(options: MachineOptions) {
    this.name = options.name;
    this.#options = options;
    this.wall = new WallClock(options.schedule, options.skewMs, options.rate);
    this.#bornMs = options.schedule.nowMs;
  }

  get isAwake(): boolean {
    return !this.isDead && this.pausedUntilMs <= this.#options.schedule.nowMs;
  }

  now(): Date {
    return new Date(this.wall.nowMs);
  }

  monotonicMs(): number {
    const { rate, schedule } = this.#options;
    return (schedule.nowMs - this.#bornMs - this.#suspendedMs) * rate;
  }

  sleep(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      const stop = (): void => {
        timer.cancel();
        reject(signal.reason);
      };
      const timer = this.after(ms, () => {
        signal.removeEventListener("abort", stop);
        resolve();
      });
      signal.addEventListener("abort", stop, { once: true });
    });
  }

  /** Stands still for so long from now. */
  pause(ms: number): void {
    const { random, nowMs } = this.#options.schedule;
    this.timersFirst = random() < 0.5;
    this.pausedUntilMs = Math.max(this.pausedUntilMs, nowMs + ms);
  }

  /** As `pause`, but its monotonic clock and its timers stand still with it, as those of Linux do while a machine is suspended. */
  suspend(ms: number): void {
    this.#options.schedule.postpone(this, ms);
    this.#suspendedMs += ms;
    this.pause(ms);
  }

  /** Calls `run` after `ms` by its own clock. */
  after(ms: number, run: () => void): { cancel(): void } {
    const { rate, schedule } = this.#options;
    // Node's shortest timer.
    return schedule.plan(Math.max(1, ms) / rate, this, "timer", run);
  }
}
