/** Waiting for the outside world: every wait ends with its caller's signal and, where it has one, its deadline, whatever the other side does. */

import { setMaxListeners } from "node:events";
import type { Clock } from "./clock.ts";

/**
 * A signal of one's own: it ends with any of its parents (and their reason), by `end`, or when it is
 * disposed of. After that it has left no listener on its parents, however long they live.
 */
export class Scope implements Disposable {
  readonly #controller = new AbortController();
  readonly #parents: readonly AbortSignal[];
  readonly #relays: (() => void)[] = [];

  constructor(...parents: readonly AbortSignal[]) {
    // Many may wait for one end, and none stays; Node would warn of the eleventh.
    setMaxListeners(0, this.#controller.signal);
    this.#parents = parents;
    for (const parent of parents) {
      const relay = (): void => this.end(parent.reason);
      this.#relays.push(relay);
      if (parent.aborted) relay();
      else parent.addEventListener("abort", relay, { once: true });
    }
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  get isOver(): boolean {
    return this.#controller.signal.aborted;
  }

  /** Idempotent: the first reason stays. Without one it is Node's AbortError. */
  end(reason?: unknown): void {
    this.#parents.forEach((parent, i) => {
      const relay = this.#relays[i];
      if (relay !== undefined) parent.removeEventListener("abort", relay);
    });
    this.#controller.abort(reason);
  }

  [Symbol.dispose](): void {
    this.end();
  }
}

/** Undoes what was begun, e.g. takes a listener off. */
export type Undo = () => void;

/**
 * A promise that `begin` settles, and that rejects with `signal.reason` as soon as `signal` aborts.
 * What `begin` gives back is called once, however it ends. `begin` is not called where the signal has
 * aborted already.
 */
export async function until<T>(
  signal: AbortSignal,
  begin: (
    resolve: (value: T | PromiseLike<T>) => void,
    reject: (error: unknown) => void,
  ) => Undo | undefined,
): Promise<T> {
  signal.throwIfAborted();
  let leave: (() => void) | undefined;
  let undo: Undo | undefined;
  try {
    return await new Promise<T>((resolve, reject) => {
      leave = () => reject(signal.reason);
      signal.addEventListener("abort", leave, { once: true });
      undo = begin(resolve, reject);
    });
  } finally {
    if (leave !== undefined) signal.removeEventListener("abort", leave);
    undo?.();
  }
}

/** As `work` settles, but rejects with `signal.reason` as soon as `signal` aborts, even if `work` never ends; what becomes of it then is of no interest. */
export function raced<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  // Where the signal has aborted already nobody listens to it.
  work.catch(() => {});
  return until(signal, (resolve, reject) => {
    work.then(resolve, reject);
    return undefined;
  });
}

/** Never resolves; rejects with `signal.reason`. */
export function forever(signal: AbortSignal): Promise<never> {
  return until<never>(signal, () => undefined);
}

/** What `work` gives; "aborted" where it ends with the reason of `signal`, for those to whom that is no failure. */
export async function orAborted<T>(signal: AbortSignal, work: Promise<T>): Promise<T | "aborted"> {
  try {
    return await work;
  } catch (error) {
    if (signal.aborted && error === signal.reason) return "aborted";
    throw error;
  }
}

/** Resolves once `ms` milliseconds have gone by since the last sign of life, which `lastAtMs` gives by the monotonic clock. Rejects with `signal.reason`. */
export async function untilQuiet(
  ms: number,
  lastAtMs: () => number,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  signal.throwIfAborted();
  for (;;) {
    const leftMs = lastAtMs() + ms - clock.monotonicMs();
    if (leftMs <= 0) return;
    await clock.sleep(leftMs, signal);
  }
}

/**
 * What `work` gives; "late" once `ms` milliseconds have gone by, for waits that may be in vain. Rejects
 * as `work` does, and with `signal.reason`; the signal it is given ends with the wait.
 */
