import assert from "node:assert/strict";
import { describe, it } from "vitest";
import type { FakeDataPlane } from "../../fakes/data-plane.ts";
import { HASH, SMALL } from "../../source/harness.ts";
import { Stage } from "../stage.ts";

describe("a control plane that accepts and sends no config, its database being down", () => {
  it("leaves an empty data plane to the snapshot, and its own config wins when it comes", async () => {
    await using stage = await Stage.open({ behind: {} });
    const { configHash } = await stage.shelve("a");
    const plane = await stage.plane();
    const upstream = await stage.upstreamOf(plane);
    await stage.pass(19_000);
    assert.equal((await stage.sessionOf(plane)).state.kind, "connecting");
    await stage.pass(1_000);
    await plane.configured(configHash);
    await stage.said("data plane configured from the snapshot");
    assert.equal((await stage.sessionOf(plane)).state.kind, "fallback");
    assert.equal(stage.sidecar.state.kind, "fallback");
    await stage.until(() => upstream.pings.at(-1) === configHash);
    upstream.sendConfig(SMALL);
    await plane.until(() => plane.applied.length === 2);
    assert.equal((await stage.sessionOf(plane)).state.kind, "live");
    assert.ok(!upstream.hasEnded);
    await stage.pass(120_000);
    assert.equal(stage.upstreamsOf(plane).length, 1);
  });

  it("and then sends one ends the delivery of a snapshot that was lost", async () => {
    await using stage = await Stage.open({ behind: {} });
    await stage.shelve("a");
    const plane = await stage.plane({ behaviour: { race: 1 } });
    await stage.passUntil(() => plane.refused.length === 1);
    (await stage.upstreamOf(plane)).sendConfig(SMALL);
    await plane.until(() => plane.applied.length === 1);
    await stage.pass(60_000);
    assert.deepEqual(plane.received[1]?.frame, SMALL);
    assert.equal(plane.received.length, 2);
  });

  it("and then sends one ends the watch for newer snapshots", async () => {
    await using stage = await Stage.open({ behind: {}, remembers: false });
    const plane = await stage.plane({ behaviour: { applyMs: 5_000 } });
    await stage.passUntil(() => stage.log.find("control plane sends no config").length > 0);
    (await stage.upstreamOf(plane)).sendConfig(SMALL);
    await plane.until(() => plane.received.length === 1);
    await stage.shelve("a");
    await stage.pass(30_000);
    assert.deepEqual([plane.applied.length, plane.received.length], [1, 1]);
  });

  it("is asked anew every 60 s on a new connection, for it sends nothing later by itself", async () => {
    await using stage = await Stage.open({ behind: {} });
    await stage.shelve("a");
    const plane = await stage.plane({ hash: HASH });
    await stage.upstreamOf(plane);
    await stage.pass(79_000);
    assert.equal(stage.upstreamsOf(plane).length, 1);
    await stage.pass(1_000);
    const second = await stage.upstreamOf(plane, 2);
    await (await stage.upstreamOf(plane)).ended();
    await second.received(2);
    assert.deepEqual(second.pings, [HASH]);
    await stage.pass(60_000);
    assert.equal(stage.upstreamsOf(plane).length, 2);
    assert.equal(stage.log.find("control plane sends no config").length, 1);
    assert.deepEqual(plane.received, []);
    assert.equal((await stage.sessionOf(plane)).state.kind, "fallback");
    assert.equal(plane.connections, 1);
  });
});

