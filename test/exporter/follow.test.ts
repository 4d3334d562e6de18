import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { Bell } from "../../src/core/waiting.ts";
import { follow } from "../../src/exporter/follow.ts";
import { SourceError, type SourceEvent } from "../../src/source/port.ts";
import { ManualClock } from "../fakes/manual-clock.ts";
import { RecordingLog } from "../fakes/recording-log.ts";
import { ScriptedSource } from "../fakes/scripted-source.ts";

const LOST = () => new SourceError("SOURCE_LOST", "the session broke");
const CONNECTED: SourceEvent = { kind: "connected" };

function setUp(random = 0) {
  const clock = new ManualClock();
  const log = new RecordingLog();
  const source = new ScriptedSource();
  const events: string[] = [];
  const stop = new AbortController();
  const renew = new Bell();
  const following = follow(
    source,
    (event) => events.push(event.kind),
    () => events.push("lost"),
    renew,
    { clock, random: () => random, log },
    stop.signal,
  );
  following.catch(() => {});
  /** Breaks the session and tells how long the follower then waits, milliseconds. */
  const delayAfter = async (error: Error): Promise<number> => {
    const sessions = source.sessions;
    source.emit(error);
    await clock.advance(0);
    let waited = 0;
    while (source.sessions === sessions) {
      await clock.advance(100);
      waited += 100;
      assert.ok(waited < 3_600_000);
    }
    return waited;
  };
  return { clock, log, source, events, stop, renew, following, delayAfter };
}

describe("following a source", () => {
  it("reconnects with growing delays from 1 s to 10 s and for ever", async () => {
    const { delayAfter } = setUp(0.999);
    const delays: number[] = [];
    for (let attempt = 0; attempt < 40; attempt += 1) delays.push(await delayAfter(LOST()));
    assert.deepEqual(delays.slice(0, 5), [2000, 4000, 8000, 10_000, 10_000]);
    assert.ok(delays.every((delay) => delay <= 10_000));
  });

  it("spreads the delays, the first one too, but never below 1 s", async () => {
    const { delayAfter } = setUp(0);
    for (let attempt = 0; attempt < 5; attempt += 1) assert.equal(await delayAfter(LOST()), 1000);
  });

  it("starts the back-off anew after a session that lasted", async () => {
    const { delayAfter, clock } = setUp(0.999);
    for (let attempt = 0; attempt < 6; attempt += 1) await delayAfter(LOST());
    await clock.advance(10_000);
    assert.equal(await delayAfter(LOST()), 2000);
  });

  it("does not start it anew for a control plane that accepts and drops", async () => {
    const { delayAfter, source } = setUp(0.999);
    let last = 0;
    for (let attempt = 0; attempt < 6; attempt += 1) {
      source.emit(CONNECTED);
      last = await delayAfter(LOST());
    }
    assert.equal(last, 10_000);
  });

  it("waits as long as Retry-After asks, within reason", async () => {
    const { delayAfter } = setUp(0);
    const busy = (retryAfterMs: number) => new SourceError("SOURCE_BUSY", "503", { retryAfterMs });
    assert.equal(await delayAfter(busy(42_000)), 42_000);
    assert.equal(await delayAfter(busy(1)), 1000);
    assert.equal(await delayAfter(busy(86_400_000)), 600_000);
  });

  it("says a refusal once, loudly, and tries again slowly", async () => {
    const { delayAfter, log } = setUp(0);
    const refused = new SourceError("SOURCE_REFUSED", "the control plane refuses 9.9.9");
    for (let attempt = 0; attempt < 4; attempt += 1) {
      assert.ok((await delayAfter(refused)) >= 45_000);
    }
    const errors = log.find("error");
    assert.equal(errors.length, 1);
    assert.equal(errors[0]?.message, "control plane refuses, an operator must act");
    assert.equal(errors[0]?.fields["err"], refused);
  });

  it("reminds of an outage every few minutes instead of at every attempt", async () => {
    const { delayAfter, log, clock } = setUp(0);
    for (let attempt = 0; attempt < 700; attempt += 1) await delayAfter(LOST());
    const minutes = clock.monotonicMs() / 60_000;
    assert.ok(minutes > 11);
    assert.equal(log.find("warn").length, 1 + Math.floor(minutes / 5));
  });

  it("passes events on in order and tells when a session ends", async () => {
    const { source, events, delayAfter } = setUp();
    source.emit(CONNECTED);
    await delayAfter(LOST());
    source.emit(CONNECTED);
    await delayAfter(LOST());
    assert.deepEqual(events, ["connected", "lost", "connected", "lost"]);
  });

  it("ends with the reason of its signal, in a session or between two", async () => {
    for (const between of [false, true]) {
      const { source, clock, stop, following } = setUp();
      if (between) {
        source.emit(LOST());
        await clock.untilSleeping(1000);
      }
      const reason = new Error("stop");
      stop.abort(reason);
      await assert.rejects(following, reason);
      assert.equal(clock.sleepers, 0);
    }
  });

  it("does not take a bug for an outage", async () => {
    const { source, following } = setUp();
    source.emit(new RangeError("a bug"));
    await assert.rejects(following, /a bug/);
    assert.equal(source.sessions, 1);
  });
});
