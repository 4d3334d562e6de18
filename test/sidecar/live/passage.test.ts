import assert from "node:assert/strict";
import { setImmediate } from "node:timers/promises";
import { describe, it } from "vitest";
import type { WebSocket } from "ws";
import { Passage } from "../../../src/sidecar/live/relay.ts";

type Done = (error?: Error) => void;

/** One that takes nothing until the test says so. */
class SlowSocket {
  readonly OPEN = 1;
  readyState = 1;
  isPaused = false;
  readonly sent: [string, unknown][] = [];
  readonly #waiting: Done[] = [];

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
  }

  send(data: Buffer, { binary }: { readonly binary: boolean }, done: Done): void {
    this.#take([binary ? "binary" : "text", data], done);
  }

  ping(data: Buffer, _: undefined, done: Done): void {
    this.#take(["ping", data], done);
  }

  pong(data: Buffer, _: undefined, done: Done): void {
    this.#take(["pong", data], done);
  }

  /** What was sent first has left, or failed to. */
  drain(error?: Error): void {
    this.#waiting.shift()?.(error);
  }

  #take(what: [string, unknown], done: Done): void {
    this.sent.push(what);
    this.#waiting.push(done);
  }
}

function setUp() {
  const from = new SlowSocket();
  const to = new SlowSocket();
  let idle = 0;
  const asSocket = (socket: SlowSocket) => socket as unknown as WebSocket;
  const passage = new Passage(asSocket(from), asSocket(to), {
    idle: () => {
      idle += 1;
    },
  });
  return { from, to, passage, idle: () => idle };
}

const A = Buffer.from("a");

describe("a passage", () => {
  it("reads nothing more until a message has left, and tells when it has", async () => {
    const { from, to, passage, idle } = setUp();
    let hasLeft = false;
    const left = passage.message(A, true).then(() => {
      hasLeft = true;
    });
    assert.deepEqual([from.isPaused, passage.isHeld, to.sent], [true, true, [["binary", A]]]);
    await setImmediate();
    assert.equal(hasLeft, false);
    to.drain();
    await left;
    assert.deepEqual([from.isPaused, passage.isHeld, idle()], [false, false, 1]);
  });

  it("waits for the last of several, and for whoever else holds it", async () => {
    const { from, to, passage, idle } = setUp();
    passage.hold();
    void passage.message(A, false);
    passage.ping(A);
    passage.pong(A);
    const kinds = to.sent.map(([kind]) => kind);
    assert.deepEqual(kinds, ["text", "ping", "pong"]);
    for (let n = 0; n < 3; n += 1) to.drain();
    assert.deepEqual([from.isPaused, idle()], [true, 0]);
    passage.release();
    assert.deepEqual([from.isPaused, idle()], [false, 1]);
  });

  it("goes on where a message could not be sent: the end of that side is told elsewhere", async () => {
    const { from, to, passage } = setUp();
    const left = passage.message(A, true);
    to.drain(new Error("gone"));
    await left;
    assert.equal(from.isPaused, false);
  });

  it("passes nothing to a side that is not open, and does not stop for it", async () => {
    const { from, to, passage } = setUp();
    to.readyState = 2;
    await passage.message(A, true);
    passage.ping(A);
    passage.pong(A);
    assert.deepEqual([to.sent, from.isPaused], [[], false]);
  });
});
