import assert from "node:assert/strict";
import { once } from "node:events";
import { describe, it } from "vitest";
import { type DialedConnection, SourceError } from "../../../src/source/port.ts";
import { unreachable } from "../../fakes/scripted-dialer.ts";
import { seededRandom } from "../../fakes/seeded-random.ts";
import { failureOf, TIMING, UpstreamStage, type Waiter } from "./upstream-stage.ts";

const withheld = () => new SourceError("SOURCE_WITHHELD", "no config came");
const givesNobody = async () => false;

/** Lets it be the turn of everybody who waits, which must not take longer than this. */
async function turns(waiters: readonly Waiter[]): Promise<readonly number[]> {
  await Promise.all(waiters.map(({ turn }) => turn));
  return waiters.map(({ atMs = Number.NaN }) => atMs);
}

describe("a lost control plane", () => {
  it("is asked every 5 to 10 s while no data plane waits", async () => {
    const stage = await UpstreamStage.lost({ random: seededRandom(1) });
    const { length } = stage.probesAtMs;
    await stage.clock.advance(300_000);
    const probes = stage.probesAtMs.slice(length);
    const gaps = probes.map((atMs, i) => atMs - (probes[i - 1] ?? 0));
    assert.ok(gaps.length >= 30);
    for (const gap of gaps) assert.ok(gap >= 5_000 && gap <= 10_000, `${gap} ms`);
    assert.ok(new Set(gaps).size > 20, "the gaps are random");
  });

  it("says how it failed last, and is still lost since the first time", async () => {
    const stage = await UpstreamStage.lost();
    const { since } = stage.upstream.state;
    const error = new SourceError("SOURCE_TLS", "its certificate has expired");
    stage.dialer.meets = error;
    await stage.clock.advance(5_000);
    assert.deepEqual(stage.upstream.state, { kind: "fallback", since, error });
    assert.equal(stage.log.find("warn").length, 1);
    assert.deepEqual(stage.kinds, ["connecting", "live", "fallback"]);
  });

  it("is back after it answered probes for recoveryMs", async () => {
    const stage = await UpstreamStage.lost();
    stage.dialer.up();
    await stage.clock.advance(5_000);
    assert.equal(stage.upstream.isAnswering, true);
    await stage.clock.advance(TIMING.recoveryMs - 1);
    assert.equal(stage.upstream.state.kind, "fallback");
    await stage.clock.advance(1);
    assert.equal(stage.upstream.state.kind, "live");
    assert.deepEqual(stage.log.find("info")[0]?.fields, { dataPlanes: 0, withinMs: 60_000 });
  });

  it("begins the hold anew when a probe fails", async () => {
    const stage = await UpstreamStage.lost();
    stage.dialer.up();
    await stage.clock.advance(25_000);
    await stage.dialer.down();
    await stage.clock.advance(5_000);
    assert.equal(stage.upstream.isAnswering, false);
    stage.dialer.up();
    await stage.clock.advance(5_000 + TIMING.recoveryMs - 1);
    assert.equal(stage.upstream.state.kind, "fallback");
    await stage.clock.advance(1);
    assert.equal(stage.upstream.state.kind, "live");
  });

  it("begins the hold anew when a data plane cannot connect, and no other is connected", async () => {
    const stage = await UpstreamStage.lost();
    stage.dialer.up();
    await stage.clock.advance(10_000);
    assert.equal(stage.upstream.isAnswering, true);
    stage.dialer.meets = unreachable();
    await failureOf(stage.dial());
    assert.equal(stage.upstream.isAnswering, false);
  });

  it("begins the hold anew when its only connection closes, not when one of two does", async () => {
    const stage = await UpstreamStage.lost();
    stage.dialer.up();
    const first = await stage.dial();
    await stage.clock.advance(15_000);
    const second = await stage.dial();
    await close(first);
    await stage.clock.advance(10_000);
    assert.equal(stage.upstream.isAnswering, true);
    await close(second);
    assert.equal(stage.upstream.isAnswering, false);
    await stage.clock.advance(5_000 + TIMING.recoveryMs - 1);
    assert.equal(stage.upstream.state.kind, "fallback");
    await stage.clock.advance(1);
    assert.equal(stage.upstream.state.kind, "live");
  });

  it("is not asked in the hold while a connection is up, nor judged by a data plane it refuses", async () => {
    const stage = await UpstreamStage.lost();
    stage.dialer.up();
    await stage.dial();
    const probes = stage.probesAtMs.length;
    await stage.clock.advance(20_000);
    stage.dialer.meets = new SourceError("SOURCE_REFUSED", "HTTP 400");
    stage.upstream.lost(await failureOf(stage.dial()));
    await stage.clock.advance(10_000);
    assert.equal(stage.upstream.state.kind, "live");
    assert.equal(stage.probesAtMs.length, probes);
  });

  it("that withheld the config is back only once it has delivered one", async () => {
    const stage = await UpstreamStage.live();
    const first = await stage.dial();
    await stage.upstream.withheld(withheld(), givesNobody);
    await close(first);
    await stage.clock.advance(600_000);
    assert.deepEqual(stage.probesAtMs, [0], "a probe would show nothing");
    const connection = await stage.dial();
    assert.equal(stage.upstream.isAnswering, false);
    await stage.upstream.withheld(withheld(), givesNobody);
    stage.upstream.delivered(connection);
    assert.equal(stage.upstream.isAnswering, true);
    await stage.clock.advance(TIMING.recoveryMs);
    assert.equal(stage.upstream.state.kind, "live");
  });

  it("begins the hold anew when it withholds the config in it", async () => {
    const stage = await UpstreamStage.lost();
    stage.dialer.up();
    await stage.dial();
    assert.equal(stage.upstream.isAnswering, true);
    await stage.upstream.withheld(withheld(), givesNobody);
    assert.equal(stage.upstream.isAnswering, false);
    await stage.clock.advance(600_000);
    assert.equal(stage.upstream.state.kind, "fallback");
  });
});

