import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { setImmediate } from "node:timers/promises";
import { describe, it } from "vitest";
import { BINARY, encodeFrame } from "../fakes/websocket-frames.ts";
import { failure, frameOf, looksAtClock, pair, SMALL } from "./harness.ts";

describe("the end of a session", () => {
  it("gives up after 45 s of silence", async () => {
    await using t = await pair({ pongs: false });
    const { session, event } = await t.begin();
    await t.clock.advance(44_999);
    assert.equal(session.pings.length, 2);
    assert.equal(t.clock.sleepers, 2);
    await t.clock.advance(1);
    const error = await failure(event, "SOURCE_LOST");
    assert.match(error.message, /nothing came for 45 s/);
    assert.equal(error.retryable, true);
    await session.ended();
  });

  it("counts part of a message as a sign of life", async () => {
    await using t = await pair({ pongs: false });
    const { session, event } = await t.begin();
    const frame = encodeFrame(BINARY, SMALL);
    await t.clock.advance(40_000);
    const arrived = looksAtClock(t.clock);
    session.write(frame.subarray(0, 300));
    await arrived;
    await t.clock.advance(44_000);
    session.write(frame.subarray(300));
    assert.equal((await event).value.kind, "config");
  });

  it("hands out a config that came right before the end, though the consumer was busy", async () => {
    await using t = await pair({ config: SMALL });
    await t.next("connected");
    await t.next("config");
    const session = await t.controlPlane.session();
    session.sendConfig(frameOf("last"));
    session.close();
    await session.ended();
    const { update } = await t.next("config");
    assert.match(Buffer.from(update.configTable).toString(), /last/);
    await failure(t.events.next(), "SOURCE_LOST");
  });

  it("ends on a message above the cap, and names the setting", async () => {
    await using t = await pair({}, { maxPayloadBytes: 700 });
    const { session, event } = await t.begin();
    session.sendConfig(SMALL);
    const error = await failure(event, "SOURCE_FRAME_TOO_LARGE");
    assert.match(error.message, /more than 700 bytes/);
    assert.match(error.hint, /KONG_CLUSTER_MAX_PAYLOAD/);
    await session.ended();
  });

  it("tells a refused version from a session that ends later", async () => {
    await using t = await pair({ version: "3.8.1" });
    await t.next("connected");
    const error = await failure(t.events.next(), "SOURCE_REFUSED");
    assert.match(error.message, /told version 3\.9\.1/);
    assert.match(error.hint, /KONG_VERSION/);
    assert.equal(error.retryable, false);

    await using late = await pair({ pongs: false });
    const { session, event } = await late.begin();
    await late.clock.advance(2_001);
    session.close();
    assert.match((await failure(event, "SOURCE_LOST")).message, /it closed$/);
  });

  it("tells how a session ended", async () => {
    await using closed = await pair({ config: SMALL });
    await closed.next("connected");
    await closed.next("config");
    (await closed.controlPlane.session()).close(Buffer.from("\x03\xe9going\naway", "latin1"));
    assert.match(
      (await failure(closed.events.next(), "SOURCE_LOST")).message,
      /it closed with code 1001: going away$/,
    );

    await using dropped = await pair();
    const { session, event } = await dropped.begin();
    session.drop();
    assert.match((await failure(event, "SOURCE_LOST")).message, /the connection broke off$/);

    await using garbled = await pair();
    const broken = await garbled.begin();
    broken.session.write(Buffer.from([0x83, 0x00]));
    assert.match((await failure(broken.event, "SOURCE_LOST")).message, /invalid opcode 3/);
  });

  it("notices that the control plane went away while the consumer looked at connected", async () => {
    await using t = await pair();
    await t.next("connected");
    (await t.controlPlane.session()).drop();
    await failure(t.events.next(), "SOURCE_LOST");
  });
});

describe("stopping", () => {
  it("ends a waiting session with the signal's reason and leaves nothing behind", async () => {
    await using t = await pair();
    const { session, event } = await t.begin();
    const reason = new Error("SIGTERM");
    t.stop.abort(reason);
    await assert.rejects(event, (error) => error === reason);
    await session.ended();
    await setImmediate();
    assert.equal(t.clock.sleepers, 0);
    assert.equal(getEventListeners(t.stop.signal, "abort").length, 0);
  });

  it("ends a session whose consumer is busy", async () => {
    await using t = await pair();
    await t.next("connected");
    const reason = new Error("SIGTERM");
    t.stop.abort(reason);
    await (await t.controlPlane.session()).ended();
    await assert.rejects(t.events.next(), (error) => error === reason);
  });

  it("ends a handshake that hangs", async () => {
    await using t = await pair({ hangs: true });
    const asked = t.controlPlane.asked();
    const event = t.events.next();
    await asked;
    const reason = new Error("SIGTERM");
    t.stop.abort(reason);
    await assert.rejects(event, (error) => error === reason);
    await t.controlPlane.deserted();
    await setImmediate();
    assert.equal(t.clock.sleepers, 0);
    assert.equal(getEventListeners(t.stop.signal, "abort").length, 0);
  });

  it("does not even begin once the signal has aborted", async () => {
    await using t = await pair();
    const reason = new Error("SIGTERM");
    t.stop.abort(reason);
    await assert.rejects(t.events.next(), (error) => error === reason);
    assert.equal(t.controlPlane.sessions.length, 0);
  });

  it("lets go of everything when the consumer leaves the loop", async () => {
    await using t = await pair({ config: SMALL });
    for await (const event of t.events) if (event.kind === "config") break;
    await (await t.controlPlane.session()).ended();
    await setImmediate();
    assert.equal(t.clock.sleepers, 0);
    assert.equal(getEventListeners(t.stop.signal, "abort").length, 0);
  });

  it("ends the watch when the source is disposed of, once and for all", async () => {
    await using t = await pair();
    const { session, event } = await t.begin();
    await t.source[Symbol.asyncDispose]();
    await t.source[Symbol.asyncDispose]();
    await assert.rejects(event, { code: "SOURCE_LOST" });
    await session.ended();
    await assert.rejects(t.source.watch(t.stop.signal).next(), { code: "SOURCE_LOST" });
  });

  it("allows one watch at a time", async () => {
    await using t = await pair();
    await t.next("connected");
    await assert.rejects(t.source.watch(t.stop.signal).next(), /being watched already/);
  });
});
