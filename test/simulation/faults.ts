/** What goes wrong in a world, drawn by its seed and counted by kind. */

import type { Machine } from "./machine.ts";
import type { Schedule } from "./schedule.ts";

/** Of one request to the store; "delayed": it is given up, and happens much later. */
export type Fate =
  | "answered"
  | "request lost"
  | "answer lost"
  | "delayed"
  | "store error"
  | "failed after all";

const LONGEST_DELAY_MS = 60_000;

export class Faults {
  /** How often each kind was injected. */
  readonly counts = new Map<string, number>();
  /** While it is false, nothing new goes wrong. */
  isOn = true;
  /** When the last delayed write arrives, true time. */
  lastArrivalMs = 0;
  readonly #schedule: Schedule;
  readonly #note: (text: () => string) => void;
  /** Part of the requests that do not go well. */
  readonly #share: number;

  constructor(schedule: Schedule, note: (text: () => string) => void) {
    this.#schedule = schedule;
    this.#note = note;
    this.#share = [0, 0.05, 0.15, 0.3][Math.floor(schedule.random() * 4)] ?? 0;
  }

  count(kind: string): void {
    this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1);
  }

  fateOf(what: string, machine: Machine): Fate {
    const { random } = this.#schedule;
    const isWrite = what.startsWith("put");
    // Writes are rare among the requests, and matter most.
    if (!this.isOn || random() >= this.#share * (isWrite ? 2 : 1)) return "answered";
    const fates: readonly Fate[] = isWrite
      ? ["request lost", "answer lost", "delayed", "delayed", "store error", "failed after all"]
      : ["request lost", "answer lost", "store error"];
    const fate = fates[Math.floor(random() * fates.length)] ?? "answered";
    this.count(isWrite ? `write: ${fate}` : `read: ${fate}`);
    this.#note(() => `${machine.name}: ${what} is to be ${fate}`);
    return fate;
  }

  latencyMs(): number {
    const { random } = this.#schedule;
    const isSlow = this.isOn && random() < this.#share;
    return isSlow ? 100 + random() * 5_000 : 5 + random() * 45;
  }

  delayMs(): number {
    const { random, nowMs } = this.#schedule;
    const delayMs = 100 + random() ** 2 * LONGEST_DELAY_MS;
    this.lastArrivalMs = Math.max(this.lastArrivalMs, nowMs + delayMs);
    return delayMs;
  }
}
