/** `kong-fallback export`: a daemon that saves every config of a control plane, for one or several Kong versions. */

import { Scope } from "../core/waiting.ts";
import { Exporter } from "../exporter/exporter.ts";
import type { Gate } from "../exporter/gates.ts";
import type { WriterStatus } from "../exporter/metrics.ts";
import { Writer } from "../exporter/writer.ts";
import { AdminClient } from "../kong/admin-client.ts";
import type { AdminTls } from "../kong/cluster-tls.ts";
import type { KongVersion } from "../kong/version.ts";
import { createMetrics, type Metrics, type ReplicaMetrics } from "../runtime/metrics.ts";
import { loadNodeId, nodeIdFor } from "../runtime/node-id.ts";
import { onShutdown, type Shutdown } from "../runtime/shutdown.ts";
import { Archive } from "../snapshots/archive.ts";
import type { Seal } from "../snapshots/seal/seal.ts";
import type { HybridSourceOptions } from "../source/hybrid.ts";
import type { Store } from "../store/port.ts";
import {
  type ClusterSettings,
  clusterTlsLoader,
  openAdminTls,
  openHybridSource,
} from "./cluster.ts";
import { type Command, type CommandContext, readTogether, requireSettings } from "./context.ts";
import { exitStatusBy, openStatusServer } from "./daemon.ts";
import { openElection } from "./election.ts";
import { type ConfiguredGates, openGates } from "./gates.ts";
import { openWritingSeal } from "./seal.ts";
import { openConfiguredStores, StoreTrial } from "./storage.ts";

/** While the store does not take a config, milliseconds. */
const SAVE_RETRY = { minMs: 1_000, maxMs: 30_000 };
/** How long the control plane may send nothing before it is asked whether there is nothing, milliseconds. */
const CHECK_EVERY_MS = 5 * 60_000;

export const exportCommand: Command = async (context) => {
  const { settings, log, signals } = context;
  const required = requireSettings("export", {
    KONG_CLUSTER_CONTROL_PLANE: settings.controlPlane,
    KONG_CLUSTER_CERT: settings.clusterCert,
    KONG_CLUSTER_CERT_KEY: settings.clusterCertKey,
    KONG_VERSION: settings.kongVersions,
    KONG_CLUSTER_FALLBACK_CONFIG_STORAGE: settings.storages,
  });
  const cluster: ClusterSettings = {
    controlPlane: required.KONG_CLUSTER_CONTROL_PLANE,
    cert: required.KONG_CLUSTER_CERT,
    key: required.KONG_CLUSTER_CERT_KEY,
  };
  using shutdown = onShutdown(signals, settings.shutdownTimeoutMs);
  const locations = required.KONG_CLUSTER_FALLBACK_CONFIG_STORAGE;
  const { seal, adminTls, opened } = await readTogether(context, shutdown.stop, {
    seal: ["the seal's keys", () => openWritingSeal(settings)],
    cluster: ["the cluster's certificates", clusterTlsLoader(settings, cluster)],
    adminTls: ["the Admin API's certificates", () => openAdminTls(settings)],
    opened: ["the store's certificates", () => openConfiguredStores(locations, context)],
  });
  await using storage = opened;
  const metrics = createMetrics();
  const purpose = `export from ${cluster.controlPlane.host}`;
  const { stateDir } = settings;
  const { nodeId } = await loadNodeId({ ...context, stateDir, purpose }, shutdown.stop);
  const { stores } = storage;
  const replicas = metrics.replicas(() => exporters.flatMap(({ exporter }) => exporter.replicas));
  const exporters: VersionExporter[] = [];
  await using gates = openGates(context, adminTls);
  /** As the control plane lists them. */
  const nodeIds: Record<KongVersion, string> = {};
  for (const version of required.KONG_VERSION) {
    const id = nodeIdFor(nodeId, version);
    nodeIds[version] = id;
    const parts = { version, nodeId: id, cluster, stores, seal, gates, adminTls };
    exporters.push(await buildExporter(context, parts, metrics, replicas));
  }
  await using _status = await openStatusServer(context, {
    registry: metrics.registry,
    notReady: () => notReady(exporters),
    details: () => exporters.map(describeCurrency),
  });
  log.info({ nodeIds, stores: stores.map(({ url }) => url) }, "exporter started");
  const results = await runAll(exporters, shutdown);
  const allSaved = results.every((saved) => saved);
  log.info({ allSaved }, "exporter stopped");
  return allSaved ? exitStatusBy(shutdown.stop) : 1;
};

