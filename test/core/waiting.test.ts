import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { setImmediate } from "node:timers/promises";
import { describe, it } from "vitest";
import {
  Bell,
  forever,
  inTime,
  Mailbox,
  orAborted,
  raced,
  Scope,
  Slots,
  until,
  untilQuiet,
  within,
} from "../../src/core/waiting.ts";
import { ManualClock } from "../fakes/manual-clock.ts";

const never = new AbortController().signal;
const reason = new Error("stopped");

function listeners(signal: AbortSignal): number {
  return getEventListeners(signal, "abort").length;
}

describe("a scope", () => {
  it("ends with any of its parents, for the parent's reason", () => {
    const one = new AbortController();
    const other = new AbortController();
    const scope = new Scope(one.signal, other.signal);
    assert.equal(scope.isOver, false);
    other.abort(reason);
    assert.equal(scope.isOver, true);
    assert.equal(scope.signal.reason, reason);
    assert.equal(listeners(one.signal), 0);
  });

  it("is over from the start where a parent is", () => {
    assert.equal(new Scope(AbortSignal.abort(reason)).signal.reason, reason);
  });

  it("keeps its first reason, and leaves nothing on its parents", () => {
    const parent = new AbortController();
    const scope = new Scope(parent.signal);
    assert.equal(listeners(parent.signal), 1);
    scope.end(reason);
    scope.end(new Error("second"));
    assert.equal(scope.signal.reason, reason);
    assert.equal(listeners(parent.signal), 0);
  });

  it("ends when it is disposed of", () => {
    const parent = new AbortController();
    const signal = (() => {
      using scope = new Scope(parent.signal);
      return scope.signal;
    })();
    assert.equal(signal.aborted, true);
    assert.equal(listeners(parent.signal), 0);
  });
});

describe("waiting for the end of a scope", () => {
  it("is for any number: Node does not warn of a leak", async () => {
    const warnings: Error[] = [];
    const warn = (warning: Error) => warnings.push(warning);
    process.on("warning", warn);
    const scope = new Scope();
    const waiting = Array.from({ length: 50 }, () =>
      orAborted(scope.signal, forever(scope.signal)),
    );
    scope.end();
    assert.equal((await Promise.all(waiting)).length, 50);
    await setImmediate();
    process.off("warning", warn);
    assert.deepEqual(warnings, []);
  });
});

describe("waiting until something happens", () => {
  it("undoes what was begun once, however it ends", async () => {
    for (const how of ["resolved", "rejected", "aborted"] as const) {
      const stop = new AbortController();
      let undone = 0;
      const result = until<string>(stop.signal, (resolve, reject) => {
        if (how === "resolved") resolve("done");
        if (how === "rejected") reject(reason);
        return () => {
          undone += 1;
        };
      });
      if (how === "aborted") stop.abort(reason);
      if (how === "resolved") assert.equal(await result, "done");
      else await assert.rejects(result, reason);
      assert.equal(undone, 1);
      assert.equal(listeners(stop.signal), 0);
    }
  });

  it("begins nothing where the signal has aborted already", async () => {
    await assert.rejects(
      until(AbortSignal.abort(reason), () => assert.fail("begun")),
      reason,
    );
  });

  it("leaves work behind that heeds no signal, and does not hear of its end", async () => {
    const stop = new AbortController();
    let fail: (error: Error) => void = () => {};
    const work = new Promise<never>((_, reject) => {
      fail = reject;
    });
    const result = raced(stop.signal, work);
    stop.abort(reason);
    await assert.rejects(result, reason);
    fail(new Error("late: would end the process if nobody had taken it"));
    await assert.rejects(
      raced(AbortSignal.abort(reason), Promise.reject(new Error("too"))),
      reason,
    );
  });

  it("may wait for ever", async () => {
    const stop = new AbortController();
    const result = forever(stop.signal);
    stop.abort(reason);
    await assert.rejects(result, reason);
  });
});

describe("a deadline", () => {
  const late = new Error("late");

  it("races its work, which may never end", async () => {
    const clock = new ManualClock();
    const deadline = { ms: 5_000, clock, late: () => late };
    let given: AbortSignal = never;
    const result = within(deadline, never, (signal) => {
      given = signal;
      return new Promise<never>(() => {});
    });
    const rejected = assert.rejects(result, late);
    await clock.advance(4_999);
    assert.equal(given.aborted, false);
    await clock.advance(1);
    await rejected;
    assert.equal(given.reason, late);
  });

  it("lets go of its timer, and of the caller's signal, when the work ends first", async () => {
    const clock = new ManualClock();
    const stop = new AbortController();
    const deadline = { ms: 5_000, clock, late: () => late };
    assert.equal(await within(deadline, stop.signal, async () => "done"), "done");
    const failure = new Error("failed");
    await assert.rejects(
      within(deadline, stop.signal, () => Promise.reject(failure)),
      failure,
    );
    assert.equal(clock.sleepers, 0);
    assert.equal(listeners(stop.signal), 0);
  });

  it("ends with the caller's signal", async () => {
    const clock = new ManualClock();
    const stop = new AbortController();
    const deadline = { ms: 5_000, clock, late: () => late };
    const result = within(deadline, stop.signal, () => new Promise<never>(() => {}));
    const rejected = assert.rejects(result, reason);
    stop.abort(reason);
    await rejected;
    assert.equal(clock.sleepers, 0);
  });

  it("counts from the last sign of life", async () => {
    const clock = new ManualClock();
    let moved: () => void = () => {};
    const result = within({ ms: 5_000, clock, late: () => late }, never, (_, itMoved) => {
      moved = itMoved;
      return new Promise<never>(() => {});
    });
    let isOver = false;
    const rejected = assert.rejects(result, late).then(() => {
      isOver = true;
    });
    await clock.advance(4_000);
    moved();
    await clock.advance(4_999);
    assert.equal(isOver, false);
    await clock.advance(1);
    await rejected;
  });
});

