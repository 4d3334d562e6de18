import assert from "node:assert/strict";
import { once } from "node:events";
import https from "node:https";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, it } from "vitest";
import { type WebSocket, WebSocketServer } from "ws";
import { capture, clusterTls, NODE_ID } from "../source/harness.ts";
import { FakeControlPlane } from "./control-plane.ts";
import { FakeDataPlane } from "./data-plane.ts";
import { HandshakeRefused } from "./data-plane-dial.ts";
import { FakeRpcDataPlane, type FakeRpcDataPlaneOptions } from "./data-plane-rpc.ts";
import { ManualClock } from "./manual-clock.ts";

const HELLO = capture("3.9.1/rpc-v2/00.data-plane-to-control-plane.bin");
const ANSWER = capture("3.9.1/rpc-v2/01.control-plane-to-data-plane.bin");
const WITHOUT_SYNC = JSON.stringify({
  jsonrpc: "2.0",
  id: 1,
  result: { rpc_capabilities: [], rpc_frame_encoding: "x-snappy-framed" },
});

/** A control plane's `/v2/outlet` that answers the first message and no other, and no ping. */
async function rpcControlPlane(
  answer: string | Buffer,
  subprotocol: string | false = "kong.meta.v1",
) {
  const server = https.createServer({ cert: clusterTls.cert, key: clusterTls.key.reveal() });
  const webSockets = new WebSocketServer({
    server,
    path: "/v2/outlet",
    perMessageDeflate: false,
    autoPong: false,
    handleProtocols: () => subprotocol,
  });
  const messages: Buffer[] = [];
  webSockets.on("connection", (webSocket: WebSocket) => {
    webSocket.on("message", (data: Buffer) => {
      if (messages.push(data) === 1) webSocket.send(answer, { binary: true });
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    address: { host: "127.0.0.1", port: (server.address() as AddressInfo).port },
    messages,
    get webSocket(): WebSocket {
      const [webSocket] = webSockets.clients;
      assert.ok(webSocket);
      return webSocket;
    },
    async [Symbol.asyncDispose](): Promise<void> {
      for (const webSocket of webSockets.clients) webSocket.terminate();
      server.close();
      await once(server, "close");
    },
  };
}

describe("the fake data plane's /v2/outlet", () => {
  let clock: ManualClock;

  beforeEach(() => {
    clock = new ManualClock();
  });
  afterEach(() => assert.equal(clock.sleepers, 0));

  function rpcPlane(
    controlPlane: { readonly address: FakeControlPlane["address"] },
    changes: Partial<FakeRpcDataPlaneOptions> = {},
  ): FakeRpcDataPlane {
    const common = { controlPlane: controlPlane.address, tls: clusterTls, clock };
    return new FakeRpcDataPlane({ ...common, ...changes });
  }

  it("says the recorded hello and takes the recorded answer", async () => {
    await using controlPlane = await rpcControlPlane(ANSWER);
    await using plane = rpcPlane(controlPlane);
    await plane.connect();
    assert.deepEqual(controlPlane.messages, [HELLO]);
    assert.deepEqual(plane.capabilities, ["kong.sync.v2"]);
    const delta = capture("3.9.1/rpc-v2/02.data-plane-to-control-plane.bin");
    const arrived = once(controlPlane.webSocket, "message");
    plane.sendMessage(delta);
    assert.deepEqual(await arrived, [delta, true]);
    const notice = capture("3.9.1/rpc-v2/06.control-plane-to-data-plane.bin");
    controlPlane.webSocket.send(notice);
    await plane.until(() => plane.received.length === 2);
    assert.deepEqual(
      plane.received.map(({ frame }) => frame),
      [ANSWER, notice],
    );
    assert.deepEqual(plane.violations, []);
  });

  it("says who it is where a test tells it", async () => {
    await using controlPlane = await rpcControlPlane(ANSWER);
    await using plane = rpcPlane(controlPlane, { nodeId: NODE_ID, version: "3.10.0" });
    await plane.connect();
    const { params, ...rest } = JSON.parse(String(controlPlane.messages[0]));
    const { params: recorded, ...recordedRest } = JSON.parse(HELLO.toString());
    const expected = { ...recorded[0], kong_node_id: NODE_ID, kong_version: "3.10.0" };
    assert.deepEqual(params, [expected]);
    assert.deepEqual(rest, recordedRest);
  });

  for (const [what, answer, error] of [
    ["capabilities that are no list", WITHOUT_SYNC.replace("[]", "{}"), /with no capabilities/],
    ["another encoding", WITHOUT_SYNC.replace("x-snappy-framed", "plain"), /no frame encoding/],
    ["another id", WITHOUT_SYNC.replace('"id":1', '"id":2'), /does not answer the hello/],
    [
      "an error",
      '{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"?"}}',
      /no frame encoding/,
    ],
    ["no JSON", "hello", /not valid JSON/],
  ] as const) {
    it(`hangs up on an answer with ${what}`, async () => {
      await using controlPlane = await rpcControlPlane(answer);
      await using plane = rpcPlane(controlPlane);
      await assert.rejects(plane.connect(), error);
      await plane.closed;
      assert.equal(plane.violations.length, 1);
      assert.equal(plane.capabilities, undefined);
    });
  }

  it("hangs up where the subprotocol is not chosen, and where no answer comes in 5 s", async () => {
    await using careless = await rpcControlPlane(ANSWER, false);
    await using first = rpcPlane(careless);
    await assert.rejects(first.connect(), /did not choose the subprotocol kong.meta.v1/);
    await using silent = await rpcControlPlane(ANSWER);
    silent.messages.push(Buffer.alloc(0));
    await using second = rpcPlane(silent);
    const refused = assert.rejects(second.connect(), /no answer within 5 s/);
    while (silent.messages.length < 2) await new Promise(setImmediate);
    await clock.advance(5_000);
    await refused;
    assert.deepEqual(second.violations, ["no answer within 5 s"]);
  });

  it("pings after 35 s without a frame, answers pings, and hangs up after 45 s", async () => {
    await using controlPlane = await rpcControlPlane(ANSWER);
    await using plane = rpcPlane(controlPlane);
    await plane.connect();
    await clock.advance(30_000);
    assert.equal(plane.pings, 0);
    const ping = once(controlPlane.webSocket, "ping");
    await clock.advance(5_000);
    assert.equal((await ping)[0].length, 0);
    controlPlane.webSocket.pong();
    await plane.until(() => plane.pongs === 1);
    await clock.advance(20_000);
    const pong = once(controlPlane.webSocket, "pong");
    controlPlane.webSocket.ping("x");
    assert.equal((await pong)[0].length, 0);
    await clock.advance(44_999);
    assert.equal(plane.isConnected, true);
    await clock.advance(1);
    assert.deepEqual(await plane.closed, { code: 1006, reason: "heard nothing for 45 s" });
  });

  it("breaks on a text", async () => {
    await using controlPlane = await rpcControlPlane(ANSWER);
    await using plane = rpcPlane(controlPlane);
    await plane.connect();
    controlPlane.webSocket.send("text");
    assert.equal((await plane.closed).reason, "a message that is not binary");
  });

  it("turns to /v1/outlet, once, where the hello is answered without kong.sync.v2", async () => {
    await using kong = await FakeControlPlane.listen({
      tls: clusterTls,
      config: capture("3.9.1/small.reconfigure.bin"),
    });
    await using controlPlane = await rpcControlPlane(WITHOUT_SYNC);
    const common = { controlPlane: kong.address, tls: clusterTls, clock };
    let starts = 0;
    class CountedDataPlane extends FakeDataPlane {
      override run(signal: AbortSignal): Promise<void> {
        starts += 1;
        return super.run(signal);
      }
    }
    await using fallsBackToV1 = new CountedDataPlane(common);
    await using plane = rpcPlane(controlPlane, { fallsBackToV1 });
    await plane.connect();
    await fallsBackToV1.configured();
    assert.deepEqual(plane.capabilities, []);
    controlPlane.messages.length = 0;
    plane.drop();
    await plane.closed;
    await plane.connect();
    assert.equal(starts, 1);
  });

  it("only tries again where there is no /v2/outlet", async () => {
    await using kong = await FakeControlPlane.listen({ tls: clusterTls });
    const common = { controlPlane: kong.address, tls: clusterTls, clock };
    await using fallsBackToV1 = new FakeDataPlane(common);
    await using plane = rpcPlane(kong, { fallsBackToV1 });
    const stop = new AbortController();
    const running = plane.run(stop.signal);
    for (const attempts of [1, 2]) {
      await plane.until(() => plane.failures.length === attempts);
      await clock.untilSleeping(5_000);
      await clock.advance(5_000);
    }
    const [first] = plane.failures;
    assert.ok(first instanceof HandshakeRefused && first.status === 404);
    stop.abort();
    await running;
    assert.equal(fallsBackToV1.connections, 0);
    assert.equal(kong.sessions.length, 0);
  });
});
