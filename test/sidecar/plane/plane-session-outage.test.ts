import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { encodeFrame, PING, PONG } from "../../fakes/websocket-frames.ts";
import { SMALL } from "../../source/harness.ts";
import { largeConfig, Stage } from "../stage.ts";

const BROKE = "connection to the control plane broke";

describe("a control plane that dies", () => {
  it("in the middle of a config leaves nothing of it: an empty data plane gets the snapshot", async () => {
    await using stage = await Stage.open({ behind: {} });
    const { configHash, frame } = await stage.shelve("a");
    const plane = await stage.plane();
    const upstream = await stage.upstreamOf(plane);
    const half = encodeFrame(2, largeConfig("large", 400_000).frame).subarray(0, 200_000);
    upstream.write(half);
    await stage.until(() => upstream.unsentBytes === 0);
    await stage.controlPlane.kill();
    await plane.configured(configHash);
    assert.equal(plane.received.length, 1);
    assert.deepEqual(plane.received[0]?.frame, Buffer.from(frame));
    assert.equal((await stage.sessionOf(plane)).state.kind, "fallback");
    assert.equal(stage.sidecar.state.kind, "fallback");
  });

  it("in the middle of a config leaves a configured data plane as it is", async () => {
    await using stage = await Stage.open({ behind: { config: SMALL } });
    const plane = await stage.plane();
    await plane.configured();
    const upstream = await stage.upstreamOf(plane);
    upstream.write(encodeFrame(2, largeConfig("large", 400_000).frame).subarray(0, 200_000));
    await stage.until(() => upstream.unsentBytes === 0);
    await stage.controlPlane.kill();
    await stage.said(BROKE);
    await stage.pass(60_000);
    await stage.settled(plane);
    assert.deepEqual(
      plane.received.map(({ frame }) => frame),
      [SMALL],
    );
    assert.equal(plane.connections, 1);
  });

  it("answers no more pings: we do, also the one that was passed on just before", async () => {
    await using stage = await Stage.open({ behind: { config: SMALL } });
    const plane = await stage.plane();
    await plane.configured();
    const upstream = await stage.upstreamOf(plane);
    await stage.until(() => upstream.pings.at(-1) === plane.hash);
    // Until every ping has its pong.
    await stage.pass(1_000);
    upstream.answers = false;
    const { pongs } = plane;
    const { length } = upstream.pings;
    plane.send(PING, Buffer.from(plane.hash));
    await stage.until(() => upstream.pings.length > length);
    assert.equal(plane.pongs, pongs);
    await stage.controlPlane.kill();
    await plane.until(() => plane.pongs === pongs + 1);
    await stage.pass(120_000);
    await stage.settled(plane);
    assert.equal(plane.connections, 1);
    assert.ok(plane.isConnected);
  });

  it("and is back within the reconnect time goes unnoticed by its data planes", async () => {
    await using stage = await Stage.open({ behind: { config: SMALL } });
    const plane = await stage.plane();
    await plane.configured();
    await stage.controlPlane.kill();
    await stage.said(BROKE);
    await stage.pass(5_000);
    assert.deepEqual((await stage.sessionOf(plane)).state.kind, "live");
    await stage.revive({ config: SMALL });
    await stage.passUntil(() => plane.received.length === 2);
    const upstream = await stage.upstreamOf(plane);
    assert.equal(upstream.pings[0], plane.hash);
    assert.equal(stage.sidecar.state.kind, "live");
    assert.deepEqual([plane.connections, stage.log.find(BROKE).length], [1, 1]);
    assert.equal(stage.counts.served, 0);
  });

  it("and is not back within it is lost: its data planes are in fallback, with what they run", async () => {
    await using stage = await Stage.open({ behind: { config: SMALL } });
    const plane = await stage.plane();
    await plane.configured();
    const session = await stage.sessionOf(plane);
    await stage.controlPlane.kill();
    await stage.said(BROKE);
    await stage.pass(14_000);
    assert.deepEqual([session.state.kind, stage.sidecar.state.kind], ["live", "live"]);
    await stage.pass(6_000);
    assert.deepEqual([session.state.kind, stage.sidecar.state.kind], ["fallback", "fallback"]);
    assert.ok(session.state.since > session.connectedAt);
    await stage.settled(plane);
    assert.equal(plane.received.length, 1);
    const late = await stage.plane();
    await late.configured(plane.hash);
    assert.deepEqual(late.received[0]?.frame, SMALL);
  });

  it("without a word is found out by the unanswered ping, in time for the data plane", async () => {
    await using stage = await Stage.open({ behind: { config: SMALL } });
    const plane = await stage.plane();
    await plane.configured();
    const upstream = await stage.upstreamOf(plane);
    // Until every ping has its pong.
    await stage.pass(1_000);
    upstream.answers = false;
    const { length } = upstream.pings;
    await stage.passUntil(() => upstream.pings.length > length);
    await stage.pass(11_000);
    assert.ok(!upstream.hasEnded);
    await stage.pass(1_000);
    await upstream.ended();
    assert.match(`${(await stage.said(BROKE))["err"]}`, /no answer to a ping within 12 s/);
    await stage.passUntil(() => stage.upstreamsOf(plane).length === 2);
    await stage.pass(90_000);
    assert.deepEqual([plane.connections, plane.isConnected], [1, true]);
  });

  it("without a word in the middle of a config is found out as well", async () => {
    await using stage = await Stage.open({ behind: { config: SMALL } });
    const plane = await stage.plane();
    await plane.configured();
    const upstream = await stage.upstreamOf(plane);
    // Until every ping has its pong.
    await stage.pass(1_000);
    upstream.answers = false;
    upstream.write(encodeFrame(2, largeConfig("large", 400_000).frame).subarray(0, 200_000));
    await stage.passUntil(() => stage.log.find(BROKE).length > 0);
    await upstream.ended();
    assert.ok(plane.isConnected);
  });
});

