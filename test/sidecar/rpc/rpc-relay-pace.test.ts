import assert from "node:assert/strict";
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { Duplex } from "node:stream";
import { describe, it } from "vitest";
import { WebSocketServer } from "ws";
import { joinWebSockets, type Side } from "../../../src/sidecar/rpc/rpc.ts";
import { encodeMasked } from "../../fakes/data-plane-frames.ts";
import { ManualClock } from "../../fakes/manual-clock.ts";
import { BINARY, FrameReader, PING } from "../../fakes/websocket-frames.ts";
import { UPGRADE } from "../door/harness.ts";

/** One side whose writes are not done before the test says so. */
function heldSide() {
  const written: Buffer[] = [];
  const waiting: (() => void)[] = [];
  const socket = new Duplex({
    read() {},
    write(chunk: Buffer, _, done) {
      written.push(chunk);
      waiting.push(done);
    },
  });
  const sides: Side[] = [];
  const headers = Object.entries(UPGRADE).map(([name, value]) => [name.toLowerCase(), value]);
  const request = { method: "GET", headers: Object.fromEntries(headers) } as IncomingMessage;
  new WebSocketServer({ noServer: true, autoPong: false }).handleUpgrade(
    request,
    socket,
    Buffer.alloc(0),
    (webSocket) => {
      webSocket.pause();
      sides.push({ webSocket, socket });
    },
  );
  const [side] = sides;
  assert.ok(side);
  return {
    side,
    /** Payloads of the messages and pings it was given, as far as it took them. */
    payloads: () =>
      new FrameReader().read(Buffer.concat(written)).map(({ payload }) => payload.length),
    send: (opcode: number, bytes: number) => socket.push(encodeMasked(opcode, Buffer.alloc(bytes))),
    say: (bytes: Buffer) => socket.push(bytes),
    /** Takes everything, up to now. */
    async take(): Promise<void> {
      while (waiting.length > 0) {
        waiting.shift()?.();
        await new Promise(setImmediate);
      }
    },
    forget(): void {
      written.length = 0;
    },
  };
}

async function joined() {
  const clock = new ManualClock();
  const plane = heldSide();
  const controlPlane = heldSide();
  for (const side of [plane, controlPlane]) {
    // The answer to the upgrade.
    await side.take();
    side.forget();
  }
  const over = joinWebSockets(plane.side, controlPlane.side, clock);
  return {
    clock,
    plane,
    controlPlane,
    async [Symbol.asyncDispose](): Promise<void> {
      for (const { side } of [plane, controlPlane]) side.socket.destroy();
      await over;
      assert.equal(clock.sleepers, 0);
    },
  };
}

describe("one side of the relay", () => {
  for (const [from, to] of [
    ["plane", "controlPlane"],
    ["controlPlane", "plane"],
  ] as const) {
    for (const opcode of [BINARY, PING]) {
      const what = opcode === PING ? "pings" : "messages";
      it(`is given, if slow, the ${what} of the ${from} one at a time: the next is not even read`, async () => {
        await using pair = await joined();
        const { [from]: fast, [to]: slow, clock } = pair;
        fast.send(opcode, 100);
        await clock.advance(0);
        assert.equal(fast.side.webSocket.isPaused, true);
        for (const bytes of [101, 102]) fast.send(opcode, bytes);
        await clock.advance(0);
        assert.equal(fast.side.socket.readableLength, 2 * 6 + 101 + 102);
        assert.equal(slow.side.webSocket.isPaused, false);
        await slow.take();
        assert.deepEqual(slow.payloads(), [100, 101, 102]);
        assert.equal(fast.side.webSocket.isPaused, false);
      });
    }
  }

  it("may take minutes for a message: the control plane is not silent, but not read", async () => {
    await using pair = await joined();
    const { plane, controlPlane, clock } = pair;
    controlPlane.send(BINARY, 100);
    for (let halves = 0; halves < 9; halves += 1) {
      plane.send(PING, 0);
      await clock.advance(0);
      await controlPlane.take();
      await clock.advance(30_000);
    }
    assert.equal(controlPlane.side.webSocket.readyState, controlPlane.side.webSocket.OPEN);
    await plane.take();
    plane.send(PING, 0);
    await clock.advance(0);
    await controlPlane.take();
    await clock.advance(49_999);
    assert.equal(controlPlane.side.webSocket.readyState, controlPlane.side.webSocket.OPEN);
    plane.send(PING, 0);
    await clock.advance(1);
    assert.notEqual(controlPlane.side.webSocket.readyState, controlPlane.side.webSocket.OPEN);
  });

  it("may take minutes to say a message: any byte is a sign of life", async () => {
    await using pair = await joined();
    const { plane, controlPlane, clock } = pair;
    const message = encodeMasked(BINARY, Buffer.alloc(10));
    for (let i = 0; i < message.length; i += 1) {
      for (const side of [plane, controlPlane]) side.say(message.subarray(i, i + 1));
      await clock.advance(49_999);
    }
    for (const side of [plane, controlPlane]) await side.take();
    assert.deepEqual(plane.payloads(), [10]);
    assert.deepEqual(controlPlane.payloads(), [10]);
  });

  it("is not waited for once it has sent what is no frame", async () => {
    for (const side of ["plane", "controlPlane"] as const) {
      await using pair = await joined();
      const { socket } = pair[side].side;
      const closed = once(socket, "close");
      pair[side].say(Buffer.alloc(9, 255));
      await closed;
    }
  });
});
