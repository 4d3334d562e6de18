import assert from "node:assert/strict";
import { once } from "node:events";
import https from "node:https";
import type { AddressInfo } from "node:net";
import { setImmediate } from "node:timers/promises";
import { describe, it } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { PacedStream, StalledReader } from "../../../src/sidecar/door/paced-stream.ts";
import { ManualClock } from "../../fakes/manual-clock.ts";
import { clusterTls } from "../../source/harness.ts";
import { bytes, closed } from "./paced-stage.ts";

const STALL_MS = 15_000;
const LONG = 16 * 2 ** 20;

/** A WebSocket on a paced stream, and a client of it. */
async function open() {
  const { cert, key } = clusterTls;
  const clock = new ManualClock();
  const server = https.createServer({ cert, key: key.reveal() });
  const webSockets = new WebSocketServer({ noServer: true, perMessageDeflate: false });
  const accepted = new Promise<{ webSocket: WebSocket; stream: PacedStream }>((resolve) => {
    server.on("upgrade", (request, socket, head) => {
      const stream = new PacedStream(socket, { clock, stallMs: STALL_MS });
      webSockets.handleUpgrade(request, stream, head, (webSocket) => {
        resolve({ webSocket, stream });
      });
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const client = new WebSocket(`wss://127.0.0.1:${port}`, {
    rejectUnauthorized: false,
    perMessageDeflate: false,
  });
  client.on("error", () => {});
  await once(client, "open");
  return {
    ...(await accepted),
    client,
    clock,
    async [Symbol.asyncDispose](): Promise<void> {
      client.terminate();
      webSockets.close();
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

/** Resolves to why it was not sent, undefined if it was. */
function sent(webSocket: WebSocket, data: Uint8Array): Promise<Error | undefined> {
  return new Promise((resolve) => webSocket.send(data, (error) => resolve(error ?? undefined)));
}

describe("a WebSocket on a paced stream", () => {
  it("sends a long message whole, with pings and pongs before and after", async () => {
    await using t = await open();
    const pings: string[] = [];
    const pongs: string[] = [];
    t.client.on("ping", (payload) => pings.push(payload.toString()));
    t.webSocket.on("pong", (payload) => pongs.push(payload.toString()));
    const received = once(t.client, "message");
    t.webSocket.ping("before");
    const done = sent(t.webSocket, bytes(LONG));
    t.webSocket.ping("after");
    t.client.ping("theirs");
    const answered = once(t.client, "pong");
    const [message] = await received;
    assert.ok(bytes(LONG).equals(message));
    assert.equal(await done, undefined);
    assert.equal(String((await answered)[0]), "theirs");
    while (pongs.length < 2) await once(t.webSocket, "pong");
    assert.deepEqual(
      [pings, pongs],
      [
        ["before", "after"],
        ["before", "after"],
      ],
    );
    await setImmediate();
    assert.equal(t.clock.sleepers, 0);
  });

  it("hears pings while it is sending", async () => {
    await using t = await open();
    t.client.pause();
    const done = sent(t.webSocket, bytes(LONG));
    const heard = once(t.webSocket, "ping");
    const answered = once(t.client, "pong");
    t.client.ping("32 bytes of hash");
    await heard;
    assert.ok(t.webSocket.bufferedAmount >= LONG);
    t.client.resume();
    assert.equal(await done, undefined);
    assert.equal(String((await answered)[0]), "32 bytes of hash");
  });

  it("shows in bufferedAmount what is outstanding", async () => {
    await using t = await open();
    t.client.pause();
    const done = [sent(t.webSocket, bytes(LONG)), sent(t.webSocket, bytes(1_000))];
    assert.ok(t.webSocket.bufferedAmount >= LONG + 1_000);
    const received = once(t.client, "message");
    t.client.resume();
    await received;
    await Promise.all(done);
    assert.equal(t.webSocket.bufferedAmount, 0);
  });

  it("is terminated in the middle of a message, and tells the sender", async () => {
    await using t = await open();
    t.client.pause();
    const done = [sent(t.webSocket, bytes(LONG)), sent(t.webSocket, bytes(1))];
    await t.clock.untilSleeping(STALL_MS);
    const ending = once(t.webSocket, "close");
    t.webSocket.terminate();
    assert.equal((await ending)[0], 1006);
    for (const error of await Promise.all(done)) assert.ok(error instanceof Error);
    const gone = once(t.client, "close");
    t.client.resume();
    assert.equal((await gone)[0], 1006);
    assert.equal(t.clock.sleepers, 0);
  });

  it("ends when the client is gone in the middle of a message", async () => {
    await using t = await open();
    t.client.pause();
    const done = sent(t.webSocket, bytes(LONG));
    await t.clock.untilSleeping(STALL_MS);
    const ending = once(t.webSocket, "close");
    t.client.terminate();
    assert.equal((await ending)[0], 1006);
    assert.ok((await done) instanceof Error);
    assert.equal(t.clock.sleepers, 0);
  });

  it("closes after what was sent, with the code", async () => {
    await using t = await open();
    const received = once(t.client, "message");
    const theirs = once(t.client, "close");
    const ours = once(t.webSocket, "close");
    t.webSocket.send(bytes(LONG));
    t.webSocket.close(1001, "going away");
    assert.ok(bytes(LONG).equals((await received)[0]));
    assert.equal((await theirs)[0], 1001);
    assert.equal((await ours)[0], 1001);
    assert.equal(await closed(t.stream), undefined);
  });

  it("is closed by the client, with the code", async () => {
    await using t = await open();
    const ours = once(t.webSocket, "close");
    t.client.close(1000, "bye");
    const [code, reason] = await ours;
    assert.deepEqual([code, String(reason)], [1000, "bye"]);
  });

  it("drops a client that takes nothing, and its stream says why", async () => {
    await using t = await open();
    t.client.pause();
    const done = sent(t.webSocket, bytes(LONG));
    const ending = once(t.webSocket, "close");
    await t.clock.untilSleeping(STALL_MS);
    while (!t.stream.destroyed) await t.clock.advance(STALL_MS);
    assert.equal((await ending)[0], 1006);
    assert.ok((await done) instanceof StalledReader);
    assert.ok(t.stream.errored instanceof StalledReader);
  });

  it("holds the client back while it is paused", async () => {
    await using t = await open();
    t.webSocket.pause();
    const messages: Buffer[] = [];
    t.webSocket.on("message", (data: Buffer) => messages.push(data));
    const received = sent(t.client, bytes(LONG));
    for (let turn = 0; turn < 200; turn += 1) await setImmediate();
    assert.equal(messages.length, 0);
    assert.ok(t.client.bufferedAmount > LONG / 4, `${t.client.bufferedAmount}`);
    const message = once(t.webSocket, "message");
    t.webSocket.resume();
    await message;
    assert.equal(await received, undefined);
    assert.ok(messages[0]?.equals(bytes(LONG)));
  });
});
