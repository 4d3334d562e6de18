import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { createMetrics } from "../../src/runtime/metrics.ts";

describe("the sidecar's metrics", () => {
  it("tell one state at a time, and count what happens", async () => {
    const { registry, sidecar } = createMetrics();
    const metrics = sidecar({ dataPlanes: () => ({}), snapshotAges: () => ({}) });
    metrics.upstream("connecting");
    metrics.upstream("live");
    metrics.served(1_500);
    metrics.resent();
    metrics.rejected();
    metrics.unserved();
    const text = await registry.metrics();
    for (const line of [
      'kong_fallback_upstream_state{state="connecting"} 0',
      'kong_fallback_upstream_state{state="live"} 1',
      'kong_fallback_upstream_state{state="fallback"} 0',
      "kong_fallback_serve_duration_seconds_sum 1.5",
      "kong_fallback_configs_resent_total 1",
      "kong_fallback_configs_not_taken_total 1",
      "kong_fallback_data_planes_unserved_total 1",
    ]) {
      assert.ok(text.split("\n").includes(line), line);
    }
  });

  it("ask at each scrape, and forget a version whose age is not known any more", async () => {
    const { registry, sidecar } = createMetrics();
    let ages: Record<string, number> = { "3.8.1": 7, "3.9.1": 9 };
    let live = 1;
    sidecar({ dataPlanes: () => ({ live }), snapshotAges: () => ages });
    const first = await registry.metrics();
    assert.match(first, /^kong_fallback_snapshot_age_seconds\{kong_version="3\.8\.1"\} 7$/m);
    assert.match(first, /^kong_fallback_data_planes\{state="live"\} 1$/m);
    ages = { "3.9.1": 10 };
    live = 2;
    const second = await registry.metrics();
    assert.doesNotMatch(second, /3\.8\.1/);
    assert.match(second, /^kong_fallback_snapshot_age_seconds\{kong_version="3\.9\.1"\} 10$/m);
    assert.match(second, /^kong_fallback_data_planes\{state="live"\} 2$/m);
  });
});
