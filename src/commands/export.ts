/** `kong-fallback export`: a daemon that saves every config of a control plane, for one or several Kong versions. */

import { Exporter } from "../exporter/exporter.ts";
import { AdminClient } from "../kong/admin-client.ts";
import type { KongVersion } from "../kong/version.ts";
import { createMetrics } from "../runtime/metrics.ts";
import { loadNodeId, nodeIdFor } from "../runtime/node-id.ts";
import { Interrupted, onShutdown } from "../runtime/shutdown.ts";
import { Archive } from "../snapshots/archive.ts";
import type { Store } from "../store/port.ts";
import { type Command, type CommandContext, requireSettings } from "./context.ts";
import { type ClusterSettings, openHybridSource } from "./hybrid-source.ts";
import { openStatusServer } from "./status.ts";
import { askPreconditions, openConfiguredStore } from "./store.ts";

/** While the store does not take a config, milliseconds. */
const SAVE_RETRY = { minMs: 1_000, maxMs: 30_000 };

export const exportCommand: Command = async (context) => {
  const { settings, log, signals, hostname } = context;
  const required = requireSettings("export", {
    KONG_CLUSTER_CONTROL_PLANE: settings.controlPlane,
    KONG_CLUSTER_CERT: settings.clusterCert,
    KONG_CLUSTER_CERT_KEY: settings.clusterCertKey,
    KONG_VERSION: settings.kongVersions,
    KONG_CLUSTER_FALLBACK_CONFIG_STORAGE: settings.storage,
  });
  const cluster: ClusterSettings = {
    controlPlane: required.KONG_CLUSTER_CONTROL_PLANE,
    cert: required.KONG_CLUSTER_CERT,
    key: required.KONG_CLUSTER_CERT_KEY,
  };
  using shutdown = onShutdown(signals, settings.shutdownTimeoutMs);
  const metrics = createMetrics();
  const purpose = `export from ${cluster.controlPlane.host}`;
  const nodeId = await loadNodeId(settings.stateDir, hostname, purpose);
  await using store = await openConfiguredStore(
    required.KONG_CLUSTER_FALLBACK_CONFIG_STORAGE,
    context,
  );
  const exporters: VersionExporter[] = [];
  for (const version of required.KONG_VERSION) {
    const parts = { version, nodeId: nodeIdFor(nodeId, version), cluster, store };
    exporters.push(await buildExporter(context, parts, metrics.exporter(version)));
  }
  await using _status = await openStatusServer(context, {
    registry: metrics.registry,
    notReady: () => notReady(exporters),
  });
  log.info({ nodeId, store: store.url, versions: required.KONG_VERSION }, "exporter started");
  const results = await Promise.all(
    exporters.map(({ exporter }) => exporter.run(shutdown.stop, shutdown.deadline)),
  );
  const allSaved = results.every((saved) => saved);
  log.info({ allSaved }, "exporter stopped");
  return allSaved && shutdown.stop.reason instanceof Interrupted
    ? shutdown.stop.reason.exitStatus
    : 1;
};

interface VersionExporter {
  readonly version: KongVersion;
  readonly exporter: Exporter;
}

interface ExporterParts {
  readonly version: KongVersion;
  readonly nodeId: string;
  readonly cluster: ClusterSettings;
  readonly store: Store;
}

async function buildExporter(
  context: CommandContext,
  { version, nodeId, cluster, store }: ExporterParts,
  metrics: ConstructorParameters<typeof Exporter>[0]["metrics"],
): Promise<VersionExporter> {
  const { settings, clock, random, hostname } = context;
  const log = context.log.child({ component: "export", kongVersion: version });
  const source = await openHybridSource({
    settings,
    cluster,
    nodeId,
    hostname: `kong-fallback-exporter.${hostname}`,
    version,
    clock,
    ...adminStatus(context, nodeId),
  });
  const { maxConfigBytes, exportDelayMs, hashCheckMaxBytes } = settings;
  const archive = new Archive({ store, kongVersion: version, maxConfigBytes, log });
  const exporter = new Exporter({
    source,
    archive,
    kongVersion: version,
    exporterId: nodeId,
    conditional: askPreconditions(store, version, log),
    exportDelayMs,
    retry: SAVE_RETRY,
    hashCheckMaxBytes,
    clock,
    random,
    log,
    metrics,
  });
  return { version, exporter };
}

/** How the control plane itself judges this node, where its Admin API is known. */
function adminStatus(
  { settings }: CommandContext,
  nodeId: string,
): { readonly syncStatus?: (signal: AbortSignal) => Promise<string | undefined> } {
  const { adminUrl, adminToken } = settings;
  if (adminUrl === undefined) return {};
  return {
    syncStatus: async (signal) => {
      await using client = new AdminClient({ url: new URL(adminUrl), token: adminToken });
      return (await client.dataPlaneStatus(nodeId, signal))?.syncStatus;
    },
  };
}

/** Ready: every version has a good snapshot in the store. */
function notReady(exporters: readonly VersionExporter[]): string | undefined {
  const missing = exporters.filter(({ exporter }) => !exporter.hasSaved);
  return missing.length === 0
    ? undefined
    : `nothing is saved yet for Kong ${missing.map(({ version }) => version).join(", ")}`;
}
