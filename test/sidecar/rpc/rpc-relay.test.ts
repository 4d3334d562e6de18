import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readdirSync } from "node:fs";
import { describe, it } from "vitest";
import { FakeRpcDataPlane } from "../../fakes/data-plane-rpc.ts";
import { FakeRpcControlPlane } from "../../fakes/rpc-control-plane.ts";
import { BINARY, CLOSE, PING, PONG, TEXT } from "../../fakes/websocket-frames.ts";
import { capture, clusterTls } from "../../source/harness.ts";
import { dialerTo, MAX_PAYLOAD_BYTES, RpcStage } from "./rpc-stage.ts";

const RECORDED = "3.9.1/rpc-v2";
const CONVERSATION = readdirSync(
  new URL(`../../fixtures/captures/${RECORDED}`, import.meta.url),
).sort();

/** A data plane and its control plane, with what both got so far. */
async function relayed(stage: RpcStage, controlPlane: FakeRpcControlPlane) {
  const number = controlPlane.sessions.length + 1;
  const plane = await stage.connect();
  return { plane, session: await controlPlane.session(number) };
}

describe("the relay of /v2/outlet", () => {
  it("passes the recorded conversation on, both ways, byte for byte and in order", async () => {
    await using controlPlane = await FakeRpcControlPlane.listen(clusterTls);
    await using stage = await RpcStage.open({ dialer: dialerTo(controlPlane.address) });
    const { address, clock } = stage;
    await using plane = new FakeRpcDataPlane({ controlPlane: address, tls: clusterTls, clock });
    const connected = plane.connect();
    const session = await controlPlane.session();
    const [hello, ...rest] = CONVERSATION.map((name) => capture(`${RECORDED}/${name}`));
    assert.equal(rest.length, 11);
    // The data plane says it by itself.
    const said = [hello];
    const heard: Buffer[] = [];
    for (const [i, message] of rest.entries()) {
      await session.received(said.length);
      await plane.until(() => plane.received.length === heard.length);
      if (CONVERSATION[i + 1]?.includes("control-plane-to-data-plane") === true) {
        heard.push(message);
        session.send(BINARY, message);
        if (heard.length === 1) await connected;
      } else {
        said.push(message);
        plane.sendMessage(message);
      }
    }
    await plane.until(() => plane.received.length === heard.length);
    const atControlPlane = session.frames.map(({ opcode, payload }) => ({ opcode, payload }));
    assert.deepEqual(
      atControlPlane,
      said.map((payload) => ({ opcode: BINARY, payload })),
    );
    assert.deepEqual(
      plane.received.map(({ frame, isBinary }) => (isBinary ? frame : undefined)),
      heard,
    );
    assert.deepEqual(plane.violations, []);
    assert.equal(stage.upstream.state.kind, "live");
  });

  it("asks the control plane for what the data plane asked for", async () => {
    await using controlPlane = await FakeRpcControlPlane.listen(clusterTls);
    await using stage = await RpcStage.open({ dialer: dialerTo(controlPlane.address) });
    const plane = await stage.connect({ subprotocol: "kong.meta.v2, kong.meta.v1" });
    const { request } = await controlPlane.session();
    assert.equal(request.url, "/v2/outlet");
    const { "sec-websocket-protocol": protocols = "" } = request.headers;
    assert.deepEqual(protocols.split(/, ?/), ["kong.meta.v2", "kong.meta.v1"]);
    assert.equal(request.headers["sec-websocket-extensions"], undefined);
    assert.equal(plane.headers.get("sec-websocket-protocol"), "kong.meta.v1");
  });

  it("passes pings and pongs of both sides on, payload and all, and answers none itself", async () => {
    await using controlPlane = await FakeRpcControlPlane.listen(clusterTls);
    await using stage = await RpcStage.open({ dialer: dialerTo(controlPlane.address) });
    const { plane, session } = await relayed(stage, controlPlane);
    plane.send(PING, Buffer.from("plane asks"));
    await session.received(1);
    session.send(PING, Buffer.from("control plane asks"));
    await plane.received(1);
    session.send(PONG, Buffer.from("control plane answers"));
    plane.send(PONG);
    await session.received(2);
    await plane.received(2);
    assert.deepEqual(
      session.frames.map(({ opcode, payload }) => [opcode, payload.toString()]),
      [
        [PING, "plane asks"],
        [PONG, ""],
      ],
    );
    assert.deepEqual(
      plane.frames.map(({ opcode, payload }) => [opcode, payload.toString()]),
      [
        [PING, "control plane asks"],
        [PONG, "control plane answers"],
      ],
    );
  });

  it("keeps messages whole and in order, empty ones, texts and those of 8 MB", async () => {
    await using controlPlane = await FakeRpcControlPlane.listen(clusterTls);
    await using stage = await RpcStage.open({ dialer: dialerTo(controlPlane.address) });
    const { plane, session } = await relayed(stage, controlPlane);
    const messages = [
      { opcode: BINARY, payload: randomBytes(8_388_608) },
      { opcode: TEXT, payload: Buffer.from("text") },
      { opcode: BINARY, payload: Buffer.alloc(0) },
      { opcode: BINARY, payload: randomBytes(70_000) },
    ];
    for (const { opcode, payload } of messages) {
      plane.send(opcode, payload);
      session.send(opcode, payload);
    }
    const frames = [await session.received(4), await plane.received(4)];
    for (const side of frames) {
      assert.deepEqual(
        side.map(({ opcode }) => opcode),
        messages.map(({ opcode }) => opcode),
      );
      for (const [i, { payload }] of messages.entries()) {
        assert.ok(side[i]?.payload.equals(payload), `message ${i}`);
      }
    }
  });

  it("puts the parts of a message together, as a data plane could not", async () => {
    await using controlPlane = await FakeRpcControlPlane.listen(clusterTls);
    await using stage = await RpcStage.open({ dialer: dialerTo(controlPlane.address) });
    const { plane, session } = await relayed(stage, controlPlane);
    session.send(BINARY, Buffer.from("first, "), false);
    session.send(0, Buffer.from("second"));
    const [frame] = await plane.received(1);
    assert.deepEqual(String(frame?.payload), "first, second");
  });

  it("answers 404 where the control plane does", async () => {
    await using controlPlane = await FakeRpcControlPlane.listen(clusterTls);
    await using stage = await RpcStage.open({ dialer: dialerTo(controlPlane.address) });
    controlPlane.meets = "absence";
    await assert.rejects(stage.connect(), { status: 404 });
    await controlPlane.deserted();
  });

  for (const [what, close, expected] of [
    ["its code", [0x0f, 0xa0, 0x61], [0x0f, 0xa0, 0x61]],
    ["no code, as Kong's", [], []],
  ] as const) {
    it(`passes the end on behind the last message, with ${what}`, async () => {
      await using controlPlane = await FakeRpcControlPlane.listen(clusterTls);
      await using stage = await RpcStage.open({ dialer: dialerTo(controlPlane.address) });
      const last = randomBytes(1_000_000);
      const { plane, session } = await relayed(stage, controlPlane);
      session.send(BINARY, last);
      session.close(Buffer.from(close));
      await plane.received(2);
      assert.ok(plane.frames[0]?.payload.equals(last));
      assert.deepEqual(
        [plane.frames[1]?.opcode, [...(plane.frames[1]?.payload ?? [])]],
        [CLOSE, expected],
      );
      plane.drop();
      const other = await relayed(stage, controlPlane);
      other.plane.send(BINARY, last);
      other.plane.send(CLOSE, Buffer.from(close));
      const frames = await other.session.received(2);
      assert.ok(frames[0]?.payload.equals(last));
      assert.deepEqual([frames[1]?.opcode, [...(frames[1]?.payload ?? [])]], [CLOSE, expected]);
      await other.session.ended;
    });
  }

  it("ends both sides at once where one says more than is taken", async () => {
    await using controlPlane = await FakeRpcControlPlane.listen(clusterTls);
    await using stage = await RpcStage.open({ dialer: dialerTo(controlPlane.address) });
    for (const side of ["plane", "session"] as const) {
      const pair = await relayed(stage, controlPlane);
      pair[side].send(BINARY, Buffer.alloc(MAX_PAYLOAD_BYTES + 1));
      if (side === "plane") await pair.session.ended;
      else assert.equal((await pair.plane.received(1))[0]?.opcode, CLOSE);
    }
  });
});
