import assert from "node:assert/strict";
import { gunzipSync, gzipSync } from "node:zlib";
import { describe, it } from "vitest";
import { Addresses } from "../../src/network/addresses.ts";
import { dialTcp, outletTarget, secure, upgrade } from "../../src/source/connect.ts";
import { FakeControlPlane } from "../fakes/control-plane.ts";
import { BINARY, CLOSE, encodeFrame, PING, PONG, TEXT } from "../fakes/websocket-frames.ts";
import {
  capture,
  clusterTls,
  failure,
  frameOf,
  HASH,
  looksAtClock,
  NO_HASH,
  NODE_ID,
  pair,
  SMALL,
} from "./harness.ts";

describe("a session with a control plane", () => {
  it("sends nothing until the event after connected is asked for, so that a probe can break off", async () => {
    await using t = await pair();
    for await (const event of t.source.watch(t.stop.signal)) {
      assert.equal(event.kind, "connected");
      break;
    }
    const session = await t.controlPlane.session();
    await session.ended();
    assert.deepEqual(session.frames, []);
    assert.equal(t.clock.sleepers, 0);
  });

  it("sends no ping for a question while a config may still come, and leaves by a close frame", async () => {
    await using t = await pair({}, { isQuestion: true });
    await t.next("connected");
    const event = t.events.next();
    const session = await t.controlPlane.session();
    await session.received(1);
    await t.clock.advance(1_999);
    session.sendConfig(SMALL);
    assert.equal((await event).value.kind, "config");
    await t.events.return(undefined as never);
    await session.ended();
    assert.deepEqual(
      session.frames.map(({ opcode }) => opcode),
      [BINARY, CLOSE],
    );
    assert.equal(t.clock.sleepers, 0);
  });

  it("sends a ping for a question after 2 s, which tells a control plane that withholds from one that hangs", async () => {
    await using t = await pair({ config: SMALL, configured: ["mine"] }, { isQuestion: true });
    await t.next("connected");
    const event = t.events.next();
    const session = await t.controlPlane.session();
    await session.received(1);
    await t.clock.advance(2_000);
    await session.received(2);
    assert.deepEqual(session.pings, [NO_HASH]);
    await t.clock.advance(3_000);
    assert.equal((await event).value.kind, "withheld");
  });

  it("ends by a close frame when it is told to stop", async () => {
    await using t = await pair();
    const { session, event } = await t.begin();
    t.stop.abort(new Error("stop"));
    await assert.rejects(event, /stop/);
    await session.ended();
    assert.equal(session.frames.at(-1)?.opcode, CLOSE);
  });

  it("asks for the upgrade as a data plane does", async () => {
    await using t = await pair({}, { hostname: "exporter 0", version: "3.9.1-enterprise-edition" });
    const { session } = await t.begin();
    assert.equal(
      session.request.url,
      `/v1/outlet?node_id=${NODE_ID}&node_hostname=exporter%200&node_version=3.9.1-enterprise-edition`,
    );
    assert.deepEqual(Object.keys(session.request.headers).sort(), [
      "connection",
      "host",
      "sec-websocket-key",
      "sec-websocket-version",
      "upgrade",
    ]);
    assert.equal(session.request.headers.host, `127.0.0.1:${t.controlPlane.address.port}`);
    assert.equal(session.servername, "kong_clustering");
  });

  it("names the port in Host even where it is that of https, as a data plane does", async () => {
    await using controlPlane = await FakeControlPlane.listen({ tls: clusterTls });
    const { signal } = new AbortController();
    const tcp = await dialTcp(controlPlane.address, new Addresses(), signal);
    const socket = await secure(tcp, "127.0.0.1", clusterTls, signal);
    const node = { nodeId: NODE_ID, hostname: "dp", version: "3.9.1" };
    const request = { target: outletTarget(node), maxPayloadBytes: 1_000 };
    const asked = { ...request, address: "cp.example:443" };
    const webSocket = await upgrade(socket, asked, () => {}, signal);
    const session = await controlPlane.session();
    assert.equal(session.request.headers.host, "cp.example:443");
    webSocket.terminate();
  });

  it("sends basic_info first, then a ping with the zero hash while nothing is saved", async () => {
    await using t = await pair({}, { labels: { team: "alpha" } });
    const { session } = await t.begin();
    const [first, second] = session.frames;
    assert.equal(first?.opcode, BINARY);
    assert.equal(
      first.payload.toString(),
      '{"type":"basic_info","plugins":[{"name":"acl"},{"name":"key-auth"}],"labels":{"team":"alpha"}}',
    );
    assert.equal(second?.opcode, PING);
    assert.equal(second.payload.toString(), NO_HASH);
  });

  for (const name of ["3.9.1/empty", "3.9.1/small", "3.9.1/rich", "3.4.2/rich"]) {
    it(`hands out ${name}, recorded from a real Kong, byte for byte`, async () => {
      const frame = capture(`${name}.reconfigure.bin`);
      await using t = await pair({ config: frame });
      await t.next("connected");
      const { update } = await t.next("config");
      const payload = gunzipSync(frame);
      const start = payload.indexOf('"config_table":') + '"config_table":'.length;
      const table = Buffer.from(update.configTable);
      assert.deepEqual(table, payload.subarray(start, start + table.length));
      const parsed = JSON.parse(payload.toString());
      assert.deepEqual(JSON.parse(table.toString()), parsed.config_table);
      assert.equal(update.configHash, parsed.config_hash);
    });
  }

  it("pings every 30 s and lasts as long as something comes", async () => {
    await using t = await pair({ config: SMALL });
    const { session, event } = await t.begin();
    assert.equal((await event).value.kind, "config");
    let pending = t.events.next();
    for (let minute = 1; minute <= 4; minute += 1) {
      await t.clock.advance(30_000);
      await session.received(2 + minute);
      session.sendConfig(SMALL);
      assert.equal((await pending).value.kind, "config");
      pending = t.events.next();
    }
    assert.deepEqual(session.pings, Array(5).fill(NO_HASH));
    assert.deepEqual(session.violations, []);
    t.stop.abort();
    await assert.rejects(pending, { name: "AbortError" });
  });

  it("pings at once with the hash that was saved, and begins the next session with it", async () => {
    await using t = await pair();
    const { session, event } = await t.begin();
    t.source.acknowledge("not a hash");
    t.source.acknowledge(NO_HASH);
    t.source.acknowledge(HASH);
    await session.received(3);
    assert.deepEqual(session.pings, [NO_HASH, HASH]);
    session.drop();
    await failure(event, "SOURCE_LOST");

    const again = t.source.watch(t.stop.signal);
    await again.next();
    const pending = again.next();
    const second = await t.controlPlane.session(2);
    await second.received(2);
    assert.deepEqual(second.pings, [HASH]);
    t.stop.abort();
    await assert.rejects(pending, { name: "AbortError" });
  });

  it("begins with the hash saved by an earlier run", async () => {
    await using t = await pair({}, { savedHash: HASH });
    const { session } = await t.begin();
    assert.deepEqual(session.pings, [HASH]);
  });

  it("hands a slow consumer only the newest config", async () => {
    await using t = await pair();
    const { session, event } = await t.begin();
    session.write(
      Buffer.concat(["one", "two", "three"].map((name) => encodeFrame(BINARY, frameOf(name)))),
    );
    const { value } = await event;
    assert.equal(value.kind, "config");
    assert.match(Buffer.from(value.update.configTable).toString(), /three/);
    session.write(encodeFrame(BINARY, frameOf("four")));
    assert.match(Buffer.from((await t.next("config")).update.configTable).toString(), /four/);
  });

  it("loses nothing that comes together with the answer to the upgrade", async () => {
    await using t = await pair({ greeting: encodeFrame(BINARY, SMALL) });
    await t.next("connected");
    await t.next("config");
  });

  it("takes a message in fragments", async () => {
    await using t = await pair();
    const { session, event } = await t.begin();
    session.send(BINARY, SMALL.subarray(0, 100), false);
    session.send(0, SMALL.subarray(100, 200), false);
    session.send(0, SMALL.subarray(200), true);
    assert.equal((await event).value.kind, "config");
  });

  it("ignores text and pings, and answers neither", async () => {
    await using t = await pair();
    const { session, event } = await t.begin();
    const arrived = looksAtClock(t.clock);
    session.write(
      Buffer.concat([
        encodeFrame(TEXT, Buffer.from("hello")),
        encodeFrame(PING, Buffer.from("are you there")),
      ]),
    );
    await arrived;
    session.sendConfig(SMALL);
    assert.equal((await event).value.kind, "config");
    t.source.acknowledge(HASH);
    const frames = await session.received(3);
    assert.deepEqual(
      frames.map(({ opcode }) => opcode),
      [BINARY, PING, PING],
    );
  });

  it("takes pongs with and without payload", async () => {
    await using t = await pair({ pongs: false });
    const { session, event } = await t.begin();
    session.send(PONG, Buffer.from(NO_HASH));
    session.sendConfig(SMALL);
    assert.equal((await event).value.kind, "config");
  });

  for (const [what, frame, code] of [
    ["is not gzip", Buffer.from("hello, this is no gzip"), "FRAME_NOT_GZIP"],
    ["is truncated", SMALL.subarray(0, 300), "FRAME_CORRUPT"],
    ["is not JSON", gzipSync("<html>"), "FRAME_NOT_JSON"],
    ["lacks config_table", gzipSync('{"type":"reconfigure"}'), "FRAME_NOT_CONFIG"],
    [
      "has no object in it",
      gzipSync('{"type":"reconfigure","config_table":[]}'),
      "FRAME_NOT_CONFIG",
    ],
    ["is a decompression bomb", gzipSync(Buffer.alloc(5_000_000, " ")), "FRAME_TOO_LARGE"],
  ] as const) {
    it(`rejects a message that ${what}, and goes on`, async () => {
      await using t = await pair({ config: frame });
      await t.next("connected");
      const { error } = await t.next("rejected");
      assert.equal(error.code, code);
      (await t.controlPlane.session()).sendConfig(SMALL);
      await t.next("config");
    });
  }
});