describe("a control plane that breaks off again and again after its config", () => {
  it("is tried at growing intervals, and the data plane stays connected", async () => {
    await using stage = await Stage.open({ behind: { config: SMALL }, random: () => 0.999 });
    const plane = await stage.plane();
    for (let n = 1; n <= 8; n += 1) {
      await stage.passUntil(() => stage.upstreamsOf(plane).length >= n);
      await plane.until(() => plane.received.length >= n);
      (await stage.upstreamOf(plane, n)).drop();
      await stage.said(BROKE, n);
    }
    const startMs = stage.clock.monotonicMs();
    await stage.passUntil(() => stage.upstreamsOf(plane).length === 9);
    assert.ok(stage.clock.monotonicMs() - startMs >= 4_000);
    assert.equal(plane.connections, 1);
  });

  it("has its pongs passed on as they come", async () => {
    await using stage = await Stage.open({ behind: { config: SMALL, pongs: false } });
    const plane = await stage.plane();
    await plane.configured();
    const { pongs } = plane;
    (await stage.upstreamOf(plane)).send(PONG, Buffer.from("pong"));
    await plane.until(() => plane.pongs === pongs + 1);
  });
});

describe("the line that the control plane is lost", () => {
  it("says what new data planes are served, and that they are served nothing where that is so", async () => {
    const lines: unknown[] = [];
    for (const snapshots of [0, 1]) {
      await using stage = await Stage.open({ behind: {} });
      if (snapshots > 0) await stage.shelve("a");
      await stage.controlPlane[Symbol.asyncDispose]();
      await stage.passUntil(() => stage.sidecar.state.kind === "fallback");
      for (const { message, fields } of stage.log.find("warn")) {
        if (message.startsWith("control plane lost")) lines.push([message, fields["served"]]);
      }
    }
    assert.deepEqual(lines, [
      ["control plane lost, and there is no snapshot for new data planes", []],
      ["control plane lost, new data planes are served from the snapshot", ["3.9.1"]],
    ]);
  });
});
