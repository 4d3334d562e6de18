import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { createMetrics } from "../../src/runtime/metrics.ts";
import { startStatusServer } from "../../src/runtime/status-server.ts";

describe("the status server", () => {
  it("answers probes and scrapes", async () => {
    const metrics = createMetrics();
    const exporter = metrics.exporter("3.9.1");
    let reason: string | undefined = "3.9.1: nothing is saved yet";
    await using server = await startStatusServer({
      listen: { host: "127.0.0.1", port: 0 },
      registry: metrics.registry,
      notReady: () => reason,
    });
    const get = async (path: string) => {
      const response = await fetch(`http://127.0.0.1:${server.port}${path}`);
      return { status: response.status, body: await response.text() };
    };
    assert.equal((await get("/livez")).status, 200);
    assert.deepEqual(await get("/readyz"), { status: 503, body: `${reason}\n` });
    reason = undefined;
    assert.equal((await get("/readyz")).status, 200);
    assert.equal((await get("/secrets")).status, 404);

    exporter.connected(true);
    exporter.received(10);
    exporter.rejected("FRAME_NOT_JSON");
    exporter.saved(new Date(1_795_220_000_000));
    exporter.wrote(20);
    exporter.saveFailed("STORE_DENIED");
    const { body } = await get("/metrics");
    for (const line of [
      'kong_fallback_control_plane_connected{kong_version="3.9.1"} 1',
      'kong_fallback_configs_received_total{kong_version="3.9.1"} 1',
      'kong_fallback_configs_rejected_total{kong_version="3.9.1",code="FRAME_NOT_JSON"} 1',
      'kong_fallback_config_bytes{kong_version="3.9.1"} 10',
      'kong_fallback_snapshot_saved_timestamp_seconds{kong_version="3.9.1"} 1795220000',
      'kong_fallback_save_duration_seconds_count{kong_version="3.9.1"} 1',
      'kong_fallback_save_failures_total{kong_version="3.9.1",code="STORE_DENIED"} 1',
    ]) {
      assert.ok(body.includes(line), line);
    }
  });
});
