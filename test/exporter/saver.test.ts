import assert from "node:assert/strict";
import { setImmediate } from "node:timers/promises";
import { describe, it } from "vitest";
import { type SaveResult, Saver } from "../../src/exporter/saver.ts";
import { StoreError } from "../../src/store/port.ts";
import { ManualClock } from "../fakes/manual-clock.ts";
import { RecordingLog } from "../fakes/recording-log.ts";

const DELAY_MS = 60_000;

function setUp(save?: (item: string, signal: AbortSignal) => Promise<SaveResult>) {
  const clock = new ManualClock();
  const log = new RecordingLog();
  const saved: string[] = [];
  const failures: string[] = [];
  const saver = new Saver<string>({
    save:
      save ??
      (async (item) => {
        saved.push(item);
        return "saved";
      }),
    exportDelayMs: DELAY_MS,
    retry: { minMs: 1, maxMs: 2 },
    clock,
    log,
    metrics: { saveFailed: (code) => failures.push(code) },
  });
  const stop = new AbortController();
  const deadline = new AbortController();
  return { saver, clock, log, saved, failures, stop, deadline };
}

describe("saving the newest config", () => {
  it("saves the first at once, then one per delay, the newest", async () => {
    const { saver, clock, saved, stop, deadline } = setUp();
    const running = saver.run(stop.signal, deadline.signal);
    saver.offer("1");
    await clock.untilSleeping(DELAY_MS);
    assert.deepEqual(saved, ["1"]);
    for (const item of ["2", "3", "4"]) saver.offer(item);
    await clock.advance(DELAY_MS - 1);
    assert.deepEqual(saved, ["1"]);
    await clock.advance(1);
    assert.deepEqual(saved, ["1", "4"]);
    await clock.advance(DELAY_MS * 10);
    saver.offer("5");
    await clock.untilSleeping(DELAY_MS);
    assert.deepEqual(saved, ["1", "4", "5"], "after a quiet time the next is saved at once");
    stop.abort();
    assert.equal(await running, true);
    assert.equal(clock.sleepers, 0);
  });

  it("keeps no delay after what did not have to be written", async () => {
    const seen: string[] = [];
    const { saver, stop, deadline } = setUp(async (item) => {
      seen.push(item);
      return "unchanged";
    });
    const running = saver.run(stop.signal, deadline.signal);
    for (const item of ["1", "2"]) {
      saver.offer(item);
      await setImmediate();
      await setImmediate();
    }
    assert.deepEqual(seen, ["1", "2"]);
    stop.abort();
    await running;
  });

  it("flushes what waits for its delay when it is stopped", async () => {
    const { saver, clock, saved, stop, deadline } = setUp();
    const running = saver.run(stop.signal, deadline.signal);
    saver.offer("1");
    await clock.untilSleeping(DELAY_MS);
    saver.offer("2");
    stop.abort();
    assert.equal(await running, true);
    assert.deepEqual(saved, ["1", "2"]);
  });

  it("saves what was offered but not begun when it is stopped at once", async () => {
    const { saver, saved, stop, deadline } = setUp();
    saver.offer("1");
    stop.abort();
    assert.equal(await saver.run(stop.signal, deadline.signal), true);
    assert.deepEqual(saved, ["1"]);
  });

  it("keeps the newest in memory while the store is down, and saves only that", async () => {
    let down = true;
    const seen: string[] = [];
    let attempts = 0;
    let thirdFailure: (() => void) | undefined;
    const failedThrice = new Promise<void>((resolve) => {
      thirdFailure = resolve;
    });
    const { saver, failures, log, clock, stop, deadline } = setUp(async (item) => {
      attempts += 1;
      if (attempts === 3) thirdFailure?.();
      if (down) throw new StoreError("STORE_UNAVAILABLE", "store is down");
      seen.push(item);
      return "saved";
    });
    const running = saver.run(stop.signal, deadline.signal);
    saver.offer("1");
    await failedThrice;
    saver.offer("2");
    saver.offer("3");
    down = false;
    await clock.untilSleeping(DELAY_MS);
    assert.deepEqual(seen, ["3"]);
    assert.ok(failures.length >= 3 && failures.every((code) => code === "STORE_UNAVAILABLE"));
    assert.equal(log.find("error").length, failures.length);
    stop.abort();
    assert.equal(await running, true);
  });

  it("a config that arrives while another is written is saved next", async () => {
    let release: (() => void) | undefined;
    const seen: string[] = [];
    const { saver, clock, stop, deadline } = setUp(async (item) => {
      if (item === "1") await new Promise<void>((resolve) => (release = resolve));
      seen.push(item);
      return "saved";
    });
    const running = saver.run(stop.signal, deadline.signal);
    saver.offer("1");
    await setImmediate();
    saver.offer("2");
    release?.();
    await clock.untilSleeping(DELAY_MS);
    await clock.advance(DELAY_MS);
    assert.deepEqual(seen, ["1", "2"]);
    stop.abort();
    await running;
  });

  it("lets a write under way finish when it is stopped, and gives up at the deadline, saying so", async () => {
    const { saver, stop, deadline } = setUp(
      (_, signal) =>
        new Promise((_, reject) => {
          signal.addEventListener("abort", () => reject(signal.reason), { once: true });
        }),
    );
    saver.offer("1");
    const running = saver.run(stop.signal, deadline.signal);
    await setImmediate();
    stop.abort(new Error("stop"));
    await setImmediate();
    deadline.abort(new Error("deadline"));
    assert.equal(await running, false);
  });

  it("goes on trying after stop until the deadline", async () => {
    let attempts = 0;
    const { saver, stop, deadline } = setUp(async () => {
      attempts += 1;
      if (attempts < 4) throw new StoreError("STORE_UNAVAILABLE", "store is down");
      return "saved";
    });
    saver.offer("1");
    stop.abort();
    assert.equal(await saver.run(stop.signal, deadline.signal), true);
    assert.equal(attempts, 4);
  });

  it("ends with what is a bug instead of retrying it", async () => {
    const { saver, stop, deadline } = setUp(async () => {
      throw new RangeError("a bug");
    });
    saver.offer("1");
    await assert.rejects(saver.run(stop.signal, deadline.signal), /a bug/);
  });
});
