/** A process that stands still, as under SIGSTOP, a long garbage collection or a stopped virtual machine, while time goes on for others. */

import type { Clock } from "../../src/core/clock.ts";

export class Pause {
  #over: Promise<void> = Promise.resolve();
  #end: (() => void) | undefined;

  get isOn(): boolean {
    return this.#end !== undefined;
  }

  begin(): void {
    if (this.isOn) return;
    this.#over = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  end(): void {
    this.#end?.();
    this.#end = undefined;
  }

  /** Resolves while the process runs; in a pause, at its end. */
  async over(): Promise<void> {
    while (this.isOn) await this.#over;
  }
}

/** The clock of a process that may stand still: who slept meanwhile wakes at the end of the pause. */
export class PausableClock implements Clock {
  readonly #clock: Clock;
  readonly #pause: Pause;

  constructor(clock: Clock, pause: Pause) {
    this.#clock = clock;
    this.#pause = pause;
  }

  now(): Date {
    return this.#clock.now();
  }

  monotonicMs(): number {
    return this.#clock.monotonicMs();
  }

  async sleep(ms: number, signal: AbortSignal): Promise<void> {
    await this.#clock.sleep(ms, signal);
    await this.#pause.over();
    signal.throwIfAborted();
  }
}
