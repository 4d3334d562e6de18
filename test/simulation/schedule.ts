/** Virtual time for a whole world: events happen one by one, each with all that follows from it before the next, in an order that a seed gives. */

import { setImmediate } from "node:timers/promises";
import type { Machine } from "./machine.ts";

export interface Planned {
  cancel(): void;
}

interface Event {
  atMs: number;
  /** Among events of one moment. */
  rank: number;
  readonly machine: Machine | undefined;
  readonly kind: "timer" | "message";
  readonly run: () => unknown;
}

export class Schedule {
  readonly random: () => number;
  /** True time, milliseconds since the world began. */
  nowMs = 0;
  /** How many events have happened. */
  happened = 0;
  readonly #events = new Set<Event>();
  readonly #held = new Set<Promise<unknown>>();
  #order = 0;

  constructor(random: () => number) {
    this.random = random;
  }

  /** What belongs to a machine waits while that stands still, and never happens once it is dead. */
  plan(
    inMs: number,
    machine: Machine | undefined,
    kind: Event["kind"],
    run: () => unknown,
  ): Planned {
    const event = { atMs: this.nowMs + inMs, rank: this.random(), machine, kind, run };
    this.#events.add(event);
    return { cancel: () => this.#events.delete(event) };
  }

  /** All timers of this machine go off so much later. */
  postpone(machine: Machine, ms: number): void {
    for (const event of this.#events) {
      if (event.machine === machine && event.kind === "timer") event.atMs += ms;
    }
  }

  /** No time passes until this is over: work that Node does elsewhere, and not in virtual time. */
  async hold<T>(work: Promise<T>): Promise<T> {
    this.#held.add(work);
    try {
      return await work;
    } finally {
      this.#held.delete(work);
    }
  }

  /** Up to `ms` from now. `between` is called each time before time goes on. */
  async pass(ms: number, between: () => void): Promise<void> {
    const endMs = this.nowMs + ms;
    await setImmediate();
    for (;;) {
      const event = this.#next();
      if (event === undefined || event.atMs > endMs) break;
      if (event.atMs > this.nowMs) between();
      this.nowMs = event.atMs;
      await this.#happen(event);
    }
    between();
    this.nowMs = endMs;
  }

  #next(): Event | undefined {
    let next: Event | undefined;
    for (const event of this.#events) {
      if (next === undefined || event.atMs < next.atMs) next = event;
      else if (event.atMs === next.atMs && event.rank < next.rank) next = event;
    }
    return next;
  }

  async #happen(event: Event): Promise<void> {
    const { machine } = event;
    if (machine?.isDead) {
      this.#events.delete(event);
      return;
    }
    if (machine !== undefined && machine.pausedUntilMs > this.nowMs) {
      // Timers keep their order, and so do messages; which come first is up to the event loop.
      this.#order += 1;
      event.atMs = machine.pausedUntilMs;
      event.rank = (event.kind === "timer") === machine.timersFirst ? 1 : 2;
      event.rank += this.#order * 1e-9;
      return;
    }
    this.#events.delete(event);
    this.happened += 1;
    await event.run();
    // All that can run without a further event has run after this.
    await setImmediate();
    while (this.#held.size > 0) {
      await Promise.allSettled(this.#held);
      await setImmediate();
    }
  }
}
