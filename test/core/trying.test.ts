import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { ServiceError } from "../../src/core/errors.ts";
import { Backoff, keepTrying, keepTryingWithin, type Trying } from "../../src/core/trying.ts";
import { forever } from "../../src/core/waiting.ts";
import { ManualClock } from "../fakes/manual-clock.ts";

class Failed extends ServiceError {
  readonly code = "FAILED";
  readonly exitStatus = 4;
  readonly retryAfterMs: number | undefined;

  constructor(message: string, retryable = true, retryAfterMs?: number) {
    super(message, { retryable });
    this.retryAfterMs = retryAfterMs;
  }
}

const never = new AbortController().signal;

function tryingBy(clock: ManualClock, random = 0): Trying & { readonly told: unknown[] } {
  const told: unknown[] = [];
  return {
    backoff: { minMs: 1_000, maxMs: 10_000 },
    clock,
    random: () => random,
    onRetry: (error, attempt, delayMs) => told.push([error.message, attempt, delayMs]),
    told,
  };
}

/** Fails with each of the errors in turn, then gives "done". */
function failing(...errors: readonly Error[]) {
  const left = [...errors];
  const numbers: number[] = [];
  return {
    numbers,
    attempt: async (_: AbortSignal, number: number): Promise<string> => {
      numbers.push(number);
      const error = left.shift();
      if (error !== undefined) throw error;
      return "done";
    },
  };
}

describe("the back-off", () => {
  const policy = { minMs: 1_000, maxMs: 10_000 };

  it("stays between the shortest and the longest delay, however many failures", () => {
    const low = new Backoff(() => 0);
    const high = new Backoff(() => 1);
    for (let failures = 1; failures <= 2_000; failures += 1) {
      assert.equal(low.failed(policy), 1_000);
      assert.equal(high.failed(policy), Math.min(10_000, 1_000 * 2 ** Math.min(failures, 20)));
      assert.equal(low.failures, failures);
    }
  });

  it("spreads the very first retry, too", () => {
    assert.equal(new Backoff(() => 0.5).failed(policy), 1_500);
  });

  it("begins anew after a success", () => {
    const backoff = new Backoff(() => 1);
    backoff.failed(policy);
    backoff.failed(policy);
    backoff.succeeded();
    assert.equal(backoff.failures, 0);
    assert.equal(backoff.failed(policy), 2_000);
  });

  it("waits at least as long as it was asked to", () => {
    const backoff = new Backoff(() => 0);
    assert.equal(backoff.failed(policy, 7_000), 7_000);
    assert.equal(backoff.failed(policy, 10), 1_000);
  });
});

describe("keeping on trying", () => {
  it("gives the first result, counts attempts from 1, and tells of each retry", async () => {
    const clock = new ManualClock();
    const trying = tryingBy(clock, 0.5);
    const { attempt, numbers } = failing(new Failed("a"), new Failed("b"));
    const result = keepTrying(trying, never, attempt);
    await clock.advance(1_500);
    await clock.advance(2_500);
    assert.equal(await result, "done");
    assert.deepEqual(numbers, [1, 2, 3]);
    assert.deepEqual(trying.told, [
      ["a", 1, 1_500],
      ["b", 2, 2_500],
    ]);
  });

  it("waits as long as the other side asked for", async () => {
    const clock = new ManualClock();
    const trying = tryingBy(clock);
    const { attempt, numbers } = failing(new Failed("busy", true, 60_000));
    const result = keepTrying(trying, never, attempt);
    await clock.advance(59_999);
    assert.deepEqual(numbers, [1]);
    await clock.advance(1);
    assert.equal(await result, "done");
  });

  it("throws what is not worth retrying, and bugs, at once", async () => {
    const trying = tryingBy(new ManualClock());
    for (const error of [new Failed("denied", false), new TypeError("bug")]) {
      await assert.rejects(keepTrying(trying, never, failing(error).attempt), error);
    }
    const denied = new Failed("denied");
    const isWorthRetrying = () => false;
    await assert.rejects(
      keepTrying({ ...trying, isWorthRetrying }, never, failing(denied).attempt),
      denied,
    );
    assert.deepEqual(trying.told, []);
  });

  it("ends between two attempts when the signal does", async () => {
    const clock = new ManualClock();
    const stop = new AbortController();
    const reason = new Error("stopped");
    const result = keepTrying(tryingBy(clock), stop.signal, failing(new Failed("a")).attempt);
    const rejected = assert.rejects(result, reason);
    await clock.untilSleeping(1_000);
    stop.abort(reason);
    await rejected;
    assert.equal(clock.sleepers, 0);
  });
});

describe("keeping on trying within a budget", () => {
  const timedOut = new Failed("timed out");
  const budget = { ms: 10_000, timedOut: () => timedOut };

  it("does not wait for an attempt that hangs and heeds no signal", async () => {
    const clock = new ManualClock();
    const hangs = () => new Promise<never>(() => {});
    const rejected = assert.rejects(
      keepTryingWithin(budget, tryingBy(clock), never, hangs),
      timedOut,
    );
    await clock.advance(10_000);
    await rejected;
    assert.equal(clock.sleepers, 0);
  });

  it("does not wait for it when the caller gives up, either", async () => {
    const clock = new ManualClock();
    const stop = new AbortController();
    const reason = new Error("stopped");
    const hangs = () => new Promise<never>(() => {});
    const result = keepTryingWithin(budget, tryingBy(clock), stop.signal, hangs);
    const rejected = assert.rejects(result, reason);
    stop.abort(reason);
    await rejected;
    assert.equal(clock.sleepers, 0);
  });

  it("tells the last error rather than that time ran out", async () => {
    const clock = new ManualClock();
    const refused = new Failed("refused");
    let attempts = 0;
    const result = keepTryingWithin(budget, tryingBy(clock), never, async (signal) => {
      attempts += 1;
      if (attempts === 1) throw refused;
      return forever(signal);
    });
    const rejected = assert.rejects(result, refused);
    await clock.advance(10_000);
    await rejected;
    assert.equal(attempts, 2);
  });

  it("gives up at once where the next wait would end after it", async () => {
    const clock = new ManualClock();
    const trying = tryingBy(clock);
    const busy = new Failed("busy", true, 10_000);
    await assert.rejects(keepTryingWithin(budget, trying, never, failing(busy).attempt), busy);
    assert.deepEqual(trying.told, []);
    assert.equal(clock.monotonicMs(), 0);
    assert.equal(clock.sleepers, 0);
  });

  it("lets bugs and final errors through as they are", async () => {
    for (const error of [new Failed("denied", false), new TypeError("bug")]) {
      const trying = tryingBy(new ManualClock());
      await assert.rejects(keepTryingWithin(budget, trying, never, failing(error).attempt), error);
    }
  });
});