interface VersionExporter {
  readonly version: KongVersion;
  readonly exporter: Exporter;
}

/** One that fails ends the others as SIGTERM would: they save what is pending and give up their leases. */
async function runAll(
  exporters: readonly VersionExporter[],
  { stop, deadline }: Shutdown,
): Promise<readonly boolean[]> {
  using running = new Scope(stop);
  const runs = exporters.map(({ exporter }) =>
    exporter.run(running.signal, deadline).catch((error: unknown) => {
      running.end(error);
      throw error;
    }),
  );
  await Promise.allSettled(runs);
  return Promise.all(runs);
}

interface ExporterParts {
  readonly version: KongVersion;
  readonly nodeId: string;
  readonly cluster: ClusterSettings;
  readonly stores: readonly Store[];
  readonly seal: Seal;
  readonly gates: ConfiguredGates;
  readonly adminTls: () => Promise<AdminTls>;
}

async function buildExporter(
  context: CommandContext,
  parts: ExporterParts,
  metrics: Metrics,
  replicas: ReplicaMetrics,
): Promise<VersionExporter> {
  const { settings, clock, random, hostname } = context;
  const { version, nodeId, cluster, stores } = parts;
  const exporterMetrics = metrics.exporter(version);
  const log = context.log.child({ component: "export", kongVersion: version });
  const source = await openHybridSource({
    settings,
    cluster,
    nodeId,
    hostname: `kong-fallback-exporter.${hostname}`,
    version,
    clock,
    checkEveryMs: CHECK_EVERY_MS,
    ...adminQuestions(context, parts),
  });
  const gates = parts.gates.of(version, log, exporterMetrics);
  const writers: Writer[] = [];
  for (const store of stores) {
    writers.push(await buildWriter(context, { ...parts, gates }, store, replicas));
  }
  const exporter = new Exporter({
    source,
    writers,
    kongVersion: version,
    exporterId: nodeId,
    hashCheckMaxBytes: settings.hashCheckMaxBytes,
    clock,
    random,
    log,
    metrics: exporterMetrics,
  });
  return { version, exporter };
}

interface WriterParts extends Pick<ExporterParts, "version" | "nodeId" | "seal"> {
  readonly gates: readonly Gate[];
}

async function buildWriter(
  context: CommandContext,
  { version, nodeId, seal, gates }: WriterParts,
  store: Store,
  replicas: ReplicaMetrics,
): Promise<Writer> {
  const { settings, clock, random } = context;
  const log = context.log.child({ component: "export", kongVersion: version, store: store.url });
  const { maxConfigBytes, exportDelayMs, guard } = settings;
  const { historyMaxCount, historyMaxAgeMs, historyMaxBytes } = settings;
  const trial = new StoreTrial(store, version, log);
  const archive = new Archive({
    store,
    seal,
    kongVersion: version,
    maxConfigBytes,
    keepHistory: true,
    makesFreshVersions: () => trial.makesFreshVersions,
    clock,
    log,
  });
  const conditional = (signal: AbortSignal) => trial.conditional(signal);
  const request = { version, store, archive, exporterId: nodeId, conditional, log };
  return new Writer({
    election: await openElection(context, request),
    archive,
    store: store.url,
    kongVersion: version,
    conditional,
    guard,
    gates,
    retention: {
      maxCount: historyMaxCount,
      maxAgeMs: historyMaxAgeMs,
      maxTotalBytes: historyMaxBytes,
    },
    exportDelayMs,
    retry: SAVE_RETRY,
    clock,
    random,
    log,
    metrics: replicas.writer(version, store.url),
  });
}

