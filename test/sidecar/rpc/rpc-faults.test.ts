import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { encodeMasked } from "../../fakes/data-plane-frames.ts";
import { FakeRpcControlPlane, type FakeRpcSession } from "../../fakes/rpc-control-plane.ts";
import { BINARY, CLOSE, encodeFrame, PING, PONG } from "../../fakes/websocket-frames.ts";
import { capture, clusterTls } from "../../source/harness.ts";
import { dialerTo, HELLO, type RpcPlane, RpcStage } from "./rpc-stage.ts";

const ANSWER = capture("3.9.1/rpc-v2/01.control-plane-to-data-plane.bin");
const LONG = Buffer.alloc(8_388_608, "a");

interface Pair {
  readonly plane: RpcPlane;
  readonly session: FakeRpcSession;
}

/** How far a connection has got when it is killed. */
interface Step {
  readonly name: string;
  readonly go: (pair: Pair) => Promise<unknown>;
  /** Whether the next byte is read, and as the first of a frame. */
  readonly takesFrames: boolean;
}

const STEPS: readonly Step[] = [
  { name: "before the hello", go: async () => {}, takesFrames: true },
  {
    name: "in the middle of the hello",
    go: async ({ plane }) => plane.write(encodeMasked(BINARY, HELLO).subarray(0, 5_000)),
    takesFrames: false,
  },
  { name: "before the answer", go: hello, takesFrames: true },
  {
    name: "in the middle of the answer",
    go: async (pair) => {
      await hello(pair);
      pair.session.write(encodeFrame(BINARY, ANSWER).subarray(0, 50));
    },
    takesFrames: false,
  },
  {
    name: "after the answer",
    go: async (pair) => {
      await hello(pair);
      pair.session.send(BINARY, ANSWER);
      await pair.plane.received(1);
    },
    takesFrames: true,
  },
  {
    name: "while long messages pass that nobody reads",
    go: async ({ plane, session }) => {
      for (const side of [plane, session]) {
        side.pause();
        side.send(BINARY, LONG);
        side.send(BINARY, LONG);
      }
    },
    takesFrames: false,
  },
  {
    name: "while a message waits for the data plane, in the middle of the next",
    go: async ({ plane, session }) => {
      plane.pause();
      session.send(BINARY, LONG);
      session.write(encodeFrame(BINARY, LONG).subarray(0, 100_000));
    },
    takesFrames: false,
  },
];

async function hello({ plane, session }: Pair): Promise<void> {
  plane.send(BINARY, HELLO);
  await session.received(1);
}

const DEATHS: readonly {
  readonly how: string;
  readonly die: (side: RpcPlane | FakeRpcSession) => void;
  readonly byFrame: boolean;
}[] = [
  { how: "goes without a word", die: (side) => side.drop(), byFrame: false },
  { how: "resets the connection", die: (side) => side.reset(), byFrame: false },
  { how: "sends what is no frame", die: (side) => side.write(Buffer.alloc(9, 255)), byFrame: true },
];

async function relayed(stage: RpcStage, controlPlane: FakeRpcControlPlane): Promise<Pair> {
  const plane = await stage.connect();
  return { plane, session: await controlPlane.session(controlPlane.sessions.length || 1) };
}

/** Lets time pass until every session is over. */
async function untilOver({ served, clock }: RpcStage): Promise<void> {
  let isOver = false;
  const over = Promise.all(served).then(() => {
    isOver = true;
  });
  while (!isOver) await clock.advance(1_000);
  await over;
}

