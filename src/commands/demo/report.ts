/** What the demo tells: one line for each step, with its time, and whether the promise held. */

import type { Writable } from "node:stream";
import type { Clock } from "../../core/clock.ts";
import { describeCause } from "../../core/errors.ts";
import { wrap } from "../text.ts";

interface Step {
  readonly step: string;
  readonly ok: boolean;
  readonly durationMs: number;
  /** What was seen, or what was wrong. */
  readonly detail: string;
}

/** Something the demo promised did not happen. */
export class BrokenPromise extends Error {
  override readonly name = "BrokenPromise";
}

export function promise(holds: boolean, what: string): asserts holds {
  if (!holds) throw new BrokenPromise(what);
}

/** As wide as result and time. */
const INDENT = " ".repeat(16);

export class DemoReport {
  readonly steps: Step[] = [];
  readonly #out: Writable | undefined;
  readonly #clock: Clock;

  /** `out` undefined: nothing is printed, only kept. */
  constructor(out: Writable | undefined, clock: Clock) {
    this.#out = out;
    this.#clock = clock;
  }

  say(text: string): void {
    this.#out?.write(`${text}\n`);
  }

  /** Runs one step; `run` gives its result and what was seen. Rejects as `run` does, after saying so. */
  async step<T>(
    name: string,
    run: () => Promise<{ readonly result: T; readonly detail: string }>,
  ): Promise<T> {
    const startedAt = this.#clock.monotonicMs();
    const done = (ok: boolean, detail: string) => {
      const durationMs = Math.round(this.#clock.monotonicMs() - startedAt);
      this.steps.push({ step: name, ok, durationMs, detail });
      const time = `${(durationMs / 1000).toFixed(2).padStart(6)} s`;
      this.say(`${ok ? "ok    " : "FAILED"}${time}  ${name}\n${wrap(detail, INDENT)}`);
    };
    try {
      const { result, detail } = await run();
      done(true, detail);
      return result;
    } catch (error) {
      done(false, describeCause(error));
      throw error;
    }
  }
}
