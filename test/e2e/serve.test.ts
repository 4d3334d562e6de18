import assert from "node:assert/strict";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { describe, it } from "vitest";
import { snapshotOf, updateOf } from "../fakes/config.ts";
import { HandshakeRefused } from "../fakes/data-plane-dial.ts";
import { Gate, Sidecar } from "./sidecar.ts";
import { frameOf, Stage } from "./stage.ts";

const LOST = "control plane lost, new data planes are served from the snapshot";
const LOST_WITHOUT = "control plane lost, and there is no snapshot for new data planes";
const NO_STORE = { KONG_CLUSTER_FALLBACK_CONFIG_STORAGE: "" };
const NO_VERSION = { KONG_VERSION: "" };

const hashOf = (name: string) => updateOf(name).configHash ?? "";
const cacheOf = (stage: Stage) => stage.path("state", "snapshots", "3.9.1", "config.json");

describe("kong-fallback serve, with the control plane dead", () => {
  it("configures new data planes from the store, and after a restart without it from its own disk", async () => {
    await using stage = await Stage.open();
    await using gate = await Gate.shut();
    await stage.save(snapshotOf("a"));
    for (const [origin, environment] of [
      ["store", {}],
      ["disk", NO_STORE],
      // The versions kept on the disk are served though nobody names them.
      ["disk", NO_VERSION],
    ] as const) {
      await using sidecar = await Sidecar.start(stage, gate.port, environment);
      const plane = sidecar.plane();
      await plane.connect();
      await plane.configured(hashOf("a"));
      const said = await sidecar.run.logged("data plane configured from the snapshot");
      assert.equal(said["from"], origin);
      assert.deepEqual(plane.violations, []);
      assert.equal(await sidecar.stop(), 143);
      await rm(stage.path("store"), { recursive: true, force: true });
    }
  });

  it("serves what the store has where its own copy is corrupt, and says so", async () => {
    await using stage = await Stage.open();
    await using gate = await Gate.shut();
    await stage.save(snapshotOf("a"));
    await corruptCache(stage);
    await using sidecar = await Sidecar.start(stage, gate.port);
    const refused = await sidecar.run.logged("snapshot on the local disk is not used");
    assert.equal((refused["err"] as { code: string }).code, "SNAPSHOT_CORRUPT");
    const plane = sidecar.plane();
    await plane.connect();
    await plane.configured(hashOf("a"));
    assert.equal(await sidecar.stop(), 143);
    assert.deepEqual(await readFile(cacheOf(stage)), frameOf("a").configTable);
  });

  it("is not ready while it has nothing to serve, tells data planes 503, and is ready as soon as the store has something", async () => {
    await using stage = await Stage.open();
    await using gate = await Gate.shut();
    await corruptCache(stage);
    await using sidecar = await Sidecar.start(stage, gate.port);
    await sidecar.run.logged(LOST_WITHOUT);
    assert.deepEqual(await sidecar.get("/readyz"), {
      status: 503,
      body: "the control plane is not live, and there is no usable snapshot for Kong 3.9.1\n",
    });
    assert.equal((await sidecar.get("/livez")).status, 200);
    const refusal = await sidecar
      .plane()
      .connect()
      .catch((error: unknown) => error);
    assert.ok(refusal instanceof HandshakeRefused);
    assert.equal(refusal.status, 503);
    assert.ok(refusal.headers.has("retry-after"));
    const told = await sidecar.run.logged("data plane gets no config");
    assert.match(String(told["reason"]), /no snapshot for Kong 3\.9\.1.*run an exporter/);

    await stage.save(snapshotOf("a"));
    await sidecar.run.logged("snapshot taken from the store");
    assert.deepEqual(await sidecar.get("/readyz"), { status: 200, body: "ready\n" });
    const plane = sidecar.plane();
    await plane.connect();
    await plane.configured(hashOf("a"));
  });

  it("tells its state, its planes and its snapshots, and no secret", async () => {
    await using stage = await Stage.open();
    await using gate = await Gate.shut();
    const canary = "canary-of-the-config";
    await stage.save(snapshotOf(canary));
    await using sidecar = await Sidecar.start(stage, gate.port);
    const plane = sidecar.plane({ hostname: "dp-1" });
    await plane.connect();
    await sidecar.run.logged("data plane configured from the snapshot");
    const { since, snapshots, dataPlanes, ...rest } = await sidecar.status();
    assert.ok(Date.parse(String(since)) <= Date.now());
    assert.deepEqual(Object.keys(rest), ["state", "controlPlane", "reason", "code"]);
    assert.equal(rest["state"], "fallback");
    assert.equal(rest["controlPlane"], `127.0.0.1:${gate.port}`);
    assert.equal(rest["code"], "SOURCE_UNREACHABLE");
    const { exportedAt, controlPlaneTimestamp, bytes } = snapshotOf(canary).metadata;
    const [{ ageSeconds, ...snapshot } = { ageSeconds: -1 }] = snapshots as {
      ageSeconds: number;
    }[];
    assert.ok(ageSeconds >= 0);
    assert.deepEqual(snapshot, {
      kongVersion: "3.9.1",
      configHash: hashOf(canary),
      bytes,
      origin: "store",
      controlPlaneTimestamp,
      takenAt: exportedAt.toISOString(),
      confirmedAt: exportedAt.toISOString(),
    });
    const [{ connectedAt, since: inStateSince, ...seen } = {}] = dataPlanes as object &
      {
        connectedAt?: string;
        since?: string;
      }[];
    assert.ok(Date.parse(connectedAt ?? "") <= Date.parse(inStateSince ?? ""));
    assert.deepEqual(seen, {
      nodeId: plane.nodeId,
      hostname: "dp-1",
      version: "3.9.1",
      state: "fallback",
      configHash: hashOf(canary),
    });
    const metrics = (await sidecar.get("/metrics")).body;
    for (const line of [
      'kong_fallback_upstream_state{state="fallback"} 1',
      'kong_fallback_upstream_state{state="live"} 0',
      'kong_fallback_data_planes{state="fallback"} 1',
      'kong_fallback_data_planes{state="live"} 0',
      "kong_fallback_serve_duration_seconds_count 1",
    ]) {
      assert.ok(metrics.includes(line), line);
    }
    assert.match(metrics, /kong_fallback_snapshot_age_seconds\{kong_version="3\.9\.1"\} \d+\n/);
    assert.equal(await sidecar.stop(), 143);
    const told = `${JSON.stringify({ snapshots, dataPlanes, rest })}${metrics}${sidecar.run.stderr}`;
    const secrets = stage.pair.key
      .reveal()
      .split("\n")
      .filter((line) => line.length > 20);
    for (const secret of [canary, ...secrets]) assert.ok(!told.includes(secret));
    assert.equal(sidecar.run.log.length, sidecar.run.stderr.length, "only JSON lines");
  });
});

