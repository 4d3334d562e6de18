import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "vitest";
import { StepTimeout } from "../../src/source/connect.ts";
import { capture, clusterTls } from "../source/harness.ts";
import { clusterCertificate, sharedTls } from "./certificates.ts";
import { FakeControlPlane, type FakeControlPlaneOptions } from "./control-plane.ts";
import { FakeDataPlane, type FakeDataPlaneOptions } from "./data-plane.ts";
import { HandshakeRefused } from "./data-plane-dial.ts";
import { ManualClock } from "./manual-clock.ts";
import { page } from "./upgrade-server.ts";
import { BINARY, encodeFrame, PING, PONG, TEXT } from "./websocket-frames.ts";

const SMALL = capture("3.9.1/small.reconfigure.bin");

describe("the fake data plane's connection", () => {
  let clock: ManualClock;
  let opened: AsyncDisposable[];

  beforeEach(() => {
    clock = new ManualClock();
    opened = [];
  });
  afterEach(async () => {
    for (const resource of opened.reverse()) await resource[Symbol.asyncDispose]();
    assert.equal(clock.sleepers, 0);
  });

  /** A data plane not yet connected, and a control plane for it. */
  async function pair(
    changes: Partial<FakeDataPlaneOptions> = {},
    options: Partial<FakeControlPlaneOptions> = {},
  ) {
    const controlPlane = await FakeControlPlane.listen({ tls: clusterTls, ...options });
    const common = { controlPlane: controlPlane.address, tls: clusterTls, clock };
    const plane = new FakeDataPlane({ ...common, ...changes });
    opened.push(controlPlane, plane);
    return { controlPlane, plane };
  }

  /** In a session, with the control plane's side of it. */
  async function connected(changes: Partial<FakeDataPlaneOptions> = {}) {
    const { controlPlane, plane } = await pair(changes);
    await plane.connect();
    const session = await controlPlane.session();
    await session.received(2);
    await plane.until(() => plane.pongs === 1);
    return { plane, session };
  }

  const MASKED = Buffer.from([0x82, 0x81, 1, 2, 3, 4, 5]);
  const COMPRESSED = Buffer.from([0xc2, 0x01, 0x00]);
  for (const [what, bytes, why] of [
    ["a fragmented message", encodeFrame(BINARY, SMALL, false), /^a fragmented message$/],
    ["a message above cluster_max_payload", encodeFrame(BINARY, Buffer.alloc(1_001)), /1001 bytes/],
    ["a masked frame", MASKED, /^a masked frame$/],
    ["a frame of an extension", COMPRESSED, /RSV bits/],
    [
      "a message that is not compressed",
      encodeFrame(BINARY, Buffer.from("{}")),
      /incorrect header/,
    ],
    ["a truncated message", encodeFrame(BINARY, SMALL.subarray(0, 99)), /unexpected end/],
  ] as const) {
    it(`breaks on ${what}`, async () => {
      const { plane, session } = await connected({ maxPayloadBytes: 1_000 });
      session.write(bytes);
      const { code, reason } = await plane.closed;
      await session.ended();
      assert.equal(code, 1006);
      assert.notEqual(reason, undefined);
      assert.equal(plane.violations.length, 1);
      assert.match(plane.violations[0] ?? "", why);
      assert.deepEqual(plane.applied, []);
    });
  }

  it("takes no notice of texts and pings, and answers none, but records them", async () => {
    const { plane, session } = await connected();
    session.send(TEXT, Buffer.from("hello"));
    session.send(PING, Buffer.alloc(0));
    session.sendConfig(SMALL);
    await session.received(3);
    assert.deepEqual(plane.violations, ["a text", "a ping"]);
    assert.equal(plane.received[0]?.isBinary, false);
    assert.equal(
      session.frames.some(({ opcode }) => opcode === PONG),
      false,
    );
  });

  it("records an extension and a subprotocol it did not ask for", async () => {
    const extra = "Sec-WebSocket-Extensions: permessage-deflate\r\nSec-WebSocket-Protocol: x\r\n";
    const { plane } = await pair(
      {},
      { answer: `HTTP/1.1 101 Switching Protocols\r\n${extra}\r\n` },
    );
    await plane.connect();
    await plane.closed;
    assert.deepEqual(plane.violations, [
      "sec-websocket-extensions in the answer to the upgrade",
      "sec-websocket-protocol in the answer to the upgrade",
    ]);
  });

  it("reads frames however they are cut, and those that came with the answer to the upgrade", async () => {
    const greeting = encodeFrame(BINARY, SMALL);
    const { controlPlane, plane } = await pair(
      {},
      { greeting: greeting.subarray(0, 3), pongs: false },
    );
    await plane.connect();
    const session = await controlPlane.session();
    await session.received(2);
    for (const byte of greeting.subarray(3, 40)) session.write(Buffer.from([byte]));
    session.write(Buffer.concat([greeting.subarray(40), encodeFrame(PING, Buffer.alloc(0))]));
    await plane.configured();
    await plane.until(() => plane.violations.length === 1);
    assert.deepEqual(plane.received[0]?.frame, SMALL);
  });

  it("records a frame that stands still for more than 5 s, which a real one loses", async () => {
    const { plane, session } = await connected();
    const frame = encodeFrame(BINARY, SMALL);
    session.write(Buffer.concat([encodeFrame(TEXT, Buffer.alloc(0)), frame.subarray(0, 100)]));
    await plane.until(() => plane.violations.length === 1);
    await clock.advance(5_001);
    session.write(frame.subarray(100));
    await plane.configured();
    assert.deepEqual(plane.violations, ["a text", "a frame that stood still for 5001 ms"]);
  });

  it("tells how the control plane ended it", async () => {
    for (const [payload, code] of [
      [Buffer.from([0x03, 0xe9]), 1001],
      [Buffer.alloc(0), 1005],
    ] as const) {
      const { plane, session } = await connected();
      session.close(payload);
      assert.deepEqual(await plane.closed, { code, reason: undefined });
    }
    const { plane, session } = await connected();
    session.drop();
    assert.deepEqual(await plane.closed, { code: 1006, reason: undefined });
  });

  it("ends it with a close frame or without", async () => {
    const polite = await connected();
    polite.plane.close();
    await polite.session.ended();
    assert.deepEqual(polite.session.frames.at(-1)?.opcode, 8);
    const abrupt = await connected();
    abrupt.plane.drop();
    await abrupt.session.ended();
    assert.equal(abrupt.session.frames.length, 2);
    assert.deepEqual(await abrupt.plane.closed, { code: 1006, reason: "dropped" });
  });

  it("says what the upgrade was answered with", async () => {
    const unavailable = page(503, "Retry-After: 7\r\n");
    const { plane } = await pair({}, { answer: unavailable });
    await assert.rejects(
      plane.connect(),
      (error) =>
        error instanceof HandshakeRefused &&
        error.status === 503 &&
        error.headers.get("retry-after") === "7",
    );
    const other = await sharedTls(clusterCertificate());
    const refused = await pair({ tls: { ...other, ca: clusterTls.ca } });
    await assert.rejects(
      refused.plane.connect(),
      (error) => error instanceof HandshakeRefused && error.status === undefined,
    );
    const untrusting = await pair({ tls: other });
    await assert.rejects(untrusting.plane.connect(), /self-signed certificate/);
  });

  it("waits 5 s for the answer to the upgrade", async () => {
    const { controlPlane, plane } = await pair({}, { hangs: true });
    const asked = controlPlane.asked();
    const refused = assert.rejects(plane.connect(), StepTimeout);
    await asked;
    await clock.advance(5_000);
    await refused;
  });

  it("reads nothing more while it is told not to, and goes on pinging", async () => {
    const { plane, session } = await connected();
    plane.pause();
    session.sendConfig(SMALL);
    await clock.advance(60_000);
    await session.received(4);
    assert.deepEqual(plane.received, []);
    plane.resume();
    await plane.configured();
  });

  it("reads one chunk at a time where it is slow", async () => {
    const adopts = "a".repeat(32);
    const { plane, session } = await connected({ behaviour: { chunkEveryMs: 1_000, adopts } });
    session.sendConfig(Buffer.alloc(1_000_000));
    let chunks = 0;
    for (; plane.applied.length === 0; chunks += 1) {
      await clock.untilSleeping(1_000);
      await clock.advance(1_000);
    }
    assert.ok(chunks > 1_000_000 / 65_536, `${chunks} chunks`);
    assert.deepEqual(plane.violations, []);
  });
});
