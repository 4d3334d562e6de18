import assert from "node:assert/strict";
import { once } from "node:events";
import { Duplex } from "node:stream";
import { describe, it } from "vitest";
import type { RefusalStatus } from "../../../src/sidecar/door/admission.ts";
import { BINARY, encodeFrame } from "../../fakes/websocket-frames.ts";
import { NODE_ID } from "../../source/harness.ts";
import { answerTo, Door, firstAnswerTo, OUTLET, request } from "./harness.ts";

const RPC = { "Sec-WebSocket-Protocol": "kong.meta.v1" };
const NO_KEY = { "Sec-WebSocket-Key": undefined };
const PLAIN = { Upgrade: undefined, Connection: undefined };

describe("a request", () => {
  it.each([
    [404, "another path", request("/"), "unknown path"],
    [404, "another path, whatever its query", request(`/v1/outlets?${OUTLET}`), "unknown path"],
    [404, "wRPC", request("/v1/wrpc"), "unknown path"],
    [404, "the probe of a 3.0 data plane", request("/v1/wrpc", PLAIN, "HEAD"), "unknown path"],
    [404, "a browser", request("/", PLAIN), "unknown path"],
    [400, "no query", request("/v1/outlet"), "no node_id or no node_version"],
    [400, "no node_id", request("/v1/outlet?node_version=3.9.1"), "no node_id or no node_version"],
    [
      400,
      "an empty node_id",
      request("/v1/outlet?node_id=&node_version=3.9.1"),
      "no node_id or no node_version",
    ],
    [
      400,
      "no node_version",
      request(`/v1/outlet?node_id=${NODE_ID}`),
      "no node_id or no node_version",
    ],
    [
      400,
      "no node_id and no upgrade",
      request("/v1/outlet", PLAIN),
      "no node_id or no node_version",
    ],
    [444, "no upgrade", request(OUTLET, PLAIN), "no WebSocket upgrade"],
    [444, "no Connection", request(OUTLET, { Connection: undefined }), "no WebSocket upgrade"],
    [444, "another protocol", request(OUTLET, { Upgrade: "h2c" }), "no WebSocket upgrade"],
    [444, "no key", request(OUTLET, NO_KEY), "no WebSocket upgrade"],
    [444, "a damaged key", request(OUTLET, { "Sec-WebSocket-Key": "key" }), "no WebSocket upgrade"],
    [444, "version 8", request(OUTLET, { "Sec-WebSocket-Version": "8" }), "no WebSocket upgrade"],
    [
      444,
      "no version",
      request(OUTLET, { "Sec-WebSocket-Version": undefined }),
      "no WebSocket upgrade",
    ],
    [444, "POST", request(OUTLET, {}, "POST"), "no WebSocket upgrade"],
    [444, "HTTP/1.0", request().replace("HTTP/1.1", "HTTP/1.0"), "no WebSocket upgrade"],
    [444, "version 2 without its protocol", request("/v2/outlet"), "does not offer kong.meta.v1"],
    [
      444,
      "version 2 with another",
      request("/v2/outlet", { "Sec-WebSocket-Protocol": "kong.meta.v2" }),
      "does not offer kong.meta.v1",
    ],
    [
      444,
      "version 2 without key",
      request("/v2/outlet", { ...RPC, ...NO_KEY }),
      "no WebSocket upgrade",
    ],
  ] as const)("is answered %i to %s", async (status, _, text, reason) => {
    await using door = await Door.open();
    const answer = await answerTo(await door.tls(), text);
    if (status === 444) assert.equal(answer, "");
    else assert.match(answer, new RegExp(`^HTTP/1.1 ${status} `));
    assert.deepEqual(door.arrivals, []);
    assert.deepEqual(door.reasons, [reason]);
    assert.match(String(door.log.lines[0]?.fields["address"]), /^127\.0\.0\.1:\d+$/);
  });

  it.each([
    ["no hostname", `/v1/outlet?node_id=${NODE_ID}&node_version=3.9.1`, ["", "3.9.1"]],
    [
      "an odd version",
      `/v1/outlet?node_id=${NODE_ID}&node_hostname=dp&node_version=abc`,
      ["dp", "abc"],
    ],
    [
      "an Enterprise version",
      `/v1/outlet?node_version=3.4.3.5-enterprise-edition&node_id=${NODE_ID}`,
      ["", "3.4.3.5-enterprise-edition"],
    ],
  ] as const)("is let in with %s", async (_, target, [hostname, version]) => {
    await using door = await Door.open();
    const { arrival } = await door.knock(request(target));
    assert.deepEqual(arrival.introduction, { nodeId: NODE_ID, hostname, version });
    assert.equal(arrival.target, target);
  });

  it("is let in with a node id that is no UUID", async () => {
    await using door = await Door.open();
    const { arrival } = await door.knock(request("/v1/outlet?node_id=me&node_version=1"));
    assert.deepEqual(arrival.introduction, { nodeId: "me", hostname: "", version: "1" });
    assert.equal(arrival.path, "/v1/outlet");
    assert.equal(arrival.protocol, undefined);
    assert.deepEqual(door.log.lines, []);
  });

  it("is let in on version 2 without an introduction", async () => {
    await using door = await Door.open();
    const offer = "other,  kong.meta.v1";
    const { arrival } = await door.knock(
      request("/v2/outlet", { "Sec-WebSocket-Protocol": offer }),
    );
    assert.equal(arrival.path, "/v2/outlet");
    assert.equal(arrival.introduction, undefined);
    assert.equal(arrival.protocol, offer);
  });
});

