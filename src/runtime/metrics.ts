/** Every metric name of this program; docs/operations.md says what an abnormal value means. */

import { Counter, Gauge, Histogram, Registry } from "prom-client";
import {
  type ExporterMetrics,
  type GateMetrics,
  REHEARSAL_OUTCOMES,
  type WriterMetrics,
  type WriterStatus,
} from "../exporter/metrics.ts";
import type { SidecarMetrics } from "../sidecar/metrics.ts";
import { createReplicaMetrics } from "./replica-metrics.ts";
import { createSidecarMetrics, type SidecarGauges } from "./sidecar-metrics.ts";

export interface Metrics {
  readonly registry: Registry;
  /** The exporter's series for one Kong version. */
  exporter(kongVersion: string): ExporterMetrics & GateMetrics;
  /** The series of each version in each store; `statuses` is asked at each scrape. */
  replicas(statuses: () => readonly WriterStatus[]): ReplicaMetrics;
  /** The sidecar's series; `gauges` is asked at each scrape. */
  sidecar(gauges: SidecarGauges): SidecarMetrics;
}

export interface ReplicaMetrics {
  /** `store`: its URL, without credentials. */
  writer(kongVersion: string, store: string): WriterMetrics;
}

export function createMetrics(): Metrics {
  const registry = new Registry();
  const registers = [registry];
  const labelNames = ["kong_version"];
  const connected = new Gauge({
    name: "kong_fallback_control_plane_connected",
    help: "1 while a session with the control plane is up.",
    labelNames,
    registers,
  });
  const received = new Counter({
    name: "kong_fallback_configs_received_total",
    help: "Well-formed configs received from the control plane.",
    labelNames,
    registers,
  });
  const rejected = new Counter({
    name: "kong_fallback_configs_rejected_total",
    help: "Frames that were no usable config, by error code.",
    labelNames: [...labelNames, "code"],
    registers,
  });
  const configBytes = new Gauge({
    name: "kong_fallback_config_bytes",
    help: "Length of the newest config received, unpacked.",
    labelNames,
    registers,
  });
  const savedAt = new Gauge({
    name: "kong_fallback_snapshot_saved_timestamp_seconds",
    help: "When the newest config was last known to be durably saved in at least one store, seconds since 1970.",
    labelNames,
    registers,
  });
  const saveDuration = new Histogram({
    name: "kong_fallback_save_duration_seconds",
    help: "How long it took to write a config, checks included. Configs that lie there already are not counted.",
    labelNames: [...labelNames, "store"],
    buckets: [0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60],
    registers,
  });
  const saveFailures = new Counter({
    name: "kong_fallback_save_failures_total",
    help: "Attempts to save a config that failed, by error code.",
    labelNames: [...labelNames, "store", "code"],
    registers,
  });
  const rehearsals = new Counter({
    name: "kong_fallback_rehearsals_total",
    help: "Rehearsals by result: passed, refused, or failed, which says nothing about the config.",
    labelNames: [...labelNames, "result"],
    registers,
  });
  const findings = new Gauge({
    name: "kong_fallback_config_findings",
    help: "What the static checks find wrong with the newest config that was to be saved.",
    labelNames,
    registers,
  });
  return {
    registry,
    replicas: (statuses) =>
      createReplicaMetrics(registry, { saveDuration, saveFailures }, statuses),
    sidecar: (gauges) => createSidecarMetrics(registry, gauges),
    exporter(kongVersion) {
      const labels = { kong_version: kongVersion };
      connected.set(labels, 0);
      received.inc(labels, 0);
      for (const result of REHEARSAL_OUTCOMES) rehearsals.inc({ ...labels, result }, 0);
      return {
        connected: (isUp) => connected.set(labels, isUp ? 1 : 0),
        received: (bytes) => {
          received.inc(labels);
          configBytes.set(labels, bytes);
        },
        rejected: (code) => rejected.inc({ ...labels, code }),
        rehearsed: (result) => rehearsals.inc({ ...labels, result }),
        checked: (count) => findings.set(labels, count),
        saved: (at) => savedAt.set(labels, at.getTime() / 1000),
      };
    },
  };
}