describe("a wait that may be in vain", () => {
  it("gives what came in time, and lets go of its timer", async () => {
    const clock = new ManualClock();
    assert.equal(await inTime(1_000, clock, never, async () => 1), 1);
    assert.equal(clock.sleepers, 0);
  });

  it("is over when the time is up, even if the work takes no notice", async () => {
    const clock = new ManualClock();
    let given: AbortSignal | undefined;
    const waited = inTime(1_000, clock, never, (signal) => {
      given = signal;
      return new Promise(() => {});
    });
    await clock.advance(1_000);
    assert.equal(await waited, "late");
    assert.equal(given?.aborted, true);
  });

  it("ends with the caller's signal, and fails as the work does", async () => {
    const clock = new ManualClock();
    const stop = new AbortController();
    const waited = inTime(1_000, clock, stop.signal, () => new Promise(() => {}));
    stop.abort(reason);
    await assert.rejects(waited, (error) => error === reason);
    const bug = new TypeError("a bug");
    const failed = inTime(1_000, clock, never, () => Promise.reject(bug));
    await assert.rejects(failed, (error) => error === bug);
    assert.deepEqual([clock.sleepers, listeners(stop.signal)], [0, 0]);
  });
});

describe("waiting for silence", () => {
  it("begins anew with each sign of life", async () => {
    const clock = new ManualClock();
    let lastAtMs = 0;
    let isQuiet = false;
    const quiet = untilQuiet(1_000, () => lastAtMs, clock, never).then(() => {
      isQuiet = true;
    });
    await clock.advance(999);
    lastAtMs = clock.monotonicMs();
    await clock.advance(999);
    assert.equal(isQuiet, false);
    await clock.advance(1);
    await quiet;
  });

  it("ends with its signal", async () => {
    const quiet = untilQuiet(1_000, () => 0, new ManualClock(), AbortSignal.abort(reason));
    await assert.rejects(quiet, (error) => error === reason);
  });
});

describe("work whose abort is no failure", () => {
  it("tells of it, and still fails for anything else", async () => {
    const stop = new AbortController();
    const bug = new TypeError("a bug");
    assert.equal(await orAborted(stop.signal, Promise.resolve(1)), 1);
    const waiting = orAborted(stop.signal, forever(stop.signal));
    stop.abort(reason);
    assert.equal(await waiting, "aborted");
    await assert.rejects(orAborted(stop.signal, Promise.reject(bug)), (error) => error === bug);
  });
});

describe("a bell", () => {
  it("wakes all who wait, and nobody who comes later", async () => {
    const bell = new Bell();
    const both = Promise.all([bell.wait(never), bell.wait(never)]);
    bell.ring();
    await both;
    const clock = new ManualClock();
    const rung = bell.waitFor(1_000, clock, never);
    await clock.advance(1_000);
    assert.equal(await rung, false);
  });

  it("is waited for so long", async () => {
    const bell = new Bell();
    const clock = new ManualClock();
    const rung = bell.waitFor(1_000, clock, never);
    bell.ring();
    assert.equal(await rung, true);
    assert.equal(clock.sleepers, 0);
    const stop = new AbortController();
    const stopped = bell.waitFor(1_000, clock, stop.signal);
    stop.abort(reason);
    await assert.rejects(stopped, reason);
    assert.equal(clock.sleepers, 0);
  });
});

describe("a mailbox", () => {
  it("holds the newest, until that one is removed", async () => {
    const box = new Mailbox<string>();
    assert.equal(box.isEmpty, true);
    box.put("older");
    box.put("newer");
    assert.equal(await box.newest(never), "newer");
    box.remove("older");
    assert.equal(box.peek(), "newer");
    box.remove("newer");
    assert.equal(box.isEmpty, true);
  });

  it("is waited for", async () => {
    const box = new Mailbox<string>();
    const stop = new AbortController();
    const first = box.newest(stop.signal);
    box.put("it");
    assert.equal(await first, "it");
    box.remove("it");
    const second = box.newest(stop.signal);
    stop.abort(reason);
    await assert.rejects(second, reason);
  });
});

describe("slots", () => {
  it("are given first come, first served, and given back once", async () => {
    const slots = new Slots(1);
    const giveBack = await slots.take(never);
    const order: string[] = [];
    const second = slots.take(never).then((back) => {
      order.push("second");
      back();
    });
    const third = slots.take(never).then((back) => {
      order.push("third");
      back();
    });
    giveBack();
    giveBack();
    await Promise.all([second, third]);
    assert.deepEqual(order, ["second", "third"]);
  });

  it("are not taken by who has gone", async () => {
    const slots = new Slots(1);
    const giveBack = await slots.take(never);
    const stop = new AbortController();
    const gone = slots.take(stop.signal);
    const waits = slots.take(never);
    stop.abort(reason);
    await assert.rejects(gone, reason);
    giveBack();
    (await waits)();
    assert.equal(await slots.within(never, async () => "done"), "done");
  });

  it("are given back by work that fails", async () => {
    const slots = new Slots(1);
    await assert.rejects(
      slots.within(never, () => Promise.reject(reason)),
      reason,
    );
    assert.equal(await slots.within(never, async () => "done"), "done");
  });
});