describe("data planes that wait for a lost control plane", () => {
  it("try it one after another, the longest waiting first, every 5 to 10 s, in place of probes", async () => {
    const stage = await UpstreamStage.lost({ random: seededRandom(2) });
    const waiters = Array.from({ length: 20 }, () => stage.wait());
    await stage.clock.advance(200_000);
    const moments = await turns(waiters);
    const gaps = moments.map((atMs, i) => atMs - (moments[i - 1] ?? 0));
    for (const gap of gaps) assert.ok(gap >= 5_000 && gap <= 10_000, `${gap} ms`);
    const probes = stage.probesAtMs.filter((atMs) => atMs > 0 && atMs < (moments.at(-1) ?? 0));
    assert.deepEqual(probes, []);
  });

  it("try it no more often where it drops each of them", async () => {
    const stage = await UpstreamStage.lost({ random: seededRandom(3) });
    stage.dialer.up();
    const waiters = Array.from({ length: 10 }, () => stage.wait());
    for (const { turn } of waiters) void turn.then(() => stage.dial()).then(close);
    await stage.clock.advance(100_000);
    const moments = await turns(waiters);
    for (const [i, atMs] of moments.entries()) {
      const gap = atMs - (moments[i - 1] ?? 0);
      assert.ok(gap >= 5_000 && gap <= 10_000, `${gap} ms`);
    }
    assert.equal(stage.upstream.state.kind, "fallback");
  });

  it("wait for the hold to end once the first came through", async () => {
    const stage = await UpstreamStage.lost();
    const [first, ...others] = Array.from({ length: 5 }, () => stage.wait());
    stage.dialer.up();
    void first?.turn.then(() => stage.dial());
    await stage.clock.advance(5_000 + TIMING.recoveryMs - 1);
    assert.equal(first?.atMs, 5_000);
    assert.ok(others.every(({ atMs }) => atMs === undefined));
    await stage.clock.advance(1);
    assert.deepEqual(await turns(others), [35_000, 35_000, 35_000, 35_000]);
  });

  it("are released each at its own moment within releaseMs: a thousand, evenly", async () => {
    const stage = await UpstreamStage.lost({ random: seededRandom(4) });
    const waiters = Array.from({ length: 1_000 }, () => stage.wait());
    stage.dialer.up();
    await stage.dial();
    await stage.clock.advance(TIMING.recoveryMs);
    assert.deepEqual(stage.states.at(-1), { kind: "live", atMs: 30_000 });
    assert.deepEqual(stage.log.find("info")[0]?.fields, { dataPlanes: 1_000, withinMs: 60_000 });
    await stage.clock.advance(TIMING.releaseMs);
    const afterMs = (await turns(waiters)).map((atMs) => atMs - 30_000);
    assert.ok(afterMs.every((ms) => ms >= 0 && ms < TIMING.releaseMs));
    const perSixSeconds = Array.from(
      { length: 10 },
      (_, i) => afterMs.filter((ms) => Math.floor(ms / 6_000) === i).length,
    );
    // 100 each on average, and 9.5 of deviation.
    for (const count of perSixSeconds) assert.ok(count > 60 && count < 140, `${perSixSeconds}`);
  });

  it("stay where they are when it is lost again during the release", async () => {
    const stage = await UpstreamStage.lost({ random: seededRandom(5) });
    const waiters = Array.from({ length: 100 }, () => stage.wait());
    stage.dialer.up();
    const connection = await stage.dial();
    await stage.clock.advance(TIMING.recoveryMs + 20_000);
    const released = waiters.filter(({ atMs }) => atMs !== undefined).length;
    assert.ok(released > 15 && released < 55, `${released}`);
    await close(connection);
    await stage.fall();
    await stage.clock.advance(TIMING.releaseMs);
    const tried = waiters.filter(({ atMs }) => atMs !== undefined).length - released;
    assert.ok(tried <= 12, `${tried} in a minute, one at a time`);
    stage.dialer.up();
    await stage.dial();
    await stage.clock.advance(2 * TIMING.recoveryMs + TIMING.releaseMs);
    await turns(waiters);
  });

  it("are not all taken for the first one when it is lost again as they are called", async () => {
    const stage = await UpstreamStage.lost();
    const waiters = Array.from({ length: 100 }, () => stage.wait());
    stage.dialer.up();
    const { info } = stage.log;
    stage.log.info = (fields, message) => {
      info.call(stage.log, fields, message);
      queueMicrotask(() => void stage.upstream.withheld(withheld(), givesNobody));
    };
    await stage.dial();
    await stage.clock.advance(TIMING.recoveryMs);
    assert.deepEqual(stage.kinds.slice(-2), ["live", "fallback"]);
    assert.equal(waiters.filter(({ atMs }) => atMs !== undefined).length, 0);
  });

  it("wait their turn though it was still live when they began to wait", async () => {
    const stage = await UpstreamStage.live();
    const waiters = Array.from({ length: 100 }, () => stage.wait());
    await stage.fall();
    await stage.clock.advance(6_000);
    assert.ok(waiters.filter(({ atMs }) => atMs !== undefined).length <= 1);
  });
});

async function close({ webSocket }: DialedConnection): Promise<void> {
  webSocket.terminate();
  await once(webSocket, "close");
}