describe("a control plane that lives and gives one data plane nothing", () => {
  const lacksKeyAuth = Buffer.from('{"type":"basic_info","plugins":[{"name":"acl"}]}');
  const guarded = { config: SMALL, configured: ["key-auth"] };

  async function isServedNothing(stage: Stage, plane: FakeDataPlane): Promise<void> {
    await stage.pass(300_000);
    assert.deepEqual(plane.received, []);
    assert.equal(stage.counts.unserved, 1);
    const told = stage.log.find(
      "control plane withholds its config from the data plane, nothing is served",
    );
    assert.equal(told.length, 1);
    const { state } = await stage.sessionOf(plane);
    assert.ok(state.kind === "withheld");
    assert.match(state.error.message, /gives/);
    assert.equal(stage.sidecar.state.kind, "live");
  }

  it("wins over an older snapshot without the plugin it lacks, while others are given theirs", async () => {
    await using stage = await Stage.open({ behind: guarded });
    const fit = await stage.plane();
    await fit.configured();
    await stage.shelve("a", { exportedAt: new Date(Date.now() + 1e9), controlPlaneTimestamp: 2e9 });
    const unfit = await stage.plane({ basicInfo: lacksKeyAuth });
    await stage.upstreamOf(unfit);
    await isServedNothing(stage, unfit);
    assert.equal((await stage.sessionOf(fit)).state.kind, "live");
    assert.equal(stage.upstreamsOf({ nodeId: "probe" }).length, 1, "nobody had to ask");
  });

  it("wins where the data plane is the only one, since a start: it is asked as one that lacks nothing", async () => {
    await using stage = await Stage.open({ behind: guarded });
    await stage.shelve("a");
    const unfit = await stage.plane({ basicInfo: lacksKeyAuth });
    await stage.upstreamOf(unfit);
    await isServedNothing(stage, unfit);
    assert.ok(stage.passed.length > 0, "what was given is remembered for the next outage");
  });

  it("wins where two such data planes come together: one question is asked for both", async () => {
    await using stage = await Stage.open({ behind: guarded });
    await stage.shelve("a");
    const planes = [
      await stage.plane({ basicInfo: lacksKeyAuth }),
      await stage.plane({ basicInfo: lacksKeyAuth }),
    ];
    for (const plane of planes) await stage.upstreamOf(plane);
    await stage.pass(30_000);
    assert.deepEqual(
      planes.map(({ received }) => received.length),
      [0, 0],
    );
    assert.equal(stage.upstreamsOf({ nodeId: "probe" }).length, 2, "at the start, and now");
  });

  it("wins as soon as it answers after an outage, though it is not trusted yet", async () => {
    await using stage = await Stage.open();
    await stage.shelve("a");
    await stage.revive(guarded);
    await stage.passUntil(() => stage.upstreamsOf({ nodeId: "probe" }).length > 0);
    assert.equal(stage.sidecar.state.kind, "fallback");
    const unfit = await stage.plane({ basicInfo: lacksKeyAuth });
    await stage.settled(unfit);
    await stage.passUntil(() => stage.upstreamsOf(unfit).length > 0);
    await isServedNothing(stage, unfit);
  });

  it("is lost when it dies: then the snapshot is served, if it fits", async () => {
    await using stage = await Stage.open({ behind: guarded, remembers: false });
    const { configHash } = await stage.shelve("a");
    const unfit = await stage.plane({ basicInfo: lacksKeyAuth });
    await stage.upstreamOf(unfit);
    await stage.pass(15_000);
    assert.deepEqual(unfit.received, []);
    await stage.controlPlane[Symbol.asyncDispose]();
    await stage.passUntil(() => unfit.received.length > 0);
    await unfit.configured(configHash);
  });
});

describe("a control plane that closes right after basic_info, as on a version it does not serve", () => {
  it("is tried again every 5 s at most, and not taken to be lost; nothing is served, the log tells once", async () => {
    await using stage = await Stage.open({ behind: { config: SMALL, version: "3.4.2" } });
    await stage.shelve("a");
    const plane = await stage.plane();
    const refused = await stage.said("control plane refuses the data plane");
    assert.match(`${refused["err"]}`, /was told version 3\.9\.1/);
    assert.equal((await stage.sessionOf(plane)).state.kind, "withheld");
    await stage.pass(60_000);
    const attempts = stage.upstreamsOf(plane).length;
    assert.ok(attempts > 5 && attempts <= 13, `${attempts} attempts`);
    assert.equal(stage.log.find("control plane refuses the data plane").length, 1);
    assert.equal(stage.sidecar.state.kind, "live");
    await stage.settled(plane);
    assert.deepEqual([plane.connections, plane.received.length], [1, 0]);
  });
});
