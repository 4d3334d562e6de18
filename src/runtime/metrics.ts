/** Every metric name of this program; docs/operations.md says what an abnormal value means. */

import { Counter, Gauge, Histogram, Registry } from "prom-client";
import {
  type ExporterMetrics,
  GATES,
  type GateMetrics,
  REHEARSAL_OUTCOMES,
  type WriterMetrics,
  type WriterStatus,
} from "../exporter/metrics.ts";
import type { SidecarMetrics } from "../sidecar/metrics.ts";

export interface Metrics {
  readonly registry: Registry;
  /** The exporter's series for one Kong version. */
  exporter(kongVersion: string): ExporterMetrics & GateMetrics;
  /** The series of each version in each store; `statuses` is asked at each scrape. */
  replicas(statuses: () => readonly WriterStatus[]): ReplicaMetrics;
  /** The sidecar's series; `gauges` is asked at each scrape. */
  sidecar(gauges: SidecarGauges): SidecarMetrics;
}

/** What is counted at the moment of a scrape. */
export interface SidecarGauges {
  /** Data planes connected, by state. */
  readonly dataPlanes: () => Readonly<Record<string, number>>;
  /** Age of the snapshot that would be served, seconds, by Kong version; versions of unknown age are left out. */
  readonly snapshotAges: () => Readonly<Record<string, number>>;
  /** By Kong version: whether the control plane's config is passed on, but not remembered. */
  readonly heldBack: () => Readonly<Record<string, boolean>>;
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
  const confirmedAt = new Gauge({
    name: "kong_fallback_config_confirmed_timestamp_seconds",
    help: "When the newest config received was last known to be what the control plane has, seconds since 1970.",
    labelNames,
    registers,
  });
  const withheld = new Gauge({
    name: "kong_fallback_config_withheld",
    help: "1 while the control plane is known to have a config that it does not give to this exporter, or that cannot be used.",
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
      withheld.set(labels, 0);
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
        confirmed: (at) => confirmedAt.set(labels, at.getTime() / 1000),
        withheld: (isSo) => withheld.set(labels, isSo ? 1 : 0),
        saved: (at) => savedAt.set(labels, at.getTime() / 1000),
      };
    },
  };
}

/** Those that are known already. */
interface SaveMetrics {
  readonly saveDuration: Histogram;
  readonly saveFailures: Counter;
}

/** `statuses` is asked at each scrape. */
function createReplicaMetrics(
  registry: Registry,
  { saveDuration, saveFailures }: SaveMetrics,
  statuses: () => readonly WriterStatus[],
): ReplicaMetrics {
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
    "Since when the store lacks the newest config received, or one that the control plane withholds; 0 if it has it. Missing while another exporter holds the lease.",
    ({ lagMs }) => (lagMs === undefined ? undefined : lagMs / 1000),
  );
  gauge(
    "kong_fallback_current_unseen_seconds",
    "How long ago the store was last seen to hold a good current snapshot. Missing until it was.",
    ({ unseenMs }) => (unseenMs === undefined ? undefined : unseenMs / 1000),
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
  const mended = new Counter({
    name: "kong_fallback_current_mended_total",
    help: "Times the current snapshot was gone, damaged or another one, and was saved again.",
    labelNames,
    registers,
  });
  return {
    writer(kongVersion, store) {
      const labels = { store, kong_version: kongVersion };
      mended.inc(labels, 0);
      for (const by of GATES) held.inc({ ...labels, by }, 0);
      return {
        wrote: (durationMs) => saveDuration.observe(labels, durationMs / 1000),
        saveFailed: (code) => saveFailures.inc({ ...labels, code }),
        held: (by) => held.inc({ ...labels, by }),
        mended: () => mended.inc(labels),
      };
    },
  };
}

const STATES = ["connecting", "live", "fallback"] as const;

function createSidecarMetrics(registry: Registry, gauges: SidecarGauges): SidecarMetrics {
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
  new Gauge({
    name: "kong_fallback_passing_config_held",
    help: "1 while the control plane's config is passed on, but not what would be served in an outage, since it lost too much.",
    labelNames: ["kong_version"],
    registers,
    collect() {
      this.reset();
      for (const [version, isHeld] of Object.entries(gauges.heldBack())) {
        this.set({ kong_version: version }, isHeld ? 1 : 0);
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
    "Times a data plane was given no config: none for its version, one it cannot take, or none by incremental sync.",
  );
  const distrusted = counter(
    "kong_fallback_handshakes_broken_off_total",
    "Times a data plane broke off the TLS handshake: it does not take the certificate it is shown.",
  );
  return {
    upstream: (current) => {
      for (const state of STATES) upstream.set({ state }, state === current ? 1 : 0);
    },
    served: (durationMs) => served.observe(durationMs / 1000),
    resent: () => resent.inc(),
    rejected: () => rejected.inc(),
    unserved: () => unserved.inc(),
    distrusted: () => distrusted.inc(),
  };
}
