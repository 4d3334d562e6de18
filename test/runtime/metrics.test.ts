import assert from "node:assert/strict";
import { describe, it } from "vitest";
import type { WriterStatus } from "../../src/exporter/metrics.ts";
import { createMetrics } from "../../src/runtime/metrics.ts";
import { V391 } from "../fakes/config.ts";

describe("the metrics of an exporter's replicas", () => {
  it("tell lag, lease and hold of each store as they are at the scrape", async () => {
    const { registry, replicas } = createMetrics();
    const unknown = { heldBy: undefined, refusedBy: undefined, unseenMs: undefined };
    const common = { kongVersion: V391, ...unknown };
    let statuses: readonly WriterStatus[] = [
      {
        ...common,
        store: "s3://a",
        leadership: { kind: "holder", token: 7 },
        lagMs: 1_500,
        unseenMs: 2_500,
        heldBy: "rehearsal",
      },
      {
        ...common,
        store: "s3://b",
        leadership: { kind: "follower", holder: "x" },
        lagMs: undefined,
      },
    ];
    const { held, mended } = replicas(() => statuses).writer("3.9.1", "s3://a");
    held("guard");
    mended();
    const [a, b] = [
      `{store="s3://a",kong_version="3.9.1"}`,
      `{store="s3://b",kong_version="3.9.1"}`,
    ];
    const text = await registry.metrics();
    for (const line of [
      `kong_fallback_replica_lag_seconds${a} 1.5`,
      `kong_fallback_current_unseen_seconds${a} 2.5`,
      `kong_fallback_current_mended_total${a} 1`,
      `kong_fallback_lease_held${a} 1`,
      `kong_fallback_lease_held${b} 0`,
      `kong_fallback_lease_token${a} 7`,
      `kong_fallback_config_held{store="s3://a",kong_version="3.9.1",by="rehearsal"} 1`,
      `kong_fallback_config_held{store="s3://a",kong_version="3.9.1",by="guard"} 0`,
      `kong_fallback_config_held{store="s3://b",kong_version="3.9.1",by="rehearsal"} 0`,
      `kong_fallback_configs_held_total{store="s3://a",kong_version="3.9.1",by="guard"} 1`,
    ]) {
      assert.ok(text.includes(line), line);
    }
    assert.ok(!text.includes(`kong_fallback_replica_lag_seconds${b}`));
    assert.ok(!text.includes(`kong_fallback_lease_token${b}`));
    statuses = [];
    assert.ok(!(await registry.metrics()).includes(`kong_fallback_lease_held${a}`));
  });
});

describe("the sidecar's metrics", () => {
  it("tell one state at a time, and count what happens", async () => {
    const { registry, sidecar } = createMetrics();
    const metrics = sidecar({
      dataPlanes: () => ({}),
      snapshotAges: () => ({}),
      heldBack: () => ({}),
    });
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
    sidecar({ dataPlanes: () => ({ live }), snapshotAges: () => ages, heldBack: () => ({}) });
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
