import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { kongVersion, snapshotOf, V391 } from "../../fakes/config.ts";
import { HandshakeRefused } from "../../fakes/data-plane-dial.ts";
import { traitsOf } from "../../fakes/data-plane-traits.ts";
import { HASH } from "../../source/harness.ts";
import { largeConfig, recorded, Stage } from "../stage.ts";

const T0 = 1_795_220_000;

describe("a data plane while the control plane is lost", () => {
  for (const version of ["3.9.1", "3.4.2", "2.8.5"]) {
    it(`of version ${version} is configured from the snapshot, and acknowledges its hash`, async () => {
      await using stage = await Stage.open();
      const { frame, configHash } = await stage.shelve("a", { kongVersion: kongVersion(version) });
      const plane = await stage.plane({ version });
      await plane.configured(configHash);
      const [message, ...more] = plane.received;
      assert.ok(message?.isBinary && message.frame.equals(frame));
      assert.deepEqual(more, []);
      const { configHash: told, from } = await stage.said(
        "data plane configured from the snapshot",
      );
      assert.deepEqual([told, from], [configHash, "store"]);
      const session = await stage.sessionOf(plane);
      assert.deepEqual([session.state.kind, session.hash], ["fallback", configHash]);
      assert.deepEqual(stage.counts, { served: 1, resent: 0, rejected: 0, unserved: 0 });
      assert.deepEqual(stage.versions, [version]);
    });
  }

  it("is configured by the very message of a control plane, where that was remembered", async () => {
    await using stage = await Stage.open({ behind: "none" });
    const { frame, snapshot, configHash } = await recorded("3.9.1/rich.reconfigure.bin");
    await stage.put(snapshot, frame);
    const plane = await stage.plane();
    await plane.configured(configHash);
    assert.deepEqual(plane.received[0]?.frame, frame);
  });

  it("is left alone where it runs a config of its own, whatever comes onto the shelf", async () => {
    await using stage = await Stage.open();
    await stage.shelve("a");
    const plane = await stage.plane({ hash: HASH });
    await stage.settled(plane);
    await stage.shelve("b", { controlPlaneTimestamp: T0 + 1 });
    await stage.pass(60_000);
    await stage.settled(plane);
    assert.deepEqual(plane.received, []);
    assert.equal((await stage.sessionOf(plane)).state.kind, "fallback");
  });

  it("gets the newest snapshot whatever it runs where there is no control plane to overrule", async () => {
    await using stage = await Stage.open({ behind: "none" });
    const { configHash } = await stage.shelve("a");
    const plane = await stage.plane({ hash: HASH });
    await plane.configured(configHash);
    assert.deepEqual(plane.applied, [configHash]);
  });

  it("gets a newer snapshot where the one it runs came from us", async () => {
    await using stage = await Stage.open();
    const { configHash: before } = await stage.shelve("a");
    const plane = await stage.plane();
    await plane.configured(before);
    await stage.said("data plane configured from the snapshot");
    await stage.shelve("of another version", { kongVersion: kongVersion("3.4.2") });
    const { configHash: after } = await stage.shelve("b", { controlPlaneTimestamp: T0 + 1 });
    await plane.configured(after);
    await stage.said("data plane configured from the snapshot", 2);
    assert.deepEqual(plane.applied, [before, after]);
  });

  it("gets only the newest of several that come while it loads one", async () => {
    await using stage = await Stage.open();
    await stage.shelve("a");
    const plane = await stage.plane({ behaviour: { applyMs: 3_000 } });
    await plane.until(() => plane.received.length === 1);
    await stage.shelve("b", { controlPlaneTimestamp: T0 + 1 });
    const { configHash } = await stage.shelve("c", { controlPlaneTimestamp: T0 + 2 });
    await plane.until(() => plane.received.length === 3);
    await stage.pass(6_000);
    await plane.configured(configHash);
    await stage.pass(60_000);
    assert.equal(plane.received.length, 3);
    assert.equal(stage.counts.resent, 0);
  });

  it("is served without a hash in the snapshot as well, and a newer one after it", async () => {
    await using stage = await Stage.open();
    await stage.shelve("a", { configHash: undefined, hashes: {} });
    const plane = await stage.plane();
    await plane.configured();
    await stage.said("data plane configured from the snapshot");
    await stage.shelve("b", { configHash: undefined, hashes: {}, controlPlaneTimestamp: T0 + 1 });
    await stage.said("data plane configured from the snapshot", 2);
    assert.equal(plane.applied.length, 2);
    assert.equal((await stage.sessionOf(plane)).hash, plane.hash);
  });

  it("that never pings is given the config all the same, after 1 s", async () => {
    await using stage = await Stage.open();
    const { frame } = await stage.shelve("a");
    const plane = await stage.plane({ behaviour: { neverPings: true } });
    await stage.clock.untilSleeping(1_000);
    assert.equal(plane.received.length, 0);
    await stage.pass(1_000);
    await plane.until(() => plane.received.length === 1);
    assert.deepEqual(plane.received[0]?.frame, Buffer.from(frame));
  });

  it("is refused with 503 and Retry-After where there is no snapshot for its version", async () => {
    await using stage = await Stage.open();
    await stage.shelve("a", { kongVersion: kongVersion("3.4.2") });
    const refused = async (version: string) => {
      await assert.rejects(stage.plane({ version }), (error) => {
        assert.ok(error instanceof HandshakeRefused);
        assert.deepEqual([error.status, error.headers.get("retry-after")], [503, "10"]);
        return true;
      });
    };
    await refused("3.9.1");
    await refused("3.9.1");
    await refused("none");
    const [line, ...more] = stage.log.find("data plane gets no config");
    assert.match(`${line?.fields["reason"]}`, /no snapshot for Kong 3\.9\.1, only for 3\.4\.2/);
    assert.equal(more.length, 1);
    assert.equal(stage.counts.unserved, 3);
    assert.deepEqual(stage.versions, [V391, V391]);
  });

  it("is served at once where a snapshot for its version is found within 3 s", async () => {
    await using stage = await Stage.open({
      search: async (it) => {
        await it.clock.sleep(2_000, new AbortController().signal);
        await it.shelve("a");
      },
    });
    const plane = stage.newPlane();
    const connected = plane.connect();
    await stage.clock.untilSleeping(2_000);
    await stage.pass(2_000);
    await connected;
    await plane.configured();
  });

  it("is refused after 3 s where the search takes longer", async () => {
    const over = new AbortController();
    await using stage = await Stage.open({ search: (it) => it.clock.sleep(9_000, over.signal) });
    const connected = stage.newPlane().connect();
    connected.catch(() => {});
    await stage.clock.untilSleeping(3_000);
    await stage.pass(3_000);
    await assert.rejects(connected, HandshakeRefused);
    over.abort();
  });

  it("that lacks a configured plugin is told of in the log, sent nothing, and kept", async () => {
    await using stage = await Stage.open();
    const { frame, snapshot } = await recorded("3.9.1/rich.reconfigure.bin");
    await stage.put(snapshot, frame);
    const info = JSON.parse(traitsOf("3.9.1").basicInfo.toString());
    info.plugins = info.plugins.filter(({ name }: { name: string }) => name !== "key-auth");
    const plane = await stage.plane({ basicInfo: Buffer.from(JSON.stringify(info)) });
    const { reason, hint, nodeId } = await stage.said("data plane gets no config");
    assert.match(`${reason}`, /plugins that the data plane does not have: key-auth$/);
    assert.match(`${hint}`, /KONG_PLUGINS/);
    assert.equal(nodeId, plane.nodeId);
    await stage.pass(60_000);
    await stage.settled(plane);
    assert.deepEqual(plane.received, []);
    assert.equal(stage.log.find("data plane gets no config").length, 1);
    const { configHash } = await stage.shelve("without", { controlPlaneTimestamp: T0 + 600 });
    await plane.configured(configHash);
  });

  it("that takes no message as long as the config is told of in the log, sent nothing, and kept", async () => {
    await using stage = await Stage.open();
    const { frame, snapshot } = largeConfig("large", 5_000_000);
    await stage.put(snapshot, frame);
    const info = JSON.parse(traitsOf("3.9.1").basicInfo.toString());
    info.process_conf.cluster_max_payload = 4_194_304;
    const plane = await stage.plane({ basicInfo: Buffer.from(JSON.stringify(info)) });
    const { reason, hint } = await stage.said("data plane gets no config");
    assert.match(`${reason}`, new RegExp(`${frame.length} bytes .* takes 4194304$`));
    assert.match(`${hint}`, /KONG_CLUSTER_MAX_PAYLOAD/);
    await stage.settled(plane);
    assert.deepEqual(plane.received, []);
  });
});

