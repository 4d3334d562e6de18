import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { HASH, SMALL } from "../../source/harness.ts";
import { Stage } from "../stage.ts";

describe("a control plane that accepts and sends no config, its database being down", () => {
  it("leaves an empty data plane to the snapshot, and its own config wins when it comes", async () => {
    await using stage = await Stage.open({ behind: {} });
    const { configHash } = await stage.shelve("a");
    const plane = await stage.plane();
    const upstream = await stage.upstreamOf(plane);
    await stage.pass(9_000);
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
    await stage.pass(69_000);
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

  it("only to one data plane, as it does where a plugin is missing, is not lost", async () => {
    await using stage = await Stage.open({ behind: { config: SMALL, configured: ["key-auth"] } });
    const fit = await stage.plane();
    await fit.configured();
    const basicInfo = Buffer.from('{"type":"basic_info","plugins":[{"name":"acl"}]}');
    const unfit = await stage.plane({ basicInfo });
    await stage.upstreamOf(unfit);
    await stage.pass(10_000);
    await stage.said("control plane sends no config");
    assert.equal((await stage.sessionOf(fit)).state.kind, "live");
    assert.equal(stage.sidecar.state.kind, "live");
    await stage.settled(unfit);
  });
});

describe("a control plane that closes right after basic_info, as on a version it does not serve", () => {
  it("is tried again every 5 s at most, and not taken to be lost; the log tells once", async () => {
    await using stage = await Stage.open({ behind: { config: SMALL, version: "3.4.2" } });
    const { configHash } = await stage.shelve("a");
    const plane = await stage.plane();
    await plane.configured(configHash);
    const refused = await stage.said("control plane refuses the data plane");
    assert.match(`${refused["err"]}`, /was told version 3\.9\.1/);
    assert.equal((await stage.sessionOf(plane)).state.kind, "fallback");
    await stage.pass(60_000);
    const attempts = stage.upstreamsOf(plane).length;
    assert.ok(attempts > 5 && attempts <= 13, `${attempts} attempts`);
    assert.equal(stage.log.find("control plane refuses the data plane").length, 1);
    assert.equal(stage.sidecar.state.kind, "live");
    await stage.settled(plane);
    assert.deepEqual([plane.connections, plane.received.length], [1, 1]);
  });
});
