import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { describe, it } from "vitest";
import { StepTimeout, step } from "../../src/source/step.ts";
import { ManualClock } from "../fakes/manual-clock.ts";

/** A task that never ends of itself. */
function hang(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason));
  });
}

describe("a step of the handshake", () => {
  it("gives what it comes to, and leaves neither timer nor listener", async () => {
    const clock = new ManualClock();
    const { signal } = new AbortController();
    assert.equal(await step(clock, signal, async () => 42), 42);
    await assert.rejects(
      step(clock, signal, async () => {
        throw new Error("refused");
      }),
      /refused/,
    );
    assert.equal(clock.sleepers, 0);
    assert.equal(getEventListeners(signal, "abort").length, 0);
  });

  it("ends after 5 s", async () => {
    const clock = new ManualClock();
    const ending = assert.rejects(step(clock, new AbortController().signal, hang), StepTimeout);
    await clock.advance(5_000);
    await ending;
  });

  it("ends with the signal's reason, and does not begin once it has aborted", async () => {
    const clock = new ManualClock();
    const stop = new AbortController();
    const reason = new Error("SIGTERM");
    const ending = assert.rejects(step(clock, stop.signal, hang), (error) => error === reason);
    stop.abort(reason);
    await ending;
    const run = () => assert.fail("it began");
    await assert.rejects(step(clock, stop.signal, run), (error) => error === reason);
    assert.equal(clock.sleepers, 0);
  });
});
