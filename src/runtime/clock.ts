/** The machine's own clock. */

import { setTimeout as delay } from "node:timers/promises";
import type { Clock } from "../core/clock.ts";

export const systemClock: Clock = {
  now: () => new Date(),
  monotonicMs: () => performance.now(),
  async sleep(ms, signal) {
    try {
      await delay(ms, undefined, { signal });
    } catch (error) {
      // timers/promises rejects with an AbortError that wraps the reason; callers are promised the reason.
      signal.throwIfAborted();
      throw error;
    }
  },
};
