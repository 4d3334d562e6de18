import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { ReportedHash } from "../../../src/sidecar/plane/channel.ts";
import { type DeliverOptions, deliver } from "../../../src/sidecar/plane/feed.ts";
import { ManualClock } from "../../fakes/manual-clock.ts";
import { HASH, NO_HASH } from "../../source/harness.ts";

const OTHER = "0123456789abcdef0123456789abcdef";

function start(changes: Partial<DeliverOptions> = {}) {
  const clock = new ManualClock();
  const hash = new ReportedHash();
  const sentAtMs: number[] = [];
  const resends: number[] = [];
  const stop = new AbortController();
  hash.report(Buffer.from(NO_HASH));
  const options: DeliverOptions = {
    send: async () => void sentAtMs.push(clock.monotonicMs()),
    frameBytes: 1_000,
    expectedHash: HASH,
    hash,
    clock,
    onResend: (sends) => resends.push(sends),
    ...changes,
  };
  const took = deliver(options, stop.signal);
  took.catch(() => {});
  return { clock, hash: changes.hash ?? hash, sentAtMs, resends, stop, took };
}

describe("a delivery", () => {
  it("is over when the data plane reports the hash, and not on any other", async () => {
    const { clock, hash, sentAtMs, took } = start();
    await clock.advance(1_000);
    hash.report(Buffer.from(NO_HASH));
    hash.report(Buffer.from(OTHER));
    await clock.advance(1_000);
    assert.equal(clock.sleepers, 1);
    hash.report(Buffer.from(HASH));
    assert.equal(await took, true);
    assert.deepEqual(sentAtMs, [0]);
    assert.equal(clock.sleepers, 0);
  });

  it("without an expected hash is over on any other than before, but not on that of no config", async () => {
    const hash = new ReportedHash();
    hash.report(Buffer.from(OTHER));
    const { clock, took } = start({ expectedHash: undefined, hash });
    await clock.advance(1_000);
    hash.report(Buffer.from(OTHER));
    hash.report(Buffer.from(NO_HASH));
    await clock.advance(1_000);
    assert.equal(clock.sleepers, 1);
    hash.report(Buffer.from(HASH));
    assert.equal(await took, true);
  });

  it("is sent three times, with twice the patience each time, and then given up", async () => {
    const { clock, sentAtMs, resends, took } = start();
    await clock.advance(69_999);
    assert.deepEqual(sentAtMs, [0, 10_000, 30_000]);
    assert.deepEqual(resends, [2, 3]);
    await clock.advance(1);
    assert.equal(await took, false);
    assert.equal(clock.sleepers, 0);
  });

  it("counts its patience from when the frame has left", async () => {
    let left = () => {};
    const attempts: number[] = [];
    const send = (attempt: number) => {
      attempts.push(attempt);
      return new Promise<void>((resolve) => {
        left = resolve;
      });
    };
    const { clock } = start({ send, frameBytes: 2 * 2 ** 20 });
    await clock.advance(100_000);
    left();
    await clock.advance(29_999);
    assert.deepEqual(attempts, [1]);
    await clock.advance(1);
    assert.deepEqual(attempts, [1, 2]);
  });

  it("ends with the reason of its signal, and sends nothing more", async () => {
    const { clock, sentAtMs, stop, took } = start();
    await clock.advance(5_000);
    const reason = new Error("overtaken");
    stop.abort(reason);
    await assert.rejects(took, (error) => error === reason);
    await clock.advance(60_000);
    assert.deepEqual([sentAtMs, clock.sleepers], [[0], 0]);
  });

  it("fails as sending does", async () => {
    const failure = new Error("gone");
    const { took } = start({ send: () => Promise.reject(failure) });
    await assert.rejects(took, (error) => error === failure);
  });
});
