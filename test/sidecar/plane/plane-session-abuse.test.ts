import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { traitsOf } from "../../fakes/data-plane-traits.ts";
import { BINARY, encodeFrame, PING, TEXT } from "../../fakes/websocket-frames.ts";
import { NO_HASH, SMALL } from "../../source/harness.ts";
import { largeConfig, Stage } from "../stage.ts";

const { basicInfo } = traitsOf("3.9.1");
const SILENT = { behaviour: { silentAfterOpen: true } };
const NO_INFO = "data plane did not begin with basic_info, connection closed";
const BROKEN = "data plane broke the protocol, connection dropped";

/** A data plane that is connected and says nothing by itself. */
async function stranger() {
  const stage = await Stage.open({ behind: { config: SMALL } });
  return { stage, plane: await stage.plane(SILENT) };
}

describe("a data plane that was let in and then", () => {
  for (const [what, opcode, message] of [
    ["sends basic_info as text", TEXT, basicInfo],
    ["sends something else than JSON", BINARY, Buffer.from("garbage")],
    ["sends JSON of another type", BINARY, Buffer.from('{"type":"other"}')],
    ["sends basic_info without plugins", BINARY, Buffer.from('{"type":"basic_info"}')],
  ] as const) {
    it(`${what} is closed without a code, as Kong does`, async () => {
      const { stage, plane } = await stranger();
      await using _stage = stage;
      plane.send(opcode, message);
      assert.deepEqual(await plane.closed, { code: 1005, reason: undefined });
      await stage.said(NO_INFO);
      await stage.until(() => stage.sidecar.planes.length === 0);
      assert.equal(stage.upstreamsOf(plane).length, 0);
    });
  }

  it("says nothing is closed after 5 s, and gets no config before", async () => {
    const { stage, plane } = await stranger();
    await using _stage = stage;
    await stage.pass(4_999);
    assert.ok(plane.isConnected);
    assert.equal((await stage.sessionOf(plane)).state.kind, "connecting");
    await stage.pass(1);
    assert.equal((await plane.closed).code, 1005);
    assert.deepEqual(plane.received, []);
    assert.equal(stage.upstreamsOf(plane).length, 0);
  });

  it("does not answer the close frame is gone 5 s later", async () => {
    const { stage, plane } = await stranger();
    await using _stage = stage;
    plane.pause();
    plane.send(BINARY, Buffer.from("garbage"));
    await stage.said(NO_INFO);
    await stage.pass(5_000);
    await stage.until(() => stage.sidecar.planes.length === 0);
    plane.resume();
  });

  it("pings before basic_info is forgiven", async () => {
    const { stage, plane } = await stranger();
    await using _stage = stage;
    plane.send(PING, Buffer.from(NO_HASH));
    await plane.until(() => plane.pongs === 1);
    assert.equal((await stage.sessionOf(plane)).hash, NO_HASH);
    plane.send(BINARY, basicInfo);
    await plane.configured();
    const upstream = await stage.upstreamOf(plane);
    assert.deepEqual(upstream.frames[0]?.payload, basicInfo);
  });

  it("sends 2 MB first is dropped before they are all read", async () => {
    const { stage, plane } = await stranger();
    await using _stage = stage;
    plane.send(BINARY, Buffer.alloc(2 * 2 ** 20));
    assert.equal((await plane.closed).code, 1006);
    assert.match(`${(await stage.said(BROKEN))["err"]}`, /Max payload size exceeded/);
  });

  it.each([
    ["a frame that is not masked", encodeFrame(BINARY, basicInfo)],
    ["no frame at all", Buffer.from("GET / HTTP/1.1\r\n\r\n")],
  ])("sends %s is dropped", async (_, bytes) => {
    const { stage, plane } = await stranger();
    await using _stage = stage;
    plane.write(bytes);
    await plane.closed;
    await stage.said(BROKEN);
  });

  it("is silent for 45 s is dropped, and its connection to the control plane with it", async () => {
    const { stage, plane } = await stranger();
    await using _stage = stage;
    plane.send(BINARY, basicInfo);
    await plane.until(() => plane.applied.length === 1);
    const upstream = await stage.upstreamOf(plane);
    await stage.pass(30_000);
    plane.send(PING, Buffer.from(plane.hash));
    await plane.until(() => plane.pongs === 1);
    await stage.pass(44_999);
    assert.ok(plane.isConnected);
    await stage.pass(1);
    await plane.closed;
    await upstream.ended();
    await stage.said("data plane fell silent, connection dropped");
  });

  it("pings without reading is not answered without end", async () => {
    await using stage = await Stage.open({ behind: "none" });
    const { frame, snapshot } = largeConfig("large", 15_000_000);
    await stage.put(snapshot, frame);
    const plane = await stage.plane({ behaviour: { stopsReading: true } });
    const session = await stage.sessionOf(plane);
    await stage.until(() => session.hash !== undefined);
    for (let n = 1; n <= 1_000; n += 1) plane.send(PING, Buffer.from(`${n}`.padStart(32, "0")));
    await stage.until(() => session.hash === "1000".padStart(32, "0"));
    plane.resume();
    await plane.until(() => plane.received.length === 1);
    await stage.pass(3_000);
    assert.ok(plane.pongs <= 5, `${plane.pongs} pongs`);
  });

  it("goes away at once leaves nothing", async () => {
    const { stage, plane } = await stranger();
    await using _stage = stage;
    plane.drop();
    await stage.until(() => stage.sidecar.planes.length === 0);
    assert.equal(stage.log.find("warn").length, 0);
  });
});
