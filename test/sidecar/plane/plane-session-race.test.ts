import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { V391 } from "../../fakes/config.ts";
import { BINARY } from "../../fakes/websocket-frames.ts";
import { SMALL } from "../../source/harness.ts";
import { largeConfig, recorded, Stage } from "../stage.ts";

const T0 = 1_795_220_000;
const AGAIN = "data plane did not report the config it was sent, sent it again";
const REJECTS = "data plane rejects the config";

describe("a data plane that loses the config because its database is not made yet", () => {
  it("is sent it again after 10 s, and is configured", async () => {
    await using stage = await Stage.open();
    const { configHash } = await stage.shelve("a");
    const plane = await stage.plane({ behaviour: { race: 1 } });
    await plane.until(() => plane.refused.length === 1);
    await stage.pass(9_999);
    assert.equal(plane.received.length, 1);
    await stage.pass(1);
    await plane.configured(configHash);
    const [first, second] = plane.received;
    assert.deepEqual(second?.frame, first?.frame);
    assert.deepEqual((await stage.said(AGAIN))["sends"], 2);
    await stage.said("data plane configured from the snapshot");
    assert.deepEqual(stage.counts, { served: 1, resent: 1, rejected: 0, unserved: 0 });
    await stage.pass(60_000);
    assert.equal(plane.received.length, 2);
  });

  it("twice is sent it a third time, another 20 s later", async () => {
    await using stage = await Stage.open();
    const { configHash } = await stage.shelve("a");
    const plane = await stage.plane({ behaviour: { race: 2 } });
    await plane.until(() => plane.refused.length === 1);
    await stage.pass(10_000);
    await plane.until(() => plane.refused.length === 2);
    await stage.pass(19_999);
    assert.equal(plane.received.length, 2);
    await stage.pass(1);
    await plane.configured(configHash);
  });

  it("is given longer for a large config: 10 s for each MiB", async () => {
    await using stage = await Stage.open();
    const { frame, snapshot, configHash } = largeConfig("large", 3 * 2 ** 20);
    await stage.put(snapshot, frame);
    const plane = await stage.plane({ behaviour: { race: 1 } });
    await plane.until(() => plane.refused.length === 1);
    await stage.pass(39_999);
    assert.equal(plane.received.length, 1);
    await stage.pass(1);
    await plane.configured(configHash);
    assert.equal(plane.received.length, 2);
  });

  it("is sent it again no sooner where it pings its old hash at once, as 3.4.2 does", async () => {
    await using stage = await Stage.open();
    const { configHash } = await stage.shelve("a");
    const plane = await stage.plane({ behaviour: { race: 1, pingsOldHashAfterRefusal: true } });
    await plane.until(() => plane.pings.length === 2);
    await stage.pass(9_999);
    assert.equal(plane.received.length, 1);
    await stage.pass(1);
    await plane.configured(configHash);
  });

  it("is sent the live one again from memory, where what passes is remembered", async () => {
    await using stage = await Stage.open({ behind: { config: SMALL } });
    const plane = await stage.plane({ behaviour: { race: 1 } });
    await plane.until(() => plane.refused.length === 1);
    await stage.said("config of the control plane remembered");
    await stage.pass(10_000);
    await plane.configured();
    assert.deepEqual(
      plane.received.map(({ frame }) => frame),
      [SMALL, SMALL],
    );
    assert.equal((await stage.sessionOf(plane)).state.kind, "live");
    assert.deepEqual((await stage.upstreamOf(plane)).pings.at(-1), plane.hash);
    assert.equal(stage.passed.length, 1);
    assert.deepEqual(stage.counts, { served: 0, resent: 1, rejected: 0, unserved: 0 });
    await stage.pass(60_000);
    assert.equal(plane.received.length, 2);
  });

  it("is sent again what the control plane sent, though that lost too much to be remembered", async () => {
    await using stage = await Stage.open({ behind: { config: SMALL }, guard: () => ["too much"] });
    await stage.shelve("before");
    const plane = await stage.plane({ behaviour: { race: 1 } });
    await plane.until(() => plane.refused.length === 1);
    await stage.until(() => stage.shelf.held(V391) !== undefined);
    await stage.pass(10_000);
    await plane.configured();
    assert.deepEqual(
      plane.received.map(({ frame }) => frame),
      [SMALL, SMALL],
    );
  });

  it("is not sent it again where it runs one, however often the control plane repeats itself", async () => {
    await using stage = await Stage.open({ behind: { config: SMALL } });
    const plane = await stage.plane();
    await plane.configured();
    const session = await stage.sessionOf(plane);
    await stage.until(() => session.hash === plane.hash);
    (await stage.upstreamOf(plane)).sendConfig(SMALL);
    await plane.until(() => plane.received.length === 2);
    await stage.pass(60_000);
    assert.deepEqual([plane.received.length, stage.counts.resent], [2, 0]);
  });

  it("stays as it is where nothing is remembered", async () => {
    await using stage = await Stage.open({ behind: { config: SMALL }, remembers: false });
    const plane = await stage.plane({ behaviour: { race: 1 } });
    await plane.until(() => plane.refused.length === 1);
    await stage.pass(60_000);
    assert.equal(plane.received.length, 1);
    assert.equal(stage.log.find(AGAIN).length, 0);
  });
});

