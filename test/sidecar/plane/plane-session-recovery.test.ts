import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { SMALL } from "../../source/harness.ts";
import { largeConfig, Stage } from "../stage.ts";

const BACK = "control plane is back, moving data planes";

describe("when the control plane is back", () => {
  it("data planes in fallback are moved over on their connection, with the hash they run", async () => {
    await using stage = await Stage.open({ remembers: false });
    const { configHash } = await stage.shelve("a");
    const planes = [await stage.plane(), await stage.plane(), await stage.plane()];
    for (const plane of planes) await plane.configured(configHash);
    await stage.revive({ config: SMALL });
    await stage.passUntil(() => stage.log.find(BACK).length > 0);
    await stage.passUntil(() => planes.every(({ received }) => received.length === 2));
    for (const plane of planes) {
      assert.deepEqual([plane.connections, plane.received[1]?.frame], [1, SMALL]);
      const upstream = await stage.upstreamOf(plane);
      assert.equal(upstream.pings[0], configHash);
      await stage.until(() => upstream.pings.at(-1) === plane.hash);
      assert.equal((await stage.sessionOf(plane)).state.kind, "live");
    }
    assert.equal(stage.sidecar.state.kind, "live");
  });

  it("the config of the one that tries first reaches the others from memory, before they are moved", async () => {
    await using stage = await Stage.open();
    await stage.shelve("a");
    const planes = [await stage.plane(), await stage.plane(), await stage.plane()];
    for (const plane of planes) await plane.configured();
    await stage.said("data plane configured from the snapshot", 3);
    await stage.revive({ config: SMALL });
    await stage.passUntil(() => stage.log.find("data plane is live").length > 0);
    // It is unpacked meanwhile, for which time must not run ahead.
    await stage.said("config of the control plane remembered");
    await stage.until(() => stage.counts.served === 5);
    for (const plane of planes) assert.deepEqual(plane.received[1]?.frame, SMALL);
    assert.equal(stage.log.find(BACK).length, 0);
    await stage.passUntil(() => stage.log.find(BACK).length > 0);
  });

  it("they are moved each at a moment of its own", async () => {
    let n = 0;
    await using stage = await Stage.open({ remembers: false, random: () => (n++ % 10) / 10 });
    await stage.shelve("a");
    const planes = await Promise.all(Array.from({ length: 10 }, () => stage.plane()));
    for (const plane of planes) await plane.configured();
    await stage.revive({ config: SMALL });
    const movedAt = new Set<number>();
    const moved = () => planes.filter(({ received }) => received.length === 2).length;
    for (let before = 0; before < 10; before = moved()) {
      await stage.passUntil(() => moved() > before);
      movedAt.add(stage.clock.monotonicMs());
    }
    assert.ok(movedAt.size >= 5, `${movedAt.size} moments`);
  });

  it("one without a config and without a snapshot for it does not wait", async () => {
    await using stage = await Stage.open();
    const plane = stage.newPlane();
    const stop = new AbortController();
    const running = plane.run(stop.signal);
    await plane.until(() => plane.failures.length === 1);
    await stage.revive({ config: SMALL });
    await stage.passUntil(() => plane.applied.length === 1);
    assert.equal(stage.sidecar.state.kind, "fallback");
    assert.equal(plane.connections, 1);
    assert.deepEqual(plane.received[0]?.frame, SMALL);
    stop.abort();
    await running;
  });

  it("but only hangs, a new data plane is served from the snapshot without trying it", async () => {
    await using stage = await Stage.open();
    const { configHash } = await stage.shelve("a");
    await stage.revive({ hangs: true });
    const plane = await stage.plane();
    await plane.configured(configHash);
    assert.equal(stage.clock.monotonicMs(), 0);
  });

  it("one in the middle of a long snapshot gets it to its end, intact, and then the live config", async () => {
    await using stage = await Stage.open();
    const { frame, snapshot, configHash } = largeConfig("large", 15_000_000);
    await stage.put(snapshot, frame);
    const plane = await stage.plane({ behaviour: { stopsReading: true } });
    const session = await stage.sessionOf(plane);
    await stage.until(() => session.hash !== undefined);
    await stage.revive({ config: SMALL });
    // It is the only one that waits: it is called to try first.
    await stage.clock.untilSleeping(5_000);
    await stage.pass(6_000);
    await stage.until(() => stage.passed.length === 1);
    assert.equal(session.state.kind, "live");
    plane.resume();
    await plane.until(() => plane.received.length === 2);
    assert.ok(plane.received[0]?.frame.equals(frame));
    assert.deepEqual(plane.received[1]?.frame, SMALL);
    assert.equal(plane.applied[0], configHash);
    assert.equal(plane.connections, 1);
    await stage.pass(60_000);
    await stage.settled(plane);
    assert.equal(plane.received.length, 2);
    assert.equal(stage.counts.resent, 0);
  });
});