describe("a data plane of a version without a snapshot", () => {
  it("is admitted while the control plane is there", async () => {
    await using stage = await Stage.open({ behind: {} });
    const plane = await stage.plane();
    await stage.upstreamOf(plane);
    assert.equal((await stage.sessionOf(plane)).state.kind, "connecting");
  });

  it("is sent away by a close frame without a code once that is lost, unless it runs a config", async () => {
    await using stage = await Stage.open({ behind: {} });
    const empty = await stage.plane();
    const configured = await stage.plane({ hash: snapshotOf("x").metadata.configHash ?? "" });
    for (const plane of [empty, configured]) await (await stage.upstreamOf(plane)).received(2);
    await stage.controlPlane.kill();
    assert.deepEqual(await empty.closed, { code: 1005, reason: undefined });
    await stage.said("data plane runs no config, and there is no snapshot for its version");
    await stage.settled(configured);
    await stage.until(() => stage.sidecar.planes.length === 1);
  });

  it("waits its turn for a long config, but not for slow readers for longer than 5 s", async () => {
    await using stage = await Stage.open();
    const { frame, snapshot, configHash } = largeConfig("large", 15_000_000);
    await stage.put(snapshot, frame);
    const behaviour = { stopsReading: true };
    const slow = await Promise.all(Array.from({ length: 16 }, () => stage.plane({ behaviour })));
    for (const plane of slow) await stage.sessionOf(plane);
    const plane = await stage.plane();
    await stage.settled(plane);
    await stage.pass(4_000);
    assert.equal(plane.received.length, 0);
    await stage.pass(2_000);
    await plane.configured(configHash);
    assert.ok(plane.received[0]?.frame.equals(frame));
    for (const reader of slow) reader.resume();
  });

  it("does not wait for anybody's turn for a short config", async () => {
    await using stage = await Stage.open();
    const { frame, snapshot } = largeConfig("large", 15_000_000);
    await stage.put(snapshot, frame);
    const behaviour = { stopsReading: true };
    const slow = await Promise.all(Array.from({ length: 16 }, () => stage.plane({ behaviour })));
    for (const plane of slow) await stage.sessionOf(plane);
    const { configHash } = await stage.shelve("small", { kongVersion: kongVersion("3.4.2") });
    const plane = await stage.plane({ version: "3.4.2" });
    await plane.configured(configHash);
    for (const reader of slow) reader.resume();
  });
});
