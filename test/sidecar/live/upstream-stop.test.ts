import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { describe, it } from "vitest";
import { SourceError } from "../../../src/source/port.ts";
import { failureOf, type StageOptions, UpstreamStage, type Waiter } from "./upstream-stage.ts";

describe("stopping to watch an upstream", () => {
  it("rejects with the reason at once, and leaves no timer", async () => {
    const reach: readonly (() => Promise<UpstreamStage>)[] = [
      async () => new UpstreamStage({ meets: "silence" }),
      () => UpstreamStage.live(),
      // Between two probes of which the first failed.
      async () => {
        const stage = await UpstreamStage.live();
        await stage.dialer.down();
        await stage.clock.advance(31_000);
        return stage;
      },
      () => UpstreamStage.lost(),
      () => inHold(),
    ];
    for (const get of reach) {
      const stage = await get();
      const { kind } = stage.upstream.state;
      await stage.end();
      assert.equal(stage.clock.sleepers, 0);
      assert.equal(getEventListeners(stage.stop.signal, "abort").length, 0);
      const dials = stage.dialer.dials.length;
      await stage.clock.advance(600_000);
      assert.equal(stage.upstream.state.kind, kind);
      assert.equal(stage.dialer.dials.length, dials);
    }
  });

  it("ends the waiting of each data plane with the reason of its own signal, and leaves no timer", async () => {
    const reach: readonly (() => Promise<{ stage: UpstreamStage; waiter: Waiter }>)[] = [
      // Before its 5 s are over; in the waiting room; before its moment in the release.
      async () => waitIn(await UpstreamStage.live()),
      async () => waitIn(await UpstreamStage.lost()),
      async () => {
        const stage = await inHold({ random: () => 0.5 });
        const waiting = waitIn(stage);
        await stage.clock.advance(30_000);
        assert.equal(stage.upstream.state.kind, "live");
        return waiting;
      },
    ];
    for (const get of reach) {
      const { stage, waiter } = await get();
      await stage.end();
      const reason = new Error("gone");
      waiter.leave.abort(reason);
      await assert.rejects(waiter.turn, (error) => error === reason);
      assert.equal(stage.clock.sleepers, 0);
      assert.equal(getEventListeners(waiter.leave.signal, "abort").length, 0);
      await assert.rejects(stage.upstream.turn(waiter.leave.signal), (error) => error === reason);
    }
  });

  it("does not take the reason for a sign that the control plane is lost", async () => {
    const stage = new UpstreamStage({ meets: "silence" });
    await stage.clock.advance(0);
    const reason = new SourceError("SOURCE_LOST", "closed here");
    stage.stop.abort(reason);
    await assert.rejects(stage.running, (error) => error === reason);
    assert.deepEqual(stage.kinds, ["connecting"]);
  });

  it("does not begin once the signal has aborted", async () => {
    const stage = new UpstreamStage();
    await stage.end();
    const before = stage.dialer.dials.length;
    await assert.rejects(stage.upstream.run(stage.stop.signal), /stop/);
    assert.equal(stage.dialer.dials.length, before);
  });

  it("passes on what is no failure of the control plane: a bug stays a bug", async () => {
    const bug = new TypeError("undefined is not a function");
    const stage = new UpstreamStage({ meets: bug });
    await assert.rejects(stage.running, (error) => error === bug);
    await assert.rejects(stage.dial(), (error) => error === bug);
    assert.deepEqual(stage.kinds, ["connecting"]);
  });
});

describe("where there is no control plane", () => {
  it("is in fallback for good, says so to who dials, and sleeps", async () => {
    const stage = new UpstreamStage({ dialer: undefined });
    const waiter = stage.wait();
    assert.deepEqual(stage.kinds, ["fallback"]);
    assert.equal(stage.upstream.isAnswering, false);
    const error = await failureOf(stage.dial());
    assert.equal(error.code, "SOURCE_UNREACHABLE");
    assert.equal(error.retryable, false);
    assert.match(error.hint ?? "", /KONG_CLUSTER_CONTROL_PLANE/);
    await stage.clock.advance(86_400_000);
    assert.equal(stage.clock.sleepers, 0);
    assert.equal(waiter.atMs, undefined);
    waiter.leave.abort(new Error("gone"));
    await assert.rejects(waiter.turn, /gone/);
    await stage.end();
  });
});

/** Lost, and answering again. */
async function inHold(options: StageOptions = {}): Promise<UpstreamStage> {
  const stage = await UpstreamStage.lost(options);
  stage.dialer.up();
  await stage.clock.advance(10_000);
  assert.equal(stage.upstream.isAnswering, true);
  assert.equal(stage.upstream.state.kind, "fallback");
  return stage;
}

function waitIn(stage: UpstreamStage): { stage: UpstreamStage; waiter: Waiter } {
  return { stage, waiter: stage.wait() };
}