describe("a data plane that does not take a config", () => {
  it("is reported after three sends, once, and left in peace until there is a newer one", async () => {
    await using stage = await Stage.open();
    const { configHash: bad } = await stage.shelve("bad");
    const rejects = (table: object) => JSON.stringify(table).includes("bad");
    const plane = await stage.plane({ behaviour: { rejects } });
    await plane.until(() => plane.refused.length === 1);
    await stage.pass(10_000);
    await plane.until(() => plane.refused.length === 2);
    await stage.pass(20_000);
    await plane.until(() => plane.refused.length === 3);
    assert.equal(stage.log.find("error").length, 0);
    await stage.pass(40_000);
    const { nodeId, configHash, from, hint } = await stage.said(REJECTS);
    assert.deepEqual([nodeId, configHash, from], [plane.nodeId, bad, "store"]);
    assert.match(`${hint}`, /unable to update running config/);
    await stage.pass(300_000);
    await stage.settled(plane);
    assert.equal(plane.received.length, 3);
    assert.equal(stage.log.find("error").length, 1);
    assert.deepEqual(stage.counts, { served: 0, resent: 2, rejected: 1, unserved: 0 });
    const { configHash: good } = await stage.shelve("good", { controlPlaneTimestamp: T0 + 1 });
    await plane.configured(good);
    await stage.said("data plane configured from the snapshot");
  });

  it("keeps the older one of ours, and is tried with the next", async () => {
    await using stage = await Stage.open();
    const { configHash: first } = await stage.shelve("good");
    const rejects = (table: object) => JSON.stringify(table).includes("bad");
    const plane = await stage.plane({ behaviour: { rejects } });
    await plane.configured(first);
    await stage.said("data plane configured from the snapshot");
    await stage.shelve("bad", { controlPlaneTimestamp: T0 + 1 });
    for (const [count, ms] of [
      [1, 10_000],
      [2, 20_000],
      [3, 40_000],
    ] as const) {
      await plane.until(() => plane.refused.length === count);
      await stage.pass(ms);
    }
    await stage.said(REJECTS);
    const { configHash: third } = await stage.shelve("fine", { controlPlaneTimestamp: T0 + 2 });
    await plane.configured(third);
  });

  it("of the live control plane is reported as that", async () => {
    const { frame, configHash } = await recorded("3.9.1/small.reconfigure.bin");
    await using stage = await Stage.open({ behind: { config: frame } });
    const plane = await stage.plane({ behaviour: { rejects: true } });
    await stage.said("config of the control plane remembered");
    for (const [count, ms] of [
      [1, 10_000],
      [2, 20_000],
      [3, 40_000],
    ] as const) {
      await plane.until(() => plane.refused.length === count);
      await stage.pass(ms);
    }
    assert.equal((await stage.said(REJECTS))["from"], "control plane");
    assert.deepEqual(plane.refused, [configHash, configHash, configHash]);
  });

  it("and reports an error as Konnect's do has it logged without values, and stays connected", async () => {
    await using stage = await Stage.open();
    await stage.shelve("a");
    const plane = await stage.plane({ behaviour: { rejects: true, reportsErrors: true } });
    const { name, nodeId } = await stage.said("data plane could not take a config");
    assert.deepEqual([name, nodeId], ["declarative configuration parse failure", plane.nodeId]);
    const flattened_errors = [
      {
        entity_type: "keyauth_credential",
        entity_id: "c7f1",
        entity: { key: "very-secret-key" },
        errors: [{ field: "key", message: "'very-secret-key' is not unique" }],
      },
    ];
    const report = { type: "error", error: { name: "reload", flattened_errors } };
    plane.send(BINARY, Buffer.from(JSON.stringify(report)));
    const { reasons } = await stage.said("data plane could not take a config", 2);
    assert.deepEqual(reasons, [
      "keyauth_credential \"c7f1\", field key: '[redacted]' is not unique",
    ]);
    await stage.settled(plane);
    assert.ok(plane.isConnected);
    assert.ok(!JSON.stringify(stage.log.lines).includes("very-secret"));
  });

  it("has its error report passed on to the live control plane, byte for byte", async () => {
    await using stage = await Stage.open({ behind: { config: SMALL, takesAnything: true } });
    const plane = await stage.plane({ behaviour: { rejects: true, reportsErrors: true } });
    await stage.said("data plane could not take a config");
    const upstream = await stage.upstreamOf(plane);
    const isReport = (payload: Buffer) => payload.includes('"type":"error"');
    await stage.until(() => upstream.frames.some(({ payload }) => isReport(payload)));
    const report = upstream.frames.find(({ payload }) => isReport(payload));
    assert.equal(report?.opcode, BINARY);
  });
});
