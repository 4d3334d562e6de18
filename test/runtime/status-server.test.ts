import assert from "node:assert/strict";
import { Registry } from "prom-client";
import { describe, it } from "vitest";
import { ListenError } from "../../src/core/listen-error.ts";
import { createMetrics } from "../../src/runtime/metrics.ts";
import { type StatusServerOptions, startStatusServer } from "../../src/runtime/status-server.ts";

/** With nothing to tell but `changes`, and a way to ask it. */
async function statusServer(changes: Partial<StatusServerOptions> = {}) {
  const server = await startStatusServer({
    listen: { host: "127.0.0.1", port: 0 },
    registry: new Registry(),
    notReady: () => undefined,
    ...changes,
  });
  const get = async (path: string) => {
    const response = await fetch(`http://127.0.0.1:${server.port}${path}`);
    return { status: response.status, body: await response.text() };
  };
  return { server, get };
}

describe("the status server", () => {
  it("answers probes and scrapes", async () => {
    const metrics = createMetrics();
    const exporter = metrics.exporter("3.9.1");
    let reason: string | undefined = "3.9.1: nothing is saved yet";
    const { server, get } = await statusServer({
      registry: metrics.registry,
      notReady: () => reason,
    });
    await using _ = server;
    assert.equal((await get("/livez")).status, 200);
    assert.deepEqual(await get("/readyz"), { status: 503, body: `${reason}\n` });
    reason = undefined;
    assert.equal((await get("/readyz")).status, 200);
    assert.equal((await get("/secrets")).status, 404);

    exporter.connected(true);
    exporter.received(10);
    exporter.rejected("FRAME_NOT_JSON");
    exporter.saved(new Date(1_795_220_000_000));
    exporter.confirmed(new Date(1_795_220_001_000));
    exporter.withheld(true);
    const writer = metrics.replicas(() => []).writer("3.9.1", "s3://bucket");
    writer.wrote(20);
    writer.saveFailed("STORE_DENIED");
    const { body } = await get("/metrics");
    for (const line of [
      'kong_fallback_control_plane_connected{kong_version="3.9.1"} 1',
      'kong_fallback_configs_received_total{kong_version="3.9.1"} 1',
      'kong_fallback_configs_rejected_total{kong_version="3.9.1",code="FRAME_NOT_JSON"} 1',
      'kong_fallback_config_confirmed_timestamp_seconds{kong_version="3.9.1"} 1795220001',
      'kong_fallback_config_withheld{kong_version="3.9.1"} 1',
      'kong_fallback_config_bytes{kong_version="3.9.1"} 10',
      'kong_fallback_snapshot_saved_timestamp_seconds{kong_version="3.9.1"} 1795220000',
      'kong_fallback_save_duration_seconds_count{store="s3://bucket",kong_version="3.9.1"} 1',
      'kong_fallback_save_failures_total{store="s3://bucket",kong_version="3.9.1",code="STORE_DENIED"} 1',
    ]) {
      assert.ok(body.includes(line), line);
    }
  });

  it("tells details of being ready, or not", async () => {
    let reason: string | undefined = "nothing is saved yet";
    const { server, get } = await statusServer({
      notReady: () => reason,
      details: () => ["Kong 3.9.1: never confirmed"],
    });
    await using _ = server;
    const details = "Kong 3.9.1: never confirmed\n";
    assert.deepEqual(await get("/readyz"), { status: 503, body: `${reason}\n${details}` });
    reason = undefined;
    assert.deepEqual(await get("/readyz"), { status: 200, body: `ready\n${details}` });
  });

  it("tells a report where there is one, made at each request", async () => {
    let planes = 1;
    const { server, get } = await statusServer({ report: () => ({ planes }) });
    await using _ = server;
    assert.deepEqual(JSON.parse((await get("/status.json?pretty")).body), { planes: 1 });
    planes = 2;
    assert.deepEqual(JSON.parse((await get("/status.json")).body), { planes: 2 });
    assert.match((await get("/")).body, /\/status\.json/);
    const without = await statusServer();
    await using __ = without.server;
    const { status, body } = await without.get("/status.json");
    assert.equal(status, 404);
    assert.equal(body, "there are /livez, /readyz, /metrics\n");
  });

  it("outlives what it cannot tell, and quotes nothing of it", async () => {
    const fail = () => {
      throw new Error("canary");
    };
    const { server, get } = await statusServer({ notReady: fail, report: fail });
    await using _ = server;
    for (const path of ["/readyz", "/status.json"]) {
      const { status, body } = await get(path);
      assert.equal(status, 500);
      assert.ok(!body.includes("canary"));
    }
    assert.equal((await get("/livez")).status, 200);
  });

  it("says that its address is taken, and is disposed of twice without harm", async () => {
    const { server } = await statusServer();
    const listen = { host: "127.0.0.1", port: server.port };
    await assert.rejects(statusServer({ listen }), (error) => {
      assert.ok(error instanceof ListenError);
      return /EADDRINUSE/.test(error.message);
    });
    await server[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
  });
});
