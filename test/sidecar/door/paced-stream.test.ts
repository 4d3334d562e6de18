import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import type { Duplex } from "node:stream";
import { setImmediate } from "node:timers/promises";
import { describe, it } from "vitest";
import { PacedStream, StalledReader } from "../../../src/sidecar/door/paced-stream.ts";
import { ManualClock } from "../../fakes/manual-clock.ts";
import { bytes, closed, memoryPair, readAll, tlsPair, written } from "./paced-stage.ts";

const PIECE = 65_536;
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
  describe(`a paced stream on ${kind}`, () => {
    it("carries writes of 1 byte to 20 MB in order and unchanged, made all at once", async () => {
      await using sockets = await pair();
      const { stream, clock } = pace(sockets.near);
      const lengths = [1, 20_000_000, 0, 2, PIECE, PIECE + 1, PIECE - 1, 3, 5 * MEBIBYTE, 1];
      const chunks = lengths.map((length, i) => bytes(length, i));
      const received = readAll(sockets.far);
      const all = chunks.map((chunk) => written(stream, chunk));
      stream.resume().end();
      await Promise.all(all);
      assert.ok((await received).equals(Buffer.concat(chunks)));
      assert.equal(await closed(stream), undefined);
      assert.equal(clock.sleepers, 0);
    });

    it("gives the socket one piece at a time", async () => {
      await using sockets = await pair();
      const pieces = watchPieces(sockets.near);
      const { stream } = pace(sockets.near);
      const received = readAll(sockets.far);
      const all = [bytes(4 * MEBIBYTE), bytes(10), bytes(MEBIBYTE)].map((c) => written(stream, c));
      assert.equal(stream.writableLength, 5 * MEBIBYTE + 10);
      stream.end();
      await Promise.all(all);
      await received;
      assert.equal(pieces.count, 64 + 1 + 16);
      assert.ok(pieces.mostWaiting > 0 && pieces.mostWaiting <= PIECE, `${pieces.mostWaiting}`);
    });

    it("takes corked writes", async () => {
      await using sockets = await pair();
      const { stream } = pace(sockets.near);
      stream.cork();
      const all = [bytes(10, 1), bytes(2 * PIECE, 2)].map((chunk) => written(stream, chunk));
      stream.uncork();
      const received = readAll(sockets.far);
      stream.end();
      await Promise.all(all);
      assert.ok((await received).equals(Buffer.concat([bytes(10, 1), bytes(2 * PIECE, 2)])));
    });

    it("drops a reader that stopped, with StalledReader, and tells every write", async () => {
      await using sockets = await pair();
      const { stream, clock } = pace(sockets.near);
      const ending = closed(stream);
      const all = Promise.allSettled(
        [bytes(20 * MEBIBYTE), bytes(1)].map((c) => written(stream, c)),
      );
      await clock.untilSleeping(STALL_MS);
      // Until the machine between the two has taken all it takes, there is still some progress.
      while (!stream.destroyed) await clock.advance(STALL_MS);
      const error = await ending;
      assert.ok(error instanceof StalledReader, String(error));
      assert.equal(error.message, "the other side took no data for 15 s");
      assert.deepEqual(
        (await all).map(({ status }) => status),
        ["rejected", "rejected"],
      );
      assert.ok(sockets.near.destroyed);
      await setImmediate();
      assert.equal(clock.sleepers, 0);
    });

    it("does not drop a slow reader that gets on", async () => {
      await using sockets = await pair();
      const { near, far } = sockets;
      const pieces = watchPieces(near);
      const { stream, clock } = pace(near);
      far.on("data", () => {});
      far.pause();
      const done = written(stream, bytes(12 * MEBIBYTE));
      for (;;) {
        await clock.advance(STALL_MS - 1);
        if (pieces.count === 192) break;
        const next = pieces.next();
        far.resume();
        await next;
        far.pause();
      }
      far.resume();
      await done;
      assert.ok(clock.monotonicMs() > 3 * STALL_MS);
    });
  });
}

/** Counts what is written to a socket, and how much of it waits there. */
function watchPieces(socket: Duplex) {
  const write = socket.write.bind(socket);
  const events = new EventEmitter();
  const pieces = {
    count: 0,
    mostWaiting: 0,
    async next(): Promise<void> {
      await once(events, "piece");
    },
  };
  socket.write = ((chunk: Uint8Array, done: () => void) => {
    const took = write(chunk, done);
    pieces.count += 1;
    pieces.mostWaiting = Math.max(pieces.mostWaiting, socket.writableLength);
    events.emit("piece");
    return took;
  }) as Duplex["write"];
  return pieces;
}
