import assert from "node:assert/strict";
import { once } from "node:events";
import type { Duplex } from "node:stream";
import { setImmediate } from "node:timers/promises";
import { describe, it } from "vitest";
import { PacedStream, StalledReader } from "../../../src/sidecar/door/paced-stream.ts";
import { ManualClock } from "../../fakes/manual-clock.ts";
import { bytes, closed, memoryPair, readAll, tlsPair, written } from "./paced-stage.ts";

const STALL_MS = 15_000;
const MEBIBYTE = 2 ** 20;

function pace(socket: Duplex) {
  const clock = new ManualClock();
  return { clock, stream: new PacedStream(socket, { clock, stallMs: STALL_MS }) };
}

for (const [kind, pair] of [
  ["TLS", tlsPair],
  ["memory", async () => memoryPair()],
] as const) {
  describe(`reading from a paced stream on ${kind}`, () => {
    it("gives what the socket gives, and then its end", async () => {
      await using sockets = await pair();
      const { stream } = pace(sockets.near);
      const sent = bytes(5 * MEBIBYTE);
      sockets.far.end(sent);
      sockets.far.resume();
      assert.ok((await readAll(stream)).equals(sent));
      assert.equal(stream.readableEnded, true);
      assert.equal(await closed(stream), undefined);
      assert.ok(sockets.near.destroyed);
    });

    it("holds the other side back while nobody reads", async () => {
      await using sockets = await pair();
      const { near, far } = sockets;
      const { stream } = pace(near);
      const chunks = Array.from({ length: 320 }, (_, i) => bytes(65_536, i));
      const done = Promise.all(chunks.map((chunk) => written(far, chunk)));
      await once(stream, "readable");
      stream.pause();
      for (let turn = 0; turn < 100; turn += 1) await setImmediate();
      const held = stream.readableLength + near.readableLength;
      assert.ok(held <= 4 * 65_536, `${held} bytes`);
      stream.removeAllListeners("readable");
      const received = readAll(stream);
      await done;
      far.resume().end();
      assert.ok((await received).equals(Buffer.concat(chunks)));
    });
  });

  describe(`the end of a paced stream on ${kind}`, () => {
    it("comes after what the other side had sent before it closed", async () => {
      await using sockets = await pair();
      const { stream } = pace(sockets.near);
      stream.end();
      sockets.far.end(bytes(1_000));
      sockets.far.resume();
      await once(stream, "readable");
      await closed(sockets.near);
      assert.ok((await readAll(stream)).equals(bytes(1_000)));
      assert.equal(stream.readableEnded, true);
    });

    it("comes after what was being written when the other side ended", async () => {
      await using sockets = await pair();
      const { stream } = pace(sockets.near);
      sockets.far.allowHalfOpen = true;
      const done = written(stream, bytes(20 * MEBIBYTE));
      sockets.far.end();
      stream.resume();
      await once(stream, "end");
      assert.equal(stream.writableFinished, false);
      assert.ok((await readAll(sockets.far)).equals(bytes(20 * MEBIBYTE)));
      await done;
      assert.equal(await closed(stream), undefined);
    });

    it("settles every write when it is destroyed in the middle of one", async () => {
      await using sockets = await pair();
      const { stream, clock } = pace(sockets.near);
      const all = Promise.allSettled([20 * MEBIBYTE, 1].map((n) => written(stream, bytes(n))));
      await clock.untilSleeping(STALL_MS);
      const reason = new Error("enough");
      stream.destroy(reason);
      assert.equal(await closed(stream), reason);
      for (const { status } of await all) assert.equal(status, "rejected");
      assert.ok(sockets.near.destroyed);
      await setImmediate();
      assert.equal(clock.sleepers, 0);
    });

    it("settles every write when the other side goes away in the middle of one", async () => {
      await using sockets = await pair();
      const { stream, clock } = pace(sockets.near);
      const all = Promise.allSettled([20 * MEBIBYTE, 1].map((n) => written(stream, bytes(n))));
      await clock.untilSleeping(STALL_MS);
      sockets.far.destroy();
      stream.resume();
      await closed(stream);
      for (const { status } of await all) assert.equal(status, "rejected");
      await setImmediate();
      assert.equal(clock.sleepers, 0);
    });

    it("settles every write when the socket is destroyed under it", async () => {
      await using sockets = await pair();
      const { stream, clock } = pace(sockets.near);
      const all = Promise.allSettled([20 * MEBIBYTE, 1].map((n) => written(stream, bytes(n))));
      await clock.untilSleeping(STALL_MS);
      const reason = new Error("the network went");
      sockets.near.destroy(reason);
      assert.equal(await closed(stream), reason);
      for (const { status } of await all) assert.equal(status, "rejected");
      // Nobody listens to it any more.
      sockets.near.emit("error", new Error("late"));
    });

    it("has come where the socket was destroyed before", async () => {
      await using sockets = await pair();
      const over = once(sockets.near, "close");
      sockets.near.destroy();
      await over;
      const { stream } = pace(sockets.near);
      assert.equal(await closed(stream), undefined);
      await assert.rejects(written(stream, bytes(1)), { code: "ERR_STREAM_DESTROYED" });
    });

    it("has come where the socket had ended before", async () => {
      await using sockets = await pair();
      const { near, far } = sockets;
      near.allowHalfOpen = true;
      far.end();
      near.resume();
      await once(near, "end");
      const { stream } = pace(near);
      far.resume();
      stream.resume();
      assert.equal(await closed(stream), undefined);
      assert.equal(stream.readableEnded, true);
    });
  });
}

describe("a paced stream whose reader stops", () => {
  it("is dropped when stallMs are over, and not before", async () => {
    const { near } = memoryPair();
    const { stream, clock } = pace(near);
    const ending = closed(stream);
    await clock.advance(5_000);
    stream.write(bytes(MEBIBYTE));
    await clock.advance(STALL_MS - 1);
    assert.equal(stream.destroyed, false);
    await clock.advance(1);
    assert.ok((await ending) instanceof StalledReader);
  });

  it("is dropped at its end, too", async () => {
    const { near } = memoryPair();
    const { stream, clock } = pace(near);
    const ending = closed(stream);
    stream.end(bytes(MEBIBYTE));
    await clock.untilSleeping(STALL_MS);
    await clock.advance(STALL_MS);
    assert.ok((await ending) instanceof StalledReader);
  });
});
