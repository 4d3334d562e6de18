/** The sidecar's metric names. */

import { Counter, Gauge, Histogram, type Registry } from "prom-client";
import type { SidecarMetrics } from "../sidecar/metrics.ts";

/** What is counted at the moment of a scrape. */
export interface SidecarGauges {
  /** Data planes connected, by state. */
  readonly dataPlanes: () => Readonly<Record<string, number>>;
  /** Age of the snapshot that would be served, seconds, by Kong version; versions of unknown age are left out. */
  readonly snapshotAges: () => Readonly<Record<string, number>>;
}

const STATES = ["connecting", "live", "fallback"] as const;

export function createSidecarMetrics(registry: Registry, gauges: SidecarGauges): SidecarMetrics {
  const registers = [registry];
  const upstream = new Gauge({
    name: "kong_fallback_upstream_state",
    help: "1 for the state the control plane is in, as seen from here: connecting, live or fallback.",
    labelNames: ["state"],
    registers,
  });
  new Gauge({
    name: "kong_fallback_data_planes",
    help: "Data planes connected, by where their config comes from.",
    labelNames: ["state"],
    registers,
    collect() {
      for (const [state, count] of Object.entries(gauges.dataPlanes())) this.set({ state }, count);
    },
  });
  new Gauge({
    name: "kong_fallback_snapshot_age_seconds",
    help: "Age of the snapshot that is served while the control plane is lost.",
    labelNames: ["kong_version"],
    registers,
    collect() {
      this.reset();
      for (const [version, age] of Object.entries(gauges.snapshotAges())) {
        this.set({ kong_version: version }, age);
      }
    },
  });
  const served = new Histogram({
    name: "kong_fallback_serve_duration_seconds",
    help: "From offering a snapshot to a data plane to its report that it runs it.",
    buckets: [0.1, 0.5, 1, 2, 5, 10, 30, 60, 120],
    registers,
  });
  const counter = (name: string, help: string) => new Counter({ name, help, registers });
  const resent = counter(
    "kong_fallback_configs_resent_total",
    "Configs sent again because the data plane did not report them.",
  );
  const rejected = counter(
    "kong_fallback_configs_not_taken_total",
    "Configs that a data plane did not take, however often they were sent.",
  );
  const unserved = counter(
    "kong_fallback_data_planes_unserved_total",
    "Times a data plane was given no config: none for its version, or one it cannot take.",
  );
  return {
    upstream: (current) => {
      for (const state of STATES) upstream.set({ state }, state === current ? 1 : 0);
    },
    served: (durationMs) => served.observe(durationMs / 1000),
    resent: () => resent.inc(),
    rejected: () => rejected.inc(),
    unserved: () => unserved.inc(),
  };
}