describe("version 2 when something breaks", () => {
  for (const { name, go, takesFrames } of STEPS) {
    for (const { how, die, byFrame } of DEATHS.filter((death) => takesFrames || !death.byFrame)) {
      for (const side of ["plane", "session"] as const) {
        const who = side === "plane" ? "the data plane" : "the control plane";
        it(`ends both sides where ${who} ${how} ${name}, and serves the next`, async () => {
          await using controlPlane = await FakeRpcControlPlane.listen(clusterTls);
          await using stage = await RpcStage.open({ dialer: dialerTo(controlPlane.address) });
          const pair = await relayed(stage, controlPlane);
          await go(pair);
          die(pair[side]);
          const over = Promise.all(stage.served);
          // The other side has 5 s.
          await Promise.race([over, stage.clock.untilSleeping(5_000)]);
          await stage.clock.advance(5_000);
          await over;
          if (!byFrame) pair[side === "plane" ? "session" : "plane"].drop();
          await Promise.all([pair.plane.ended, pair.session.ended]);
          await stage.connect();
        });
      }
    }
  }

  it("delivers no half of a message, and gives the data plane a stub when it comes back", async () => {
    await using controlPlane = await FakeRpcControlPlane.listen(clusterTls);
    await using stage = await RpcStage.open({ dialer: dialerTo(controlPlane.address) });
    const { plane, session } = await relayed(stage, controlPlane);
    session.send(BINARY, ANSWER);
    session.write(encodeFrame(BINARY, LONG).subarray(0, 4_000_000));
    await plane.received(1);
    await controlPlane[Symbol.asyncDispose]();
    await untilOver(stage);
    await plane.ended;
    assert.deepEqual(
      plane.frames.map(({ opcode }) => opcode),
      [BINARY, CLOSE],
    );
    assert.deepEqual(plane.frames[0]?.payload, ANSWER);
    const again = await stage.connect();
    assert.deepEqual((await again.greet()).result.rpc_capabilities, []);
  });

  it("lets go of the control plane when the data plane goes", async () => {
    await using controlPlane = await FakeRpcControlPlane.listen(clusterTls);
    await using stage = await RpcStage.open({ dialer: dialerTo(controlPlane.address) });
    for (const leave of ["drop", "reset"] as const) {
      const { plane } = await relayed(stage, controlPlane);
      plane[leave]();
      await controlPlane.deserted();
    }
    await Promise.all(stage.served);
    assert.equal(stage.clock.sleepers, 0);
  });

  for (const [side, other] of [
    ["plane", "session"],
    ["session", "plane"],
  ] as const) {
    const who = side === "plane" ? "data" : "control";
    it(`ends both sides after 50 s of silence of the ${who} plane, whatever the other says`, async () => {
      await using controlPlane = await FakeRpcControlPlane.listen(clusterTls);
      await using stage = await RpcStage.open({ dialer: dialerTo(controlPlane.address) });
      const pair = await relayed(stage, controlPlane);
      await stage.clock.advance(30_000);
      pair[side].send(PING, Buffer.alloc(0));
      pair[other].send(PING, Buffer.alloc(0));
      await pair[other].received(1);
      await pair[side].received(1);
      await stage.clock.advance(49_999);
      pair[other].send(PONG, Buffer.alloc(0));
      assert.equal((await pair[side].received(2))[1]?.opcode, PONG);
      assert.equal(pair[other].frames.length, 1);
      await stage.clock.advance(1);
      await untilOver(stage);
      // One that waits for an answer to its close frame, as ws does.
      pair[other].drop();
      await pair[side].ended;
    });
  }

  it("gives up a control plane that takes nothing more", async () => {
    await using controlPlane = await FakeRpcControlPlane.listen(clusterTls);
    await using stage = await RpcStage.open({ dialer: dialerTo(controlPlane.address) });
    const { plane, session } = await relayed(stage, controlPlane);
    session.pause();
    for (let i = 0; i < 4; i += 1) plane.send(BINARY, LONG);
    await untilOver(stage);
    await plane.ended;
  });

  it("leaves nothing open when the door is closed, whatever a data plane is doing", async () => {
    await using controlPlane = await FakeRpcControlPlane.listen(clusterTls);
    const stage = await RpcStage.open({ dialer: dialerTo(controlPlane.address) });
    const { plane, session } = await relayed(stage, controlPlane);
    await hello({ plane, session });
    const busy = await relayed(stage, controlPlane);
    busy.plane.pause();
    busy.session.send(BINARY, LONG);
    controlPlane.meets = "silence";
    const asked = controlPlane.asked();
    await stage.knock();
    await asked;
    await stage[Symbol.asyncDispose]();
    await controlPlane.deserted();
    assert.equal(stage.served.length, 3);
  });
});
