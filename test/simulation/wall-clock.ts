/** A clock on the wall: it may be days off, is set by hand, and comes back. */

import type { Schedule } from "./schedule.ts";

/** True wall-clock time at which every world begins. */
export const START_MS = Date.UTC(2026, 10, 21, 12);

const DAY_MS = 24 * 3_600_000;
const LEAST_ASTRAY_MS = 1_000;
const MOST_ASTRAY_MS = 100 * DAY_MS;

export class WallClock {
  readonly #schedule: Schedule;
  /** 1.01 is one percent too fast. */
  readonly #rate: number;
  #offMs: number;

  constructor(schedule: Schedule, offMs: number, rate = 1) {
    this.#schedule = schedule;
    this.#offMs = offMs;
    this.#rate = rate;
  }

  /** Milliseconds since 1970, as it shows them. */
  get nowMs(): number {
    return Math.floor(START_MS + this.#schedule.nowMs * this.#rate + this.#offMs);
  }

  /** To so much before the true time, or after it; 0 sets it right. */
  set(offMs: number): void {
    this.#offMs = offMs;
  }
}

/** From a second to 100 days, too slow or too fast: seconds as likely as minutes, hours and days. */
export function astrayMs(random: () => number): number {
  const ms = LEAST_ASTRAY_MS * (MOST_ASTRAY_MS / LEAST_ASTRAY_MS) ** random();
  return random() < 0.5 ? -ms : ms;
}
