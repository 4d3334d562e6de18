/** `serve --target admin`: keeps a DB-less Kong configured. */

import { ServiceError } from "../../core/errors.ts";
import { probeControlPlane } from "../../importer/probe.ts";
import { AdminClient } from "../../kong/admin-client.ts";
import type { KongVersion } from "../../kong/version.ts";
import { createMetrics } from "../../runtime/metrics.ts";
import { questioner } from "../../runtime/node-id.ts";
import { SettingsError } from "../../runtime/settings.ts";
import { onShutdown } from "../../runtime/shutdown.ts";
import { DblessKeeper } from "../../sidecar/dbless/keeper.ts";
import { unpackSnapshot } from "../../sidecar/shelf/shelf.ts";
import { sha256 } from "../../snapshots/snapshot.ts";
import { openAdminTls, openHybridSource } from "../cluster.ts";
import { type CommandContext, readTogether, requireSettings } from "../context.ts";
import { exitStatusBy, openStatusServer, untilStopped } from "../daemon.ts";
import { missingSnapshots, reportSnapshots } from "./report.ts";
import { openSnapshots, openStateDir, readSnapshotParts } from "./snapshots.ts";

/** `url`: of the Admin API. */
export async function serveDbless(context: CommandContext, url: string): Promise<number> {
  const { settings, signals, clock, random } = context;
  const log = context.log.child({ component: "serve" });
  const required = requireSettings("serve with an Admin API as target", {
    KONG_VERSION: settings.kongVersions,
    KONG_CLUSTER_FALLBACK_CONFIG_STORAGE: settings.storages,
  });
  const [version, another] = required.KONG_VERSION;
  if (version === undefined || another !== undefined) {
    throw new SettingsError(["KONG_VERSION: a DB-less Kong has one version, not a list"]);
  }
  using shutdown = onShutdown(signals, settings.shutdownTimeoutMs);
  const { seal, storage, loadTls } = await readTogether(context, shutdown.stop, {
    loadTls: ["the Admin API's certificates", () => openAdminTls(settings)],
    ...readSnapshotParts(context, log),
  });
  await using _storage = storage;
  await using stateDir = await openStateDir(context, `serve ${url}`, shutdown.stop);
  const parts = { seal, stores: storage.stores, stateDir };
  const snapshots = await openSnapshots(context, parts, log, shutdown.stop);
  const { shelf } = snapshots;
  await using client = new AdminClient({ url: new URL(url), token: settings.adminToken, loadTls });
  const keeper = new DblessKeeper({
    client,
    newest: () => {
      const servable = shelf.newest(version);
      return (
        servable && {
          id: servable.metadata.sha256,
          config: async () => (await unpackSnapshot(servable)).config,
        }
      );
    },
    async *earlier(signal) {
      const servable = shelf.newest(version);
      if (servable === undefined) return;
      const newest = await unpackSnapshot(servable);
      const { kongVersion } = newest.metadata;
      const than = { ...newest, kongVersion, origin: { kind: "current" } as const };
      for await (const { config } of snapshots.earlier(than, signal)) {
        yield { id: sha256(config), config: async () => config };
      }
    },
    isControlPlaneLive: (signal) => isControlPlaneLive(context, version, signal),
    graceMs: settings.serveGraceMs,
    clock,
    random,
    log,
  });
  await using _status = await openStatusServer(context, {
    registry: createMetrics().registry,
    notReady: () => missingSnapshots(shelf, [version]),
    report: () => ({
      target: client.url,
      kong: keeper.state,
      snapshots: reportSnapshots(shelf, clock),
    }),
  });
  log.info({ target: client.url, kongVersion: version }, "keeping a DB-less Kong configured");
  await using keeping = snapshots.keep(shutdown.stop, shutdown.deadline);
  await untilStopped([keeping.ended, keeper.run(shutdown.stop)], shutdown.stop);
  await keeping.ended;
  log.info({}, "stopped");
  return exitStatusBy(shutdown.stop);
}

/** For a control plane to send its config, milliseconds. */
const PROBE_TIMEOUT_MS = 10_000;

/** As far as is known: false where none is configured. Only one that gives nothing to anybody does not live. */
async function isControlPlaneLive(
  { settings, clock, random, log }: CommandContext,
  version: KongVersion,
  signal: AbortSignal,
): Promise<boolean> {
  const { controlPlane, clusterCert: cert, clusterCertKey: key } = settings;
  if (controlPlane === undefined || cert === undefined || key === undefined) return false;
  const cluster = { controlPlane, cert, key };
  try {
    const request = { settings, cluster, ...questioner(version), version, isQuestion: true, clock };
    await using source = await openHybridSource(request);
    const options = { mode: "config", timeoutMs: PROBE_TIMEOUT_MS, clock, random, log } as const;
    const { kind } = await probeControlPlane(source, options, signal);
    return kind === "reachable" || kind === "withheld";
  } catch (err) {
    signal.throwIfAborted();
    if (!(err instanceof ServiceError)) throw err;
    log.warn({ err }, "control plane cannot be asked whether it lives");
    return false;
  }
}
