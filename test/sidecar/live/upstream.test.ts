import assert from "node:assert/strict";
import { once } from "node:events";
import { describe, it } from "vitest";
import { SourceError } from "../../../src/source/port.ts";
import { unreachable } from "../../fakes/scripted-dialer.ts";
import { failureOf, PROBE, UpstreamStage } from "./upstream-stage.ts";

const withheld = () => new SourceError("SOURCE_WITHHELD", "no config came");
const givesNobody = async () => false;

describe("an upstream of which nothing is known", () => {
  it("is live once a probe succeeds, and the probe leaves nothing open", async () => {
    const stage = new UpstreamStage();
    assert.deepEqual(stage.kinds, ["connecting"]);
    assert.equal(stage.upstream.isAnswering, true);
    await stage.clock.advance(0);
    assert.deepEqual(stage.kinds, ["connecting", "live"]);
    assert.deepEqual(stage.dialer.dials, [{ target: PROBE, atMs: 0 }]);
    assert.deepEqual(stage.dialer.open, []);
  });

  it("is live once a data plane's dial succeeds", async () => {
    const stage = new UpstreamStage({ meets: "silence" });
    await stage.clock.advance(1_000);
    stage.dialer.up();
    await stage.dial();
    assert.deepEqual(stage.states.at(-1), { kind: "live", atMs: 1_000 });
  });

  it("is in fallback once the probe fails, and says why", async () => {
    const error = unreachable();
    const stage = new UpstreamStage({ meets: error });
    await stage.clock.advance(0);
    assert.equal(stage.upstream.isAnswering, false);
    const { state } = stage.upstream;
    assert.ok(state.kind === "fallback");
    assert.equal(state.error, error);
    assert.deepEqual(state.since, stage.clock.now());
    const [line] = stage.log.find("warn");
    assert.equal(line?.fields["err"], error);
    assert.equal(line?.fields["recoveryMs"], 30_000);
  });

  it("leaves a data plane that fails to its own attempts, until it gives up", async () => {
    const stage = new UpstreamStage({ meets: "silence" });
    await stage.clock.advance(0);
    stage.dialer.meets = unreachable();
    const error = await failureOf(stage.dial());
    assert.deepEqual(stage.kinds, ["connecting"]);
    stage.upstream.lost(error);
    assert.deepEqual(stage.kinds, ["connecting", "fallback"]);
  });
});