describe("an arrival", () => {
  it.each([
    ["nothing on version 1", "/v1", {}, ""],
    [
      "back what version 1 sent, raw",
      "/v1",
      { "Sec-WebSocket-Protocol": "b, a,,a b" },
      "Sec-WebSocket-Protocol: b, a,,a b\r\n",
    ],
    [
      "kong.meta.v1 on version 2",
      "/v2",
      { "Sec-WebSocket-Protocol": "x, kong.meta.v1" },
      "Sec-WebSocket-Protocol: kong.meta.v1\r\n",
    ],
    ["no compression", "/v1", { "Sec-WebSocket-Extensions": "permessage-deflate" }, ""],
  ])("that is accepted gets %s in its 101", async (_, version, headers, protocol) => {
    await using door = await Door.open();
    const target = version === "/v1" ? OUTLET : "/v2/outlet";
    const { socket, arrival } = await door.knock(request(target, headers));
    assert.ok(arrival.accept());
    assert.equal(
      await firstAnswerTo(socket),
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
        `Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n${protocol}\r\n`,
    );
  });

  it("is read only once its WebSocket is resumed, from the first byte on", async () => {
    await using door = await Door.open();
    // Masked with zeros, in the same packet as the request.
    const frame = Buffer.from("8284000000004b4f4e47", "hex");
    const { arrival } = await door.knock(Buffer.concat([Buffer.from(request()), frame]));
    const { webSocket } = arrival.accept() ?? assert.fail();
    webSocket.on("message", () => messages.push("too early"));
    const messages: string[] = [];
    await door.enter();
    assert.deepEqual(messages, []);
    webSocket.removeAllListeners("message");
    const message = once(webSocket, "message");
    webSocket.resume();
    assert.equal(String((await message)[0]), "KONG");
  });

  it("may send no more than 1 MiB in a message, or what it is told", async () => {
    await using door = await Door.open();
    for (const [maxPayloadBytes, options] of [
      [1_048_576, {}],
      [9, { maxPayloadBytes: 9 }],
    ] as const) {
      const { socket, arrival } = await door.knock();
      const { webSocket } = arrival.accept(options) ?? assert.fail();
      webSocket.resume();
      const error = once(webSocket, "error");
      const frame = encodeFrame(BINARY, Buffer.alloc(maxPayloadBytes + 1));
      frame[1] = (frame[1] ?? 0) | 0x80;
      socket.write(frame);
      assert.equal(
        (await error.catch((thrown) => [thrown]))[0].code,
        "WS_ERR_UNSUPPORTED_MESSAGE_LENGTH",
      );
    }
  });

  it("is spoken to through what the socket is wrapped in", async () => {
    await using door = await Door.open();
    const { socket, arrival } = await door.knock();
    const written: string[] = [];
    const accepted = arrival.accept({
      wrap: (bare) =>
        new Duplex({
          read() {},
          write(chunk, _, done) {
            written.push(String(chunk));
            bare.write(chunk, done);
          },
        }),
    });
    assert.ok(accepted?.socket instanceof Duplex);
    assert.deepEqual(written, [await firstAnswerTo(socket)]);
  });

  it.each([
    [400, "Bad Request"],
    [404, "Not Found"],
    [503, "Service Unavailable"],
  ] as const)("that is refused gets %i and the headers given", async (status, text) => {
    await using door = await Door.open();
    const { socket, arrival } = await door.knock();
    arrival.refuse(status satisfies RefusalStatus, { "Retry-After": "10" });
    assert.equal(
      await answerTo(socket),
      `HTTP/1.1 ${status} ${text}\r\nRetry-After: 10\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`,
    );
    assert.equal(arrival.accept(), undefined);
  });

  it("that is dropped gets no answer", async () => {
    await using door = await Door.open();
    const { socket, arrival } = await door.knock();
    arrival.drop();
    arrival.refuse(503);
    assert.equal(await answerTo(socket), "");
    assert.ok(arrival.gone.aborted);
  });

  it("that was accepted cannot be refused or dropped any more", async () => {
    await using door = await Door.open();
    const { socket, arrival } = await door.knock();
    const { webSocket } = arrival.accept() ?? assert.fail();
    arrival.refuse(503);
    arrival.drop();
    await firstAnswerTo(socket);
    const frame = once(socket, "data");
    webSocket.send("still here");
    assert.equal(String((await frame)[0]).slice(2), "still here");
  });

  it("that has gone meanwhile cannot be accepted", async () => {
    await using door = await Door.open();
    const { socket, arrival } = await door.knock();
    const gone = once(arrival.gone, "abort");
    socket.destroy();
    await gone;
    assert.equal(arrival.accept({ wrap: () => assert.fail("wraps nothing") }), undefined);
    arrival.refuse(503);
  });
});