describe("kong-fallback serve, between data planes and a control plane", () => {
  it("relays, remembers, keeps its planes when the control plane is killed, serves new ones, and moves all to it when it is back", async () => {
    await using stage = await Stage.open();
    await using gate = await Gate.shut();
    await stage.save(snapshotOf("old"));
    const nowSeconds = Math.floor(Date.now() / 1000);
    const first = frameOf("first", nowSeconds);
    await using controlPlane = await stage.controlPlane({ config: first.frame });
    await gate.open(controlPlane.address);
    await using sidecar = await Sidecar.start(stage, gate.port);
    const early = sidecar.plane({ hostname: "early" });
    await early.connect();
    await early.configured(hashOf("first"));
    assert.deepEqual(early.received[0]?.frame, first.frame);
    const requests = controlPlane.sessions.map(({ request }) => request.url);
    const own = `/v1/outlet?node_id=${early.nodeId}&node_hostname=early&node_version=3.9.1`;
    assert.equal(requests.filter((url) => url === own).length, 1);
    await sidecar.run.logged("config of the control plane remembered");
    assert.equal((await sidecar.status())["state"], "live");

    await gate.shut();
    await sidecar.run.logged(LOST);
    const late = sidecar.plane({ hostname: "late" });
    await late.connect();
    await late.configured(hashOf("first"));
    const served = await sidecar.run.logged("data plane configured from the snapshot");
    assert.equal(served["from"], "memory");
    assert.equal((await sidecar.get("/readyz")).status, 200);

    const second = frameOf("second", nowSeconds + 1);
    await using restarted = await stage.controlPlane({ config: second.frame });
    await gate.open(restarted.address);
    for (const plane of [early, late]) {
      await plane.configured(hashOf("second"));
      assert.equal(plane.connections, 1);
      assert.deepEqual(plane.applied, [hashOf("first"), hashOf("second")]);
      assert.deepEqual(plane.violations, []);
    }
    for (const { violations } of restarted.sessions) assert.deepEqual(violations, []);
    assert.equal((await sidecar.status())["state"], "live");

    assert.equal(await sidecar.stop(), 143);
    assert.deepEqual(await readFile(cacheOf(stage)), second.configTable);
    assert.deepEqual(await stage.saved(), frameOf("old").configTable, "the store is read only");
  });

  it("keeps on disk what came in the moment it was told to stop", async () => {
    await using stage = await Stage.open();
    const { frame, configTable } = frameOf("last", Math.floor(Date.now() / 1000));
    await using controlPlane = await stage.controlPlane({ config: frame });
    await using sidecar = await Sidecar.start(stage, controlPlane.address.port, NO_STORE);
    const plane = sidecar.plane();
    await plane.connect();
    await plane.until(() => plane.received.length > 0);
    assert.equal(await sidecar.stop(), 143);
    assert.deepEqual(await readFile(cacheOf(stage)), configTable);
  });

  it("remembers nothing where it is told not to", async () => {
    await using stage = await Stage.open();
    await using gate = await Gate.shut();
    const { frame } = frameOf("live", Math.floor(Date.now() / 1000));
    await using controlPlane = await stage.controlPlane({ config: frame });
    await gate.open(controlPlane.address);
    const environment = { ...NO_STORE, KONG_FALLBACK_REMEMBER: "off" };
    await using sidecar = await Sidecar.start(stage, gate.port, environment);
    const plane = sidecar.plane();
    await plane.connect();
    await plane.configured(hashOf("live"));
    await gate.shut();
    await sidecar.run.logged(LOST_WITHOUT);
    assert.equal((await sidecar.get("/readyz")).status, 503);
    assert.equal(await sidecar.stop(), 143);
    await assert.rejects(readFile(cacheOf(stage)), { code: "ENOENT" });
  });
});

/** What a torn write of somebody else, or a bad disk, may leave. */
async function corruptCache(stage: Stage): Promise<void> {
  await mkdir(stage.path("state", "snapshots", "3.9.1"), { recursive: true });
  await writeFile(cacheOf(stage), '{"_format_version":"3.0","serv');
}
