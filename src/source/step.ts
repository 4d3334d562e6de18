/** One step of the handshake under its time limit. */

import type { Clock } from "../core/clock.ts";
import { STEP_TIMEOUT_MS } from "../kong/wire.ts";

/** The step was not done within `STEP_TIMEOUT_MS`. */
export class StepTimeout extends Error {
  constructor() {
    super(`no answer within ${STEP_TIMEOUT_MS / 1000} s`);
    this.name = "StepTimeout";
  }
}

/**
 * What `run` gives. The signal handed to it aborts with StepTimeout when the time is up, and with
 * `signal.reason` when `signal` does; `run` must then let go of what it holds and reject with that.
 */
export async function step<T>(
  clock: Clock,
  signal: AbortSignal,
  run: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  signal.throwIfAborted();
  const limit = new AbortController();
  const relay = (): void => limit.abort(signal.reason);
  signal.addEventListener("abort", relay, { once: true });
  clock.sleep(STEP_TIMEOUT_MS, limit.signal).then(
    () => limit.abort(new StepTimeout()),
    // Only the end of the step ends this sleep early.
    () => {},
  );
  try {
    return await run(limit.signal);
  } finally {
    signal.removeEventListener("abort", relay);
    limit.abort();
  }
}
