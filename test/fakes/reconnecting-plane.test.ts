import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "vitest";
import { capture, clusterTls, NO_HASH } from "../source/harness.ts";
import { FakeControlPlane } from "./control-plane.ts";
import { FakeDataPlane } from "./data-plane.ts";
import { HandshakeRefused } from "./data-plane-dial.ts";
import { ManualClock } from "./manual-clock.ts";
import { page } from "./upgrade-server.ts";

const SMALL = capture("3.9.1/small.reconfigure.bin");
const SMALL_HASH = "417a8260a3ad79c6b50bcedf9895cb3e";

describe("a fake data plane that keeps connected", () => {
  let clock: ManualClock;
  let stop: AbortController;

  beforeEach(() => {
    clock = new ManualClock();
    stop = new AbortController();
  });
  afterEach(() => assert.equal(clock.sleepers, 0));

  for (const [random, delayMs] of [
    [0, 5_000],
    [0.5, 8_000],
    [0.999, 10_000],
  ] as const) {
    it(`comes back ${delayMs / 1000} s after it lost the connection, with its config`, async () => {
      await using controlPlane = await FakeControlPlane.listen({ tls: clusterTls, config: SMALL });
      await using plane = new FakeDataPlane({
        controlPlane: controlPlane.address,
        tls: clusterTls,
        clock,
        random: () => random,
      });
      const running = plane.run(stop.signal);
      await plane.configured();
      (await controlPlane.session()).drop();
      await plane.closed;
      await clock.untilSleeping(delayMs);
      await clock.advance(delayMs - 1);
      assert.equal(plane.connections, 1);
      await clock.advance(1);
      const again = await controlPlane.session(2);
      await again.received(3);
      assert.deepEqual(again.pings, [SMALL_HASH, SMALL_HASH]);
      assert.equal(plane.pings[0], NO_HASH);
      assert.deepEqual(plane.applied, [SMALL_HASH]);
      stop.abort();
      await running;
      await again.ended();
    });
  }

  it("keeps trying while it is refused", async () => {
    await using controlPlane = await FakeControlPlane.listen({
      tls: clusterTls,
      answer: page(503),
    });
    const { address } = controlPlane;
    await using plane = new FakeDataPlane({ controlPlane: address, tls: clusterTls, clock });
    const running = plane.run(stop.signal);
    for (const attempts of [1, 2, 3]) {
      await plane.until(() => plane.failures.length === attempts);
      await clock.untilSleeping(5_000);
      await clock.advance(5_000);
    }
    assert.ok(plane.failures.every((error) => error instanceof HandshakeRefused));
    assert.equal(plane.connections, 0);
    stop.abort();
    await running;
  });

  it("stops when it is disposed of, also in the middle of a handshake", async () => {
    await using controlPlane = await FakeControlPlane.listen({ tls: clusterTls, hangs: true });
    const { address } = controlPlane;
    const plane = new FakeDataPlane({ controlPlane: address, tls: clusterTls, clock });
    const asked = controlPlane.asked();
    const running = plane.run(stop.signal);
    await asked;
    await plane[Symbol.asyncDispose]();
    await plane[Symbol.asyncDispose]();
    await running;
    assert.deepEqual(plane.failures, []);
    await controlPlane.deserted();
  });
});
