/** How often: keeps what strangers can provoke at will, TLS handshakes and warnings, to a rate we can bear. */

import type { Clock } from "../../core/clock.ts";
import type { Log } from "../../core/log.ts";
import { orAborted } from "../../core/waiting.ts";

export interface TurnstileOptions<T> {
  /** Also how many may pass at once after a quiet time; at least 1. */
  readonly perSecond: number;
  /** How many may wait, no more. */
  readonly maxWaiting: number;
  readonly clock: Clock;
  readonly pass: (item: T) => void;
  /** Once it aborts nobody passes any more. */
  readonly signal: AbortSignal;
}

/** A token bucket with a queue before it, first come, first served. */
export class Turnstile<T> {
  readonly #options: TurnstileOptions<T>;
  readonly #waiting: T[] = [];
  #tokens: number;
  #countedAtMs: number;

  constructor(options: TurnstileOptions<T>) {
    this.#options = options;
    this.#tokens = options.perSecond;
    this.#countedAtMs = options.clock.monotonicMs();
  }

  /** Passes `item`, now or later. False: too many wait already, it will never pass. */
  enter(item: T): boolean {
    const { maxWaiting, pass, signal } = this.#options;
    if (signal.aborted) return false;
    if (this.#waiting.length === 0 && this.#take()) {
      pass(item);
      return true;
    }
    if (this.#waiting.length >= maxWaiting) return false;
    if (this.#waiting.push(item) === 1) void this.#passWaiting();
    return true;
  }

  async #passWaiting(): Promise<void> {
    const { perSecond, clock, pass, signal } = this.#options;
    while (this.#waiting.length > 0) {
      const nextMs = Math.ceil(((1 - this.#tokens) * 1000) / perSecond);
      // Closed: whoever still waits is not let in.
      if ((await orAborted(signal, clock.sleep(nextMs, signal))) === "aborted") return;
      while (this.#waiting.length > 0 && this.#take()) {
        for (const item of this.#waiting.splice(0, 1)) pass(item);
      }
    }
  }

  #take(): boolean {
    const { perSecond, clock } = this.#options;
    const nowMs = clock.monotonicMs();
    const grown = this.#tokens + ((nowMs - this.#countedAtMs) * perSecond) / 1000;
    this.#tokens = Math.min(perSecond, grown);
    this.#countedAtMs = nowMs;
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}

/** Logs the first warning for a reason at once, and counts those that follow, to tell of them together. */
export class WarningLimit {
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #signal: AbortSignal;
  readonly #suppressed = new Map<string, number>();

  /** `signal` ends the counting. */
  constructor(log: Log, clock: Clock, signal: AbortSignal) {
    this.#log = log;
    this.#clock = clock;
    this.#signal = signal;
  }

  /**
   * At most one line per `reason` in `everyMs`. A line that tells of others has `suppressed`, their
   * number since the line before, in place of `address`.
   */
  warn(
    fields: { readonly reason: string; readonly address: string },
    message: string,
    everyMs = 10_000,
  ): void {
    const { reason } = fields;
    const suppressed = this.#suppressed.get(reason);
    if (suppressed === undefined) {
      this.#suppressed.set(reason, 0);
      this.#log.warn(fields, message);
      void this.#tellLater(reason, message, everyMs);
    } else {
      this.#suppressed.set(reason, suppressed + 1);
    }
  }

  async #tellLater(reason: string, message: string, everyMs: number): Promise<void> {
    const rest = () => orAborted(this.#signal, this.#clock.sleep(everyMs, this.#signal));
    while ((await rest()) !== "aborted") {
      const suppressed = this.#suppressed.get(reason) ?? 0;
      if (suppressed === 0) break;
      this.#suppressed.set(reason, 0);
      this.#log.warn({ reason, suppressed }, message);
    }
    this.#suppressed.delete(reason);
  }
}
