/** The timers and the chance that a library takes from Node itself: for the time of a simulation they are those of the machine it runs on. */

import type { Schedule } from "./schedule.ts";

/** p-retry waits by `setTimeout` and spreads by `Math.random`. Undone by dispose. */
export function takeOverGlobals(schedule: Schedule): Disposable {
  const { setTimeout, clearTimeout } = globalThis;
  const { random } = Math;
  const planned = new WeakMap<object, { cancel(): void }>();
  const after = (run: () => void, ms = 0): unknown => {
    if (schedule.running === undefined) return setTimeout(run, ms);
    const token = {};
    planned.set(token, schedule.running.after(ms, run));
    return token;
  };
  const clear = (token: unknown): void => {
    const timer = typeof token === "object" && token !== null ? planned.get(token) : undefined;
    if (timer === undefined) clearTimeout(token as NodeJS.Timeout);
    else timer.cancel();
  };
  globalThis.setTimeout = after as typeof setTimeout;
  globalThis.clearTimeout = clear as typeof clearTimeout;
  Math.random = () => (schedule.running === undefined ? random() : schedule.random());
  return {
    [Symbol.dispose]: () => {
      Object.assign(globalThis, { setTimeout, clearTimeout });
      Math.random = random;
    },
  };
}