describe("a live upstream", () => {
  it("is asked every 30 s while no connection is up, and not while one is", async () => {
    const stage = await UpstreamStage.live();
    await stage.clock.advance(95_000);
    assert.deepEqual(stage.probesAtMs, [0, 30_000, 60_000, 90_000]);
    const { webSocket } = await stage.dial();
    await stage.clock.advance(600_000);
    assert.equal(stage.probesAtMs.length, 4);
    webSocket.terminate();
    await stage.clock.advance(29_999);
    assert.equal(stage.probesAtMs.length, 4);
    await stage.clock.advance(1);
    assert.equal(stage.probesAtMs.length, 5);
  });

  it("is not asked more often where connections come and go", async () => {
    const stage = await UpstreamStage.live();
    for (let second = 0; second < 120; second += 1) {
      const { webSocket } = await stage.dial();
      webSocket.terminate();
      await stage.clock.advance(1_000);
    }
    assert.deepEqual(stage.probesAtMs, [0]);
  });

  it("survives a probe that fails where the next one, after reconnectMs, does not", async () => {
    const stage = await UpstreamStage.live();
    await stage.dialer.down();
    await stage.clock.advance(30_000);
    stage.dialer.up();
    await stage.clock.advance(15_000);
    assert.deepEqual(stage.probesAtMs, [0, 30_000, 45_000]);
    await stage.clock.advance(60_000);
    assert.deepEqual(stage.kinds, ["connecting", "live"]);
  });

  it("is lost when both fail", async () => {
    const stage = await UpstreamStage.live();
    await stage.dialer.down();
    await stage.clock.advance(45_000);
    assert.deepEqual(stage.states.at(-1), { kind: "fallback", atMs: 45_000 });
  });

  it("is not lost where a data plane came through between the two", async () => {
    const stage = await UpstreamStage.live();
    await stage.dialer.down();
    await stage.clock.advance(30_000);
    stage.dialer.up();
    await stage.clock.advance(5_000);
    const { webSocket } = await stage.dial();
    webSocket.terminate();
    await once(webSocket, "close");
    stage.dialer.meets = unreachable();
    await stage.clock.advance(29_999);
    assert.deepEqual(stage.probesAtMs, [0, 30_000]);
    assert.deepEqual(stage.kinds, ["connecting", "live"]);
  });

  it("is lost when a data plane gives up, unless another connection is up", async () => {
    const stage = await UpstreamStage.live();
    const { webSocket } = await stage.dial();
    stage.dialer.meets = unreachable();
    const error = await failureOf(stage.dial());
    stage.upstream.lost(error);
    assert.equal(stage.upstream.state.kind, "live");
    webSocket.terminate();
    await once(webSocket, "close");
    stage.upstream.lost(error);
    assert.equal(stage.upstream.state.kind, "fallback");
  });

  it("does not count a connection that was closed before it was handed over", async () => {
    const stage = await UpstreamStage.live();
    const dial = stage.dialer.dial.bind(stage.dialer);
    stage.dialer.dial = async (...given) => {
      const connection = await dial(...given);
      connection.webSocket.terminate();
      await once(connection.webSocket, "close");
      return connection;
    };
    await stage.dial();
    stage.upstream.lost(unreachable());
    assert.equal(stage.upstream.state.kind, "fallback");
  });

  it("is lost when it withholds the config, though connections are up", async () => {
    const stage = await UpstreamStage.live();
    await stage.dial();
    await stage.dial();
    await stage.upstream.withheld(withheld(), givesNobody);
    assert.equal(stage.upstream.state.kind, "fallback");
  });

  it("is not lost where others get theirs: the fault is the data plane's own", async () => {
    const stage = await UpstreamStage.live();
    const served = await stage.dial();
    await stage.dial();
    stage.upstream.delivered(served);
    await stage.upstream.withheld(withheld(), givesNobody);
    assert.equal(stage.upstream.state.kind, "live");
    served.webSocket.terminate();
    await once(served.webSocket, "close");
    // It is too late to have brought one.
    stage.upstream.delivered(served);
    await stage.upstream.withheld(withheld(), givesNobody);
    assert.equal(stage.upstream.state.kind, "fallback");
  });

  it("lets a data plane try again after 5 to 10 s", async () => {
    const draws = [0, 0.999];
    const stage = await UpstreamStage.live({ random: () => draws.shift() ?? 0 });
    const waiters = [stage.wait(), stage.wait()];
    await stage.clock.advance(10_000);
    assert.deepEqual(
      waiters.map(({ atMs }) => atMs),
      [5_000, 9_995],
    );
  });
});

describe("a control plane that asks to be left alone", () => {
  const busy = (retryAfterMs: number) =>
    new SourceError("SOURCE_BUSY", "cp.example:8005 answers 503", { retryAfterMs });

  it("is, by data planes and probes alike, and is tried when the time is over", async () => {
    const stage = await UpstreamStage.lost();
    stage.dialer.meets = busy(60_000);
    const before = stage.dialer.dials.length;
    const error = await failureOf(stage.dial());
    assert.equal(error.code, "SOURCE_BUSY");
    await stage.clock.advance(59_999);
    assert.equal(await failureOf(stage.dial()), error);
    assert.equal(stage.dialer.dials.length, before + 1);
    stage.dialer.up();
    await stage.clock.advance(1);
    await stage.dial();
    assert.equal(stage.dialer.open.length, 1);
    await stage.end();
  });

  it("for a day, is tried after 10 minutes", async () => {
    const stage = await UpstreamStage.lost();
    stage.dialer.meets = busy(86_400_000);
    await failureOf(stage.dial());
    const before = stage.dialer.dials.length;
    await stage.clock.advance(600_000);
    await failureOf(stage.dial());
    assert.ok(stage.dialer.dials.length > before);
    await stage.end();
  });
});
