import assert from "node:assert/strict";
import { beforeEach, describe, it } from "vitest";
import { Turnstile, WarningLimit } from "../../../src/sidecar/door/rate-limit.ts";
import { ManualClock } from "../../fakes/manual-clock.ts";
import { RecordingLog } from "../../fakes/recording-log.ts";

let clock: ManualClock;
let stop: AbortController;

beforeEach(() => {
  clock = new ManualClock();
  stop = new AbortController();
});

describe("a turnstile", () => {
  let passed: number[];
  let turnstile: Turnstile<number>;

  beforeEach(() => {
    passed = [];
    turnstile = new Turnstile({
      perSecond: 4,
      maxWaiting: 3,
      clock,
      pass: (item) => passed.push(item),
      signal: stop.signal,
    });
  });

  function enter(...items: number[]): boolean[] {
    return items.map((item) => turnstile.enter(item));
  }

  it("passes as many at once as it passes in a second", () => {
    assert.deepEqual(enter(1, 2, 3, 4), [true, true, true, true]);
    assert.deepEqual(passed, [1, 2, 3, 4]);
    assert.equal(clock.sleepers, 0);
  });

  it("lets the next ones wait, each for its turn, in their order", async () => {
    enter(1, 2, 3, 4, 5, 6, 7);
    await clock.advance(249);
    assert.deepEqual(passed, [1, 2, 3, 4]);
    await clock.advance(1);
    assert.deepEqual(passed, [1, 2, 3, 4, 5]);
    await clock.advance(500);
    assert.deepEqual(passed, [1, 2, 3, 4, 5, 6, 7]);
    assert.equal(clock.sleepers, 0);
  });

  it("turns away whoever finds the queue full", async () => {
    enter(1, 2, 3, 4);
    assert.deepEqual(enter(5, 6, 7, 8), [true, true, true, false]);
    await clock.advance(250);
    assert.deepEqual(enter(9, 10), [true, false]);
    await clock.advance(10_000);
    assert.deepEqual(passed, [1, 2, 3, 4, 5, 6, 7, 9]);
  });

  it("lets nobody overtake those who wait", async () => {
    enter(1, 2, 3, 4, 5);
    await clock.advance(249);
    enter(6);
    await clock.advance(1);
    assert.deepEqual(passed, [1, 2, 3, 4, 5]);
  });

  it("saves up no more than a second", async () => {
    await clock.advance(60_000);
    enter(1, 2, 3, 4, 5);
    assert.deepEqual(passed, [1, 2, 3, 4]);
  });

  it("passes nobody once it is stopped", async () => {
    enter(1, 2, 3, 4, 5);
    stop.abort();
    await clock.advance(10_000);
    assert.deepEqual(enter(6), [false]);
    assert.deepEqual(passed, [1, 2, 3, 4]);
    assert.equal(clock.sleepers, 0);
  });
});

describe("a limit of warnings", () => {
  let log: RecordingLog;
  let warnings: WarningLimit;

  beforeEach(() => {
    log = new RecordingLog();
    warnings = new WarningLimit(log, clock, stop.signal);
  });

  function warn(reason: string, times: number): void {
    for (let i = 1; i <= times; i += 1) warnings.warn({ reason, address: `peer ${i}` }, "refused");
  }

  function fields(): readonly object[] {
    return log.find("warn").map((line) => line.fields);
  }

  it("logs the first for a reason at once, and the number of the others 10 s later", async () => {
    warn("garbage", 1000);
    assert.deepEqual(fields(), [{ reason: "garbage", address: "peer 1" }]);
    await clock.advance(9_999);
    assert.equal(log.lines.length, 1);
    await clock.advance(1);
    assert.deepEqual(fields().slice(1), [{ reason: "garbage", suppressed: 999 }]);
    assert.equal(log.find("refused").length, 2);
  });

  it("keeps to one line in 10 s after it has told of others", async () => {
    warn("garbage", 2);
    await clock.advance(10_000);
    warn("garbage", 5);
    assert.equal(log.lines.length, 2);
    await clock.advance(10_000);
    assert.deepEqual(fields().slice(2), [{ reason: "garbage", suppressed: 5 }]);
  });

  it("logs at once again after a quiet time", async () => {
    warn("garbage", 1);
    await clock.advance(10_000);
    assert.equal(clock.sleepers, 0);
    warn("garbage", 1);
    assert.equal(log.lines.length, 2);
  });

  it("counts each reason by itself", async () => {
    warn("garbage", 2);
    warn("stranger", 3);
    await clock.advance(10_000);
    assert.deepEqual(fields(), [
      { reason: "garbage", address: "peer 1" },
      { reason: "stranger", address: "peer 1" },
      { reason: "garbage", suppressed: 1 },
      { reason: "stranger", suppressed: 2 },
    ]);
  });

  it("stays silent for as long as it is told", async () => {
    const say = () => warnings.warn({ reason: "full", address: "peer" }, "refused", 60_000);
    say();
    say();
    await clock.advance(59_999);
    assert.equal(log.lines.length, 1);
    await clock.advance(1);
    assert.equal(log.lines.length, 2);
  });

  it("lets go of its timers once it is stopped", async () => {
    warn("garbage", 2);
    stop.abort();
    await clock.advance(10_000);
    assert.equal(clock.sleepers, 0);
    assert.equal(log.lines.length, 1);
  });
});
