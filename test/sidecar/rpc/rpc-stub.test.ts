import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { FakeRpcDataPlane } from "../../fakes/data-plane-rpc.ts";
import { BINARY, CLOSE, PING, PONG, TEXT } from "../../fakes/websocket-frames.ts";
import { capture, clusterTls } from "../../source/harness.ts";
import { HELLO, RpcStage } from "./rpc-stage.ts";

const RESULT = { rpc_capabilities: [], rpc_frame_encoding: "x-snappy-framed" };

async function greeted(stage: RpcStage) {
  const plane = await stage.connect();
  await plane.greet();
  return plane;
}

describe("the stub of /v2/outlet", () => {
  it("chooses the one sub-protocol, whatever else is offered, and no extension", async () => {
    await using stage = await RpcStage.open();
    for (const subprotocol of ["kong.meta.v1", "kong.meta.v2, kong.meta.v1"]) {
      const { headers } = await stage.connect({ subprotocol });
      assert.deepEqual(
        [...headers].filter(([name]) => name.startsWith("sec-websocket-")).map(([name]) => name),
        ["sec-websocket-accept", "sec-websocket-protocol"],
      );
      assert.equal(headers.get("sec-websocket-protocol"), "kong.meta.v1");
    }
  });

  it("answers the recorded hello in plain JSON: no capabilities, as an array", async () => {
    await using stage = await RpcStage.open();
    const plane = await greeted(stage);
    const [answer] = plane.frames;
    assert.equal(answer?.opcode, BINARY);
    assert.deepEqual(JSON.parse(String(answer?.payload)), {
      jsonrpc: "2.0",
      id: 1,
      result: RESULT,
    });
    assert.match(String(answer?.payload), /"rpc_capabilities":\[\]/);
  });

  it("answers with the id of the hello, whatever it is", async () => {
    await using stage = await RpcStage.open();
    for (const id of [4_711, "a"]) {
      const plane = await stage.connect();
      const { method, params } = JSON.parse(HELLO.toString());
      plane.send(BINARY, Buffer.from(JSON.stringify({ jsonrpc: "2.0", id, method, params })));
      const [answer] = await plane.received(1);
      assert.equal(JSON.parse(String(answer?.payload)).id, id);
    }
  });

  it("answers a data plane's pings for minutes", async () => {
    await using stage = await RpcStage.open();
    const { address: controlPlane, clock } = stage;
    await using plane = new FakeRpcDataPlane({ controlPlane, tls: clusterTls, clock });
    await plane.connect();
    for (let pings = 1; pings <= 20; pings += 1) {
      await clock.advance(35_000);
      await plane.until(() => plane.pongs === pings);
    }
    assert.equal(plane.isConnected, true);
    assert.equal(plane.received.length, 1);
    assert.deepEqual(plane.violations, []);
  });

  it("answers a ping without its payload, also before the hello", async () => {
    await using stage = await RpcStage.open();
    const plane = await stage.connect();
    plane.send(PING, Buffer.from("a"));
    plane.send(BINARY, HELLO);
    plane.send(PING, Buffer.from("b"));
    const frames = await plane.received(3);
    assert.deepEqual(
      frames.map(({ opcode }) => opcode),
      [PONG, BINARY, PONG],
    );
    assert.deepEqual([frames[0]?.bytes, frames[2]?.bytes], [0, 0]);
  });

  it("drops a data plane after 45 s of silence", async () => {
    await using stage = await RpcStage.open();
    const plane = await greeted(stage);
    await stage.clock.advance(44_999);
    assert.equal(await plane.isAnswered(), true);
    await stage.clock.advance(44_999);
    assert.equal(await plane.isAnswered(), true);
    await stage.clock.advance(45_000);
    await plane.ended;
  });

  it("drops a data plane that says no hello in 5 s, pings or not", async () => {
    await using stage = await RpcStage.open();
    const plane = await stage.connect();
    await stage.clock.advance(4_999);
    assert.equal(await plane.isAnswered(), true);
    await stage.clock.advance(1);
    await plane.ended;
  });

  for (const [what, opcode, message] of [
    ["no JSON", BINARY, "hello"],
    ["a snappy message", BINARY, capture("3.9.1/rpc-v2/02.data-plane-to-control-plane.bin")],
    ["JSON that is no object", BINARY, "[1]"],
    ["null", BINARY, "null"],
    ["nothing", BINARY, ""],
    ["another method", BINARY, HELLO.toString().replace("meta.v1.hello", "meta.v1.goodbye")],
    ["a hello without an id", BINARY, HELLO.toString().replace('"id":1,', "")],
    ["a hello as text", TEXT, HELLO],
  ] as const) {
    it(`closes, as Kong does, where ${what} comes first, and answers no hello after it`, async () => {
      await using stage = await RpcStage.open();
      const plane = await stage.connect();
      plane.send(opcode, Buffer.from(message));
      plane.send(BINARY, HELLO);
      const [close] = await plane.received(1);
      assert.equal(close?.opcode, CLOSE);
      assert.equal(close.bytes, 0);
      // It would hang on here, but 5 s is all it has.
      await stage.clock.advance(5_000);
      await plane.ended;
      assert.equal(plane.frames.length, 1);
    });
  }

  it("ignores whatever comes after the hello: requests, answers, another hello, a text", async () => {
    await using stage = await RpcStage.open();
    const plane = await greeted(stage);
    for (const name of ["02", "04", "07", "08"]) {
      plane.send(BINARY, capture(`3.9.1/rpc-v2/${name}.data-plane-to-control-plane.bin`));
    }
    plane.send(BINARY, HELLO);
    plane.send(BINARY, Buffer.alloc(0));
    plane.send(TEXT, Buffer.from("text"));
    assert.equal(await plane.isAnswered(), true);
    assert.deepEqual(
      plane.frames.map(({ opcode }) => opcode),
      [BINARY, PONG],
    );
  });

  it("drops a data plane at once that breaks the protocol, or says too much", async () => {
    await using stage = await RpcStage.open();
    const faults = [Buffer.from([0x82, 0x01, 0x00]), Buffer.from([0xf2, 0x80, 0, 0, 0, 0])];
    for (const fault of faults) {
      const plane = await greeted(stage);
      plane.write(fault);
      await plane.ended;
    }
    const plane = await stage.connect();
    plane.send(BINARY, Buffer.alloc(1_048_577));
    await plane.ended;
  });
});