/** What the control plane itself says of this node, where its Admin API is known. */
function adminQuestions(
  { settings }: CommandContext,
  { nodeId, adminTls: loadTls }: Pick<ExporterParts, "nodeId" | "adminTls">,
): Pick<HybridSourceOptions, "syncStatus" | "pluginsInUse"> {
  const { adminUrl, adminToken } = settings;
  if (adminUrl === undefined) return {};
  const open = () => new AdminClient({ url: new URL(adminUrl), token: adminToken, loadTls });
  return {
    syncStatus: async (signal) => {
      await using client = open();
      return await client.syncStatus(nodeId, signal);
    },
    pluginsInUse: async (signal) => {
      await using client = open();
      return (await client.node(signal)).pluginsInUse;
    },
  };
}

/** Stores that have not been seen to hold a good snapshot for so long cannot be relied on. */
const MAX_UNSEEN_MS = 5 * 60_000;

/** Ready: every version has a good snapshot in a store, seen lately, and no newer config is known to be withheld, or kept from every store. */
function notReady(exporters: readonly VersionExporter[]): string | undefined {
  const without = exporters.filter(({ exporter }) => !exporter.hasSaved);
  const [missing, unknown] = [true, false].map((hasLooked) =>
    without
      .filter(({ exporter }) => exporter.hasLooked === hasLooked)
      .map(({ version }) => version)
      .join(", "),
  );
  const reasons = exporters.flatMap(({ version, exporter }) => {
    const { withheld } = exporter.currency;
    return withheld === undefined
      ? []
      : [`what is saved for Kong ${version} may be out of date: ${withheld.message}`];
  });
  for (const { version, exporter } of exporters) {
    const { replicas } = exporter;
    const unseen = replicas.flatMap(({ unseenMs }) => (unseenMs === undefined ? [] : [unseenMs]));
    if (unseen.length > 0 && Math.min(...unseen) > MAX_UNSEEN_MS) {
      const minutes = Math.floor(Math.min(...unseen) / 60_000);
      reasons.push(
        `no store has been seen to hold a good snapshot for Kong ${version} for ${minutes} min, see the log`,
      );
    }
    if (replicas.every(({ refusedBy }) => refusedBy !== undefined)) {
      reasons.push(...replicas.flatMap(refusedReason));
    }
  }
  if (missing) reasons.unshift(`nothing is saved yet for Kong ${missing}`);
  if (unknown) {
    reasons.unshift(
      `not known yet what is saved for Kong ${unknown}: not every store could be read, see the log`,
    );
  }
  return reasons.length === 0 ? undefined : reasons.join("; ");
}

const REFUSALS = {
  stale: "another exporter has taken over",
  foreign: "the config of another Kong cluster lies there",
  unconfirmed:
    "another config lies there, and the control plane has not been asked since which is the newer one",
} as const;

function refusedReason({ kongVersion, refusedBy, store }: WriterStatus): readonly string[] {
  if (refusedBy === undefined) return [];
  return [
    `the newest config for Kong ${kongVersion} is not saved in ${store}: ${REFUSALS[refusedBy]}`,
  ];
}

function describeCurrency({ version, exporter }: VersionExporter): string {
  const { isConnected, confirmedAt } = exporter.currency;
  const confirmed =
    confirmedAt === undefined
      ? "never confirmed to have what the control plane has"
      : `last confirmed to have what the control plane has at ${confirmedAt.toISOString()}`;
  return `Kong ${version}: ${confirmed}${isConnected ? "" : "; not connected to it"}`;
}