export async function inTime<T>(
  ms: number,
  clock: Clock,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T | "late"> {
  signal.throwIfAborted();
  using scope = new Scope(signal);
  const late = clock.sleep(Math.max(0, ms), scope.signal).then(() => "late" as const);
  return await raced(scope.signal, Promise.race([work(scope.signal), late]));
}

export interface Deadline {
  /** From the start, or from the last sign of life, milliseconds. */
  readonly ms: number;
  readonly clock: Clock;
  /** What the wait rejects with when the time is up. */
  readonly late: () => unknown;
}

/**
 * What `work` gives. Rejects with what `late` gives once the time is up, and with `signal.reason` once
 * `signal` aborts: both at once, even if `work` takes no notice of the signal it is given, so what it
 * does from then on must have no effect. `moved`, called by `work`, lets the time begin anew.
 */
export async function within<T>(
  { ms, clock, late }: Deadline,
  signal: AbortSignal,
  work: (signal: AbortSignal, moved: () => void) => Promise<T>,
): Promise<T> {
  signal.throwIfAborted();
  using scope = new Scope(signal);
  let movedAtMs = clock.monotonicMs();
  untilQuiet(ms, () => movedAtMs, clock, scope.signal).then(
    () => scope.end(late()),
    // Only the end of the scope ends its sleep early.
    () => {},
  );
  return await raced(
    scope.signal,
    work(scope.signal, () => {
      movedAtMs = clock.monotonicMs();
    }),
  );
}

/** Wakes who waits for something to change. A ring that nobody waits for is not kept. */
export class Bell {
  readonly #waiting = new Set<() => void>();

  /** Wakes all who wait. */
  ring(): void {
    for (const wake of [...this.#waiting]) wake();
  }

  /** Resolves at the next ring. Rejects with `signal.reason`. */
  wait(signal: AbortSignal): Promise<void> {
    return until(signal, (resolve) => {
      this.#waiting.add(resolve);
      return () => this.#waiting.delete(resolve);
    });
  }

  /** Resolves at the next ring, or after `ms` milliseconds: to whether it was rung. Rejects with `signal.reason`. */
  async waitFor(ms: number, clock: Clock, signal: AbortSignal): Promise<boolean> {
    const rung = await inTime(ms, clock, signal, (both) => this.wait(both));
    return rung !== "late";
  }
}

/** Holds at most one item, the newest put into it, until it is removed. */
export class Mailbox<T> {
  readonly #bell = new Bell();
  #content: { readonly item: T } | undefined;

  get isEmpty(): boolean {
    return this.#content === undefined;
  }

  /** Replaces what lies there. */
  put(item: T): void {
    this.#content = { item };
    this.#bell.ring();
  }

  /** Resolves once there is something: to what lies there then, which stays. Rejects with `signal.reason`. */
  async newest(signal: AbortSignal): Promise<T> {
    signal.throwIfAborted();
    while (this.#content === undefined) await this.#bell.wait(signal);
    return this.#content.item;
  }

  /** Resolves when something is put into it, or after `ms` milliseconds. Rejects with `signal.reason`. */
  async changed(ms: number, clock: Clock, signal: AbortSignal): Promise<void> {
    await this.#bell.waitFor(ms, clock, signal);
  }

  /** What lies there, which stays. */
  peek(): T | undefined {
    return this.#content?.item;
  }

  /** Takes it out, unless a newer one has taken its place. */
  remove(item: T): void {
    if (this.#content !== undefined && Object.is(this.#content.item, item))
      this.#content = undefined;
  }
}

/** Lets so many do a thing at a time; who comes later waits, first come first served. */
export class Slots {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  /** Resolves to a function that gives the slot back; calling it again does nothing. Rejects with `signal.reason`. */
  async take(signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted();
    if (this.#free > 0) {
      this.#free -= 1;
    } else {
      // Not `until`: a slot that is given away in the same turn as the signal aborts must not be lost.
      await new Promise<void>((resolve, reject) => {
        const enter = (): void => {
          signal.removeEventListener("abort", leave);
          resolve();
        };
        const leave = (): void => {
          this.#waiting.splice(this.#waiting.indexOf(enter), 1);
          reject(signal.reason);
        };
        this.#waiting.push(enter);
        signal.addEventListener("abort", leave, { once: true });
      });
    }
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      const next = this.#waiting.shift();
      if (next === undefined) this.#free += 1;
      else next();
    };
  }

  /** Does `work` in a slot. Rejects as it does, and with `signal.reason` while it waits for one. */
  async within<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const giveBack = await this.take(signal);
    try {
      return await work();
    } finally {
      giveBack();
    }
  }
}
