import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import type { Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { connect as connectTls } from "node:tls";
import { describe, it } from "vitest";
import type { Arrival } from "../../../src/sidecar/door/admission.ts";
import { clusterTls } from "../../source/harness.ts";
import { answerTo, Door, OUTLET, request } from "./harness.ts";

/** That the door still works for those it is meant for. */
async function assertOpen(door: Door): Promise<void> {
  const { arrival } = await door.knock();
  assert.ok(arrival.accept());
}

/** TLS over a connection that can also be written to past it. */
async function tlsOver(tcp: Socket) {
  const pair = { cert: clusterTls.cert, key: clusterTls.key.reveal(), ca: clusterTls.cert };
  const tls = connectTls({ socket: tcp, servername: "kong_clustering", ...pair });
  tls.on("error", () => {});
  await once(tls, "secureConnect");
  return tls;
}

describe("garbage", () => {
  it.each([
    ["plain HTTP", request(), "ERR_SSL_HTTP_REQUEST"],
    ["noise", Buffer.alloc(1000, 0xa5), "ERR_SSL_WRONG_VERSION_NUMBER"],
    [
      "a broken ClientHello",
      Buffer.from("160301000501000001ff", "hex"),
      "ERR_SSL_LENGTH_TOO_SHORT",
    ],
  ] as const)("instead of TLS, %s, ends that connection only", async (_, bytes, reason) => {
    await using door = await Door.open();
    assert.doesNotMatch(await answerTo(await door.tcp(), bytes), /HTTP/);
    assert.deepEqual(door.reasons, [reason]);
    await assertOpen(door);
  });

  it.each([
    ["before the request", ""],
    ["in the request", request().slice(0, 40)],
  ])("past TLS, %s, ends that connection only", async (_, begun) => {
    await using door = await Door.open();
    const tcp = await door.tcp();
    const tls = await tlsOver(tcp);
    tls.write(begun);
    tcp.write(Buffer.alloc(1000, 0xa5));
    await answerTo(tls);
    await assertOpen(door);
  });

  it("past TLS ends an open WebSocket, not the process", async () => {
    await using door = await Door.open();
    const tcp = await door.tcp();
    const tls = await tlsOver(tcp);
    const arrived = new Promise<Arrival>((resolve) => {
      door.onArrival = resolve;
    });
    tls.write(request());
    const { webSocket } = (await arrived).accept() ?? assert.fail();
    webSocket.resume();
    tcp.write(Buffer.alloc(1000, 0xa5));
    await new Promise((resolve) => webSocket.on("close", resolve));
  });

  it("as a frame ends its WebSocket, not the process", async () => {
    await using door = await Door.open();
    const { socket, accepted } = await door.enter();
    accepted.webSocket.resume();
    socket.write(Buffer.alloc(1000, 0xa5));
    await new Promise((resolve) => accepted.webSocket.on("close", resolve));
  });

  it.each([
    ["no HTTP", "hello\r\n\r\n", "HPE_INVALID_METHOD"],
    ["HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HPE_PAUSED_H2_UPGRADE"],
    ["endless headers", request(OUTLET, { Cookie: "x".repeat(20_000) }), "HPE_HEADER_OVERFLOW"],
    [
      "two lengths",
      request(OUTLET, { "Content-Length": "1\r\nContent-Length: 2" }),
      "HPE_UNEXPECTED_CONTENT_LENGTH",
    ],
  ])("instead of a request, %s, gets no answer", async (_, text, reason) => {
    await using door = await Door.open();
    assert.equal(await answerTo(await door.tls(), text), "");
    assert.deepEqual(door.reasons, [reason]);
    await assertOpen(door);
  });

  it("leaves one line in the log in 10 s, however much of it", async () => {
    await using door = await Door.open();
    for (let i = 0; i < 20; i += 1) await answerTo(await door.tcp(), request());
    assert.equal(door.log.find("warn").length, 1);
    await door.clock.advance(10_000);
    assert.deepEqual(door.log.find("warn")[1]?.fields, {
      reason: "ERR_SSL_HTTP_REQUEST",
      suppressed: 19,
    });
  });

  it("is not what a load balancer's probe leaves", async () => {
    await using door = await Door.open();
    await answerTo((await door.tcp()).end());
    await assertOpen(door);
    assert.deepEqual(
      door.log.lines.map(({ level, message }) => [level, message]),
      [["debug", "connection ended before its request"]],
    );
  });
});

describe("a slow client", () => {
  it("has so long for its TLS handshake, however it drips", async () => {
    await using door = await Door.open({ handshakeTimeoutMs: 200 });
    const socket = await door.tcp();
    const closed = answerTo(socket);
    const hello = Buffer.concat([Buffer.from("1603010200010001fc0303", "hex"), Buffer.alloc(501)]);
    const dripping = (async () => {
      for (const byte of hello) {
        if (socket.destroyed) return;
        socket.write(Buffer.of(byte));
        await delay(20);
      }
    })();
    assert.equal(await closed, "");
    await dripping;
    assert.deepEqual(door.reasons, ["ERR_TLS_HANDSHAKE_TIMEOUT"]);
  });

  it("has 5 s for its request after that, however it drips", async () => {
    await using door = await Door.open();
    const socket = await door.tls();
    const closed = answerTo(socket);
    await door.clock.untilSleeping(5_000);
    for (const character of request().slice(0, 40)) {
      socket.write(character);
      await door.clock.advance(124);
    }
    assert.ok(!socket.destroyed);
    await door.clock.advance(40);
    assert.equal(await closed, "");
    assert.deepEqual(door.reasons, ["no request within 5 s"]);
  });

  it("has no more than one request that is refused", async () => {
    await using door = await Door.open();
    const socket = await door.tls();
    const answer = await answerTo(socket, request("/a", { Connection: "keep-alive" }) + request());
    assert.equal(answer.match(/HTTP\/1\.1/g)?.length, 1);
    assert.match(answer, /^HTTP\/1\.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n/);
    assert.deepEqual(door.arrivals, []);
  });
});

describe("a client that closes its half", () => {
  it.each([
    ["before TLS", (door: Door) => door.tcp()],
    ["before its request", (door: Door) => door.tls()],
    [
      "in its request",
      async (door: Door) => {
        const socket = await door.tls();
        socket.write(request().slice(0, 40));
        return socket;
      },
    ],
    ["before the decision", async (door: Door) => (await door.knock()).socket],
  ] as const)("%s is let go", async (_, connect) => {
    await using door = await Door.open();
    const socket = await connect(door);
    socket.allowHalfOpen = true;
    const ended = answerTo(socket);
    socket.end();
    assert.equal(await ended, "");
    await assertOpen(door);
  });
});

describe("many clients", () => {
  it("beyond the limit of connections are dropped, with one line in the log a minute", async () => {
    await using door = await Door.open({ limits: { maxConnections: 2, handshakesPerSecond: 9 } });
    const kept = [await door.tcp(), await door.tls()];
    for (let i = 0; i < 3; i += 1) assert.equal(await answerTo(await door.tcp()), "");
    const reason = "there are 2 connections already";
    assert.deepEqual(door.reasons, [reason]);
    await door.clock.advance(60_000);
    assert.deepEqual(door.log.find("warn").at(-1)?.fields, { reason, suppressed: 2 });
    await Promise.all(kept.map((socket) => answerTo(socket.end())));
    await assertOpen(door);
  });

  it("begin no more TLS handshakes in a second than they may; the next wait, or are dropped", async () => {
    await using door = await Door.open({ limits: { maxConnections: 99, handshakesPerSecond: 2 } });
    await Promise.all([door.tls(), door.tls()]);
    const secured = new EventEmitter();
    let passed = 0;
    const waiting = Array.from({ length: 8 }, async () => {
      await door.tls();
      passed += 1;
      secured.emit("one");
    });
    await door.clock.untilSleeping(500);
    await assert.rejects(door.tls(), /disconnected before secure TLS|ECONNRESET/);
    assert.deepEqual(door.reasons, ["too many wait for their TLS handshake"]);
    for (let turn = 1; turn <= 8; turn += 1) {
      assert.equal(passed, turn - 1);
      const one = once(secured, "one");
      await door.clock.advance(500);
      await one;
    }
    await Promise.all(waiting);
  });

  it("at once, a thousand of them silent, do not keep others out once they are gone", async () => {
    const limits = { maxConnections: 300, handshakesPerSecond: 1_000 };
    await using door = await Door.open({ limits });
    let dropped = 0;
    const enough = new EventEmitter();
    const connect = async () => {
      const socket = await door.tcp();
      return socket.resume().on("close", () => {
        dropped += 1;
        if (dropped === 700) enough.emit("dropped");
      });
    };
    const full = once(enough, "dropped");
    const silent = await Promise.all(Array.from({ length: 1000 }, connect));
    await full;
    assert.equal(silent.filter((socket) => !socket.destroyed).length, 300);
    assert.equal(door.log.find("warn").length, 1);
    await Promise.all(silent.map((socket) => answerTo(socket.end())));
    await assertOpen(door);
  });

  it("at once, three hundred of them data planes, are all let in", async () => {
    const limits = { maxConnections: 300, handshakesPerSecond: 300 };
    await using door = await Door.open({ limits });
    door.onArrival = (arrival) => arrival.accept();
    const answers = Array.from({ length: 300 }, async () => {
      const socket = await door.tls();
      socket.write(request());
      return String((await once(socket, "data"))[0]);
    });
    for (const answer of await Promise.all(answers)) assert.match(answer, /^HTTP\/1\.1 101 /);
    assert.deepEqual(door.log.lines, []);
  });
});
