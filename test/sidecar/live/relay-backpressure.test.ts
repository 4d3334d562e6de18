import assert from "node:assert/strict";
import { afterEach, describe, it, vi } from "vitest";
import { Slots } from "../../../src/core/waiting.ts";
import { BINARY, encodeFrame } from "../../fakes/websocket-frames.ts";
import { SMALL } from "../../source/harness.ts";
import { largeConfig, Stage } from "../stage.ts";

const STALLED = "data plane takes no data, connection dropped";

afterEach(() => {
  vi.restoreAllMocks();
});

/** Counts who holds a slot, over all slots. */
function watchSlots() {
  const counts = { held: 0, most: 0, taken: 0 };
  const { take } = Slots.prototype;
  vi.spyOn(Slots.prototype, "take").mockImplementation(async function (this: Slots, signal) {
    const giveBack = await take.call(this, signal);
    counts.held += 1;
    counts.taken += 1;
    counts.most = Math.max(counts.most, counts.held);
    let isHeld = true;
    return () => {
      if (isHeld) counts.held -= 1;
      isHeld = false;
      giveBack();
    };
  });
  return counts;
}

/** So many bytes that there are two slots. */
const TWO_SLOTS = { maxPayloadBytes: 128 * 2 ** 20 };

describe("a data plane that stops reading", () => {
  it("holds its control plane back: one message is taken, no more; after 15 s it is dropped", async () => {
    const counts = watchSlots();
    await using stage = await Stage.open({ behind: {} });
    const plane = await stage.plane({ behaviour: { stopsReading: true } });
    const other = await stage.plane();
    const upstream = await stage.upstreamOf(plane);
    const { frame } = largeConfig("large", 15_000_000);
    for (let n = 0; n < 4; n += 1) upstream.sendConfig(frame);
    await stage.until(() => stage.passed.length === 1);
    (await stage.upstreamOf(other)).sendConfig(SMALL);
    await other.configured();
    await stage.pass(5_000);
    assert.equal(stage.passed.filter(({ length }) => length === frame.length).length, 1);
    // What the control plane got rid of beyond that message lies in the kernel's buffers.
    assert.ok(upstream.unsentBytes > frame.length, `${upstream.unsentBytes} bytes left`);
    assert.equal(counts.held, 1);
    await stage.passUntil(() => stage.log.find(STALLED).length > 0);
    assert.equal((await stage.said(STALLED))["nodeId"], plane.nodeId);
    await upstream.ended();
    assert.equal(stage.passed.filter(({ length }) => length === frame.length).length, 1);
    await stage.until(() => counts.held === 0);
    assert.ok(other.isConnected);
    plane.resume();
  });

  it("is dropped while it is served from the snapshot, too", async () => {
    await using stage = await Stage.open();
    const { frame, snapshot } = largeConfig("large", 15_000_000);
    await stage.put(snapshot, frame);
    const plane = await stage.plane({ behaviour: { stopsReading: true } });
    await stage.sessionOf(plane);
    await stage.passUntil(() => stage.log.find(STALLED).length > 0);
    await stage.until(() => stage.sidecar.planes.length === 0);
    plane.resume();
  });
});

describe("with two slots for long messages", () => {
  it("ten data planes get 4 MB each, and two are on their way at most", async () => {
    const counts = watchSlots();
    const { frame, configHash } = largeConfig("large", 4_000_000);
    await using stage = await Stage.open({ behind: { config: frame }, ...TWO_SLOTS });
    const planes = await Promise.all(Array.from({ length: 10 }, () => stage.plane()));
    for (const plane of planes) {
      await plane.configured(configHash);
      assert.ok(plane.received[0]?.frame.equals(frame));
    }
    assert.deepEqual([counts.most, counts.taken], [2, 10]);
    await stage.until(() => counts.held === 0);
    // Pongs that stood behind the messages come through.
    for (const plane of planes) await stage.settled(plane);
  });

  it("two that stand still do not keep the others waiting for longer than 15 s", async () => {
    const counts = watchSlots();
    const { frame, configHash } = largeConfig("large", 15_000_000);
    await using stage = await Stage.open({ behind: {}, ...TWO_SLOTS });
    const still = [
      await stage.plane({ behaviour: { stopsReading: true } }),
      await stage.plane({ behaviour: { stopsReading: true } }),
    ];
    for (const plane of still) (await stage.upstreamOf(plane)).sendConfig(frame);
    await stage.until(() => stage.passed.length === 2);
    const others = await Promise.all(Array.from({ length: 3 }, () => stage.plane()));
    for (const plane of others) (await stage.upstreamOf(plane)).sendConfig(frame);
    await stage.until(() => stage.passed.length === 2);
    await stage.pass(5_000);
    assert.deepEqual([counts.held, counts.taken, stage.passed.length], [2, 2, 2]);
    await stage.passUntil(() => others.every(({ hash }) => hash === configHash));
    assert.equal(counts.most, 2);
    for (const plane of still) plane.resume();
  });

  it("one that breaks off in the middle is free for the next", async () => {
    const counts = watchSlots();
    const { frame, configHash } = largeConfig("large", 1_000_000);
    await using stage = await Stage.open({ behind: {}, ...TWO_SLOTS });
    const planes = [await stage.plane(), await stage.plane(), await stage.plane()];
    const [first, second, third] = await Promise.all(planes.map((it) => stage.upstreamOf(it)));
    for (const broken of [first, second]) {
      broken?.write(encodeFrame(BINARY, frame).subarray(0, 500_000));
    }
    await stage.until(() => counts.held === 2);
    third?.sendConfig(frame);
    for (const broken of [first, second]) broken?.drop();
    await planes[2]?.configured(configHash);
    await stage.until(() => counts.held === 0);
    assert.equal(stage.passed.length, 1);
  });

  it("one that waits for its turn has its pings answered, and is not taken to be without a config", async () => {
    let call = () => {};
    const turn = new Promise<() => void>((resolve) => {
      call = () => resolve(() => {});
    });
    vi.spyOn(Slots.prototype, "take").mockReturnValue(turn);
    const { frame, configHash } = largeConfig("large", 1_000_000);
    await using stage = await Stage.open({ behind: { config: frame } });
    const plane = await stage.plane();
    await stage.pass(100_000);
    assert.deepEqual(stage.passed, []);
    assert.ok(plane.isConnected);
    assert.ok(plane.pings.length === 4 && plane.pongs >= 4, `${plane.pongs} pongs`);
    assert.equal(stage.log.find("control plane sends no config").length, 0);
    call();
    await plane.configured(configHash);
    assert.ok(plane.received[0]?.frame.equals(frame));
  });
});
