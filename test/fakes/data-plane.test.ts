import assert from "node:assert/strict";
import { gunzipSync, gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, it } from "vitest";
import { PING_INTERVAL_MS, SILENCE_LIMIT_MS } from "../../src/kong/wire.ts";
import { capture, clusterTls, frameOf, NO_HASH, NODE_ID } from "../source/harness.ts";
import { FakeControlPlane, type FakeControlPlaneOptions } from "./control-plane.ts";
import { FakeDataPlane, type FakeDataPlaneOptions } from "./data-plane.ts";
import { ManualClock } from "./manual-clock.ts";
import { BINARY, PING } from "./websocket-frames.ts";

const SMALL = capture("3.9.1/small.reconfigure.bin");
const SMALL_HASH = "417a8260a3ad79c6b50bcedf9895cb3e";
const RICH = capture("3.9.1/rich.reconfigure.bin");
const RICH_HASH = "b78cea68e75d70230ec4396b07bc8ee1";
/** Of no config at all. */
const GIVEN = "a".repeat(32);

describe("the fake data plane", () => {
  let clock: ManualClock;
  let controlPlane: FakeControlPlane;
  let planes: FakeDataPlane[];

  beforeEach(async () => {
    clock = new ManualClock();
    controlPlane = await FakeControlPlane.listen({ tls: clusterTls });
    planes = [];
  });
  afterEach(async () => {
    for (const plane of planes) await plane[Symbol.asyncDispose]();
    await controlPlane[Symbol.asyncDispose]();
    assert.equal(clock.sleepers, 0);
  });

  /** In place of the control plane there is. */
  async function serve(options: Partial<FakeControlPlaneOptions>): Promise<void> {
    await controlPlane[Symbol.asyncDispose]();
    controlPlane = await FakeControlPlane.listen({ tls: clusterTls, ...options });
  }

  function dataPlane(changes: Partial<FakeDataPlaneOptions> = {}): FakeDataPlane {
    const common = { controlPlane: controlPlane.address, tls: clusterTls, clock };
    const plane = new FakeDataPlane({ ...common, ...changes });
    planes.push(plane);
    return plane;
  }

  /** A data plane in a session, with the control plane's side of it. */
  async function connected(changes: Partial<FakeDataPlaneOptions> = {}) {
    const plane = dataPlane(changes);
    await plane.connect();
    const session = await controlPlane.session();
    await session.received(2);
    return { plane, session };
  }

  it("is configured by a control plane, and tells it so", async () => {
    await serve({ config: RICH });
    const { plane, session } = await connected();
    await plane.configured(RICH_HASH);
    await plane.until(() => plane.pongs === 2);
    assert.deepEqual(session.pings, [NO_HASH, RICH_HASH]);
    assert.deepEqual(plane.received, [{ frame: RICH, isBinary: true, at: 0 }]);
    assert.equal(plane.bytesReceived, RICH.length);
    assert.deepEqual(plane.applied, [RICH_HASH]);
    assert.deepEqual(plane.violations, []);
    plane.close();
    await session.ended();
    assert.deepEqual(session.violations, []);
  });

  for (const version of ["3.9.1", "3.4.2", "2.8.5"]) {
    it(`asks for the upgrade and introduces itself as a real ${version} does`, async () => {
      await serve({ version });
      const { session } = await connected({ version, nodeId: NODE_ID, hostname: "vm" });
      const { rawHeaders, url } = session.request;
      assert.equal(url, `/v1/outlet?node_id=${NODE_ID}&node_hostname=vm&node_version=${version}`);
      assert.deepEqual(
        rawHeaders.filter((_, i) => i % 2 === 0),
        ["Upgrade", "Host", "Sec-WebSocket-Key", "Sec-WebSocket-Version", "Connection"],
      );
      assert.equal(rawHeaders[3], `127.0.0.1:${controlPlane.address.port}`);
      assert.equal(session.servername, "kong_clustering");
      const [first, second] = session.frames;
      assert.equal(first?.opcode, BINARY);
      assert.deepEqual(first.payload, capture(`${version}/basic_info.json`));
      assert.equal(second?.opcode, PING);
      assert.equal(second.payload.toString(), NO_HASH);
      assert.deepEqual(session.violations, []);
    });
  }

  it("keeps the config of an earlier life, and only tells that it has it when it comes again", async () => {
    const { plane, session } = await connected({ hash: SMALL_HASH });
    assert.deepEqual(session.pings, [SMALL_HASH]);
    session.sendConfig(SMALL);
    await session.received(3);
    assert.deepEqual(session.pings, [SMALL_HASH, SMALL_HASH]);
    assert.deepEqual(plane.applied, []);
  });

  it("believes the hash that is given, and makes its own where none is", async () => {
    const { plane, session } = await connected();
    const config_table = { _format_version: "3.0" };
    session.sendConfig(
      gzipSync(JSON.stringify({ type: "reconfigure", config_hash: GIVEN, config_table })),
    );
    await plane.configured(GIVEN);
    const unhashed = { ...JSON.parse(gunzipSync(RICH).toString()), config_hash: undefined };
    session.sendConfig(gzipSync(JSON.stringify(unhashed)));
    await plane.configured(RICH_HASH);
    session.sendConfig(gzipSync('{"type":"something else"}'));
    session.sendConfig(SMALL);
    await plane.configured(SMALL_HASH);
    assert.deepEqual(plane.applied, [GIVEN, RICH_HASH, SMALL_HASH]);
  });

  it("pings 30 s after its last ping", async () => {
    const { plane, session } = await connected();
    await clock.advance(10_000);
    session.sendConfig(SMALL);
    await plane.configured();
    await clock.advance(PING_INTERVAL_MS - 1);
    assert.equal(plane.pings.length, 2);
    await clock.advance(1);
    assert.deepEqual(plane.pings, [NO_HASH, SMALL_HASH, SMALL_HASH]);
  });

  it("hangs up when it has heard nothing for 45 s", async () => {
    await serve({ pongs: false });
    const { plane, session } = await connected();
    await clock.advance(SILENCE_LIMIT_MS - 1);
    assert.equal(plane.pings.length, 2);
    await clock.advance(1);
    assert.deepEqual(await plane.closed, { code: 1006, reason: "heard nothing for 45 s" });
    await session.ended();
  });

  it("keeps its config and the connection when it is sent one it refuses", async () => {
    const rejects = (table: object): boolean => "services" in table;
    const { plane, session } = await connected({ behaviour: { rejects } });
    session.sendConfig(SMALL);
    session.sendConfig(gzipSync('{"type":"reconfigure","config_hash":"x","config_table":{}}'));
    await plane.until(() => plane.refused.length === 2);
    assert.deepEqual(plane.refused, [SMALL_HASH, "x"]);
    assert.deepEqual(plane.pings, [NO_HASH]);
    session.sendConfig(frameOf("good"));
    await plane.configured();
    assert.equal(plane.pings.length, 2);
  });

  for (const version of ["3.4.2", "2.8.5"]) {
    it(`tells the hash it has at once when a ${version} refuses a config`, async () => {
      await serve({ version });
      const { plane, session } = await connected({ version, behaviour: { rejects: true } });
      session.sendConfig(SMALL);
      await plane.until(() => plane.refused.length === 1);
      assert.deepEqual(plane.pings, [NO_HASH, NO_HASH]);
    });
  }

  it("stays empty and silent where the first config came before its database", async () => {
    const { plane, session } = await connected({ behaviour: { race: 2 } });
    session.sendConfig(SMALL);
    session.sendConfig(SMALL);
    await plane.until(() => plane.refused.length === 2);
    assert.deepEqual(plane.pings, [NO_HASH]);
    assert.equal(plane.hash, NO_HASH);
    session.sendConfig(SMALL);
    await plane.configured(SMALL_HASH);
    assert.deepEqual(plane.applied, [SMALL_HASH]);
  });

  it("reports a config it could not load where it is told to, which Kong's own control plane does not take", async () => {
    const { session } = await connected({ behaviour: { rejects: true, reportsErrors: true } });
    session.sendConfig(SMALL);
    const [, , report] = await session.received(3);
    assert.deepEqual(JSON.parse(String(report?.payload)), {
      type: "error",
      error: {
        name: "declarative configuration parse failure",
        source: "kong.db.declarative.parse_table",
        message: "declarative config is invalid",
        config_hash: SMALL_HASH,
      },
    });
    assert.deepEqual(session.violations, ["opcode 2 after basic_info"]);
  });

  it("loads the newest of the configs that came while it was busy", async () => {
    const { plane, session } = await connected({ behaviour: { applyMs: 7_000 } });
    for (const frame of [SMALL, frameOf("skipped"), RICH]) session.sendConfig(frame);
    await plane.until(() => plane.received.length === 3);
    await clock.advance(6_999);
    assert.deepEqual(plane.applied, []);
    await clock.advance(7_001);
    assert.deepEqual(plane.applied, [SMALL_HASH, RICH_HASH]);
  });

  it("finishes a config although the connection is gone, and tells of it on the next", async () => {
    const { plane, session } = await connected({ behaviour: { applyMs: 7_000 } });
    session.sendConfig(SMALL);
    await plane.until(() => plane.received.length === 1);
    session.drop();
    await plane.closed;
    await clock.advance(7_000);
    assert.deepEqual(plane.applied, [SMALL_HASH]);
    assert.deepEqual(plane.pings, [NO_HASH]);
    await plane.connect();
    assert.deepEqual(plane.pings, [NO_HASH, SMALL_HASH]);
  });

  it("adopts a hash for any message, which it counts and does not keep, where it is told to", async () => {
    const { plane, session } = await connected({ behaviour: { adopts: SMALL_HASH } });
    session.sendConfig(Buffer.alloc(300_000));
    await plane.configured(SMALL_HASH);
    session.sendConfig(Buffer.alloc(10));
    await plane.until(() => plane.pings.length === 3);
    assert.equal(plane.bytesReceived, 300_010);
    assert.deepEqual(plane.applied, [SMALL_HASH]);
    assert.deepEqual(plane.received, []);
  });

  it("sends what a test makes it send, and nothing else where it is told so", async () => {
    const quiet = dataPlane({ behaviour: { neverPings: true } });
    await quiet.connect();
    const first = await controlPlane.session(1);
    await first.received(1);
    first.sendConfig(SMALL);
    await quiet.until(() => quiet.applied.length === 1);
    await clock.advance(SILENCE_LIMIT_MS - 1);
    assert.deepEqual(quiet.pings, []);
    assert.equal(first.frames.length, 1);
    const mute = dataPlane({ behaviour: { silentAfterOpen: true } });
    await mute.connect();
    mute.send(PING, Buffer.from(NO_HASH));
    const second = await controlPlane.session(2);
    assert.equal((await second.received(1))[0]?.opcode, PING);
    assert.deepEqual(second.violations, ["the first frame must be binary"]);
  });
});
