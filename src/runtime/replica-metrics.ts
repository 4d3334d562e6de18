/** The exporter's series for each Kong version in each store. */

import { Counter, Gauge, type Histogram, type Registry } from "prom-client";
import { GATES, type WriterMetrics, type WriterStatus } from "../exporter/metrics.ts";

/** Those that are known already. */
export interface SaveMetrics {
  readonly saveDuration: Histogram;
  readonly saveFailures: Counter;
}

/** `statuses` is asked at each scrape. */
export function createReplicaMetrics(
  registry: Registry,
  { saveDuration, saveFailures }: SaveMetrics,
  statuses: () => readonly WriterStatus[],
): { writer(kongVersion: string, store: string): WriterMetrics } {
  const registers = [registry];
  const labelNames = ["store", "kong_version"];
  const gauge = (
    name: string,
    help: string,
    measure: (status: WriterStatus) => number | undefined,
  ) =>
    new Gauge({
      name,
      help,
      labelNames,
      registers,
      collect() {
        this.reset();
        for (const status of statuses()) {
          const value = measure(status);
          const { store, kongVersion } = status;
          if (value !== undefined) this.set({ store, kong_version: kongVersion }, value);
        }
      },
    });
  gauge(
    "kong_fallback_replica_lag_seconds",
    "Since when the store lacks the newest config received; 0 if it has it. Missing while another exporter holds the lease.",
    ({ lagMs }) => (lagMs === undefined ? undefined : lagMs / 1000),
  );
  gauge(
    "kong_fallback_lease_held",
    "1 while this exporter holds the lease and writes.",
    ({ leadership }) => (leadership?.kind === "holder" ? 1 : 0),
  );
  gauge(
    "kong_fallback_lease_token",
    "Fencing token of the lease that this exporter holds. Missing while it holds none.",
    ({ leadership }) => (leadership?.kind === "holder" ? leadership.token : undefined),
  );
  new Gauge({
    name: "kong_fallback_config_held",
    help: "1 while this exporter holds the lease and a config back, by what holds it: guard, checks or rehearsal.",
    labelNames: [...labelNames, "by"],
    registers,
    collect() {
      this.reset();
      for (const { store, kongVersion, heldBy } of statuses()) {
        for (const by of GATES) {
          this.set({ store, kong_version: kongVersion, by }, heldBy === by ? 1 : 0);
        }
      }
    },
  });
  const held = new Counter({
    name: "kong_fallback_configs_held_total",
    help: "Configs held back, by what held them.",
    labelNames: [...labelNames, "by"],
    registers,
  });
  return {
    writer(kongVersion, store) {
      const labels = { store, kong_version: kongVersion };
      for (const by of GATES) held.inc({ ...labels, by }, 0);
      return {
        wrote: (durationMs) => saveDuration.observe(labels, durationMs / 1000),
        saveFailed: (code) => saveFailures.inc({ ...labels, code }),
        held: (by) => held.inc({ ...labels, by }),
      };
    },
  };
}
