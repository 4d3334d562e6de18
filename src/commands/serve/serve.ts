/** `kong-fallback serve`: a daemon next to data planes that always has a config for them. */

import { isIPv4 } from "node:net";
import { formatHostPort, type HostPort } from "../../core/host-port.ts";
import { declaredPlugins } from "../../kong/plugins.ts";
import { createMetrics } from "../../runtime/metrics.ts";
import { questioner } from "../../runtime/node-id.ts";
import { SettingsError } from "../../runtime/settings.ts";
import { onShutdown } from "../../runtime/shutdown.ts";
import { FallbackControlPlane } from "../../sidecar/control-plane.ts";
import { watchCertificates } from "../../sidecar/door/certificate-watch.ts";
import { outletTarget } from "../../source/connect.ts";
import { ClusterDialer } from "../../source/dialer.ts";
import { readCertificates, requireCluster } from "../cluster.ts";
import { type Command, type CommandContext, readTogether } from "../context.ts";
import { exitStatusBy, openStatusServer, untilStopped } from "../daemon.ts";
import { serveDbless } from "./dbless.ts";
import { ageSeconds, planesNotReady, reportPlanes } from "./report.ts";
import { openSnapshots, openStateDir, readSnapshotParts } from "./snapshots.ts";

/** Declared by the probes, which end before anybody looks at it. */
const PROBE_VERSION = "3.0.0";

/** Data planes in hybrid mode, or a DB-less Kong where one is named. */
export const serveCommand: Command = (context) =>
  context.settings.serveTarget === undefined
    ? servePlanes(context)
    : serveDbless(context, context.settings.serveTarget);

/** A fallback control plane in front of the real one. */
async function servePlanes(context: CommandContext): Promise<number> {
  const { settings, signals, hostname, clock, random } = context;
  const log = context.log.child({ component: "serve" });
  const cluster = requireCluster("serve", settings);
  const upstream = cluster.controlPlane;
  refuseLoop(settings.listen, upstream, hostname);
  using shutdown = onShutdown(signals, settings.shutdownTimeoutMs);
  const loadCertificates = () => readCertificates(settings, cluster);
  const { seal, storage, ...read } = await readTogether(context, shutdown.stop, {
    certificates: ["the cluster's certificates", loadCertificates],
    ...readSnapshotParts(context, log),
  });
  let { certificates } = read;
  await using _storage = storage;
  const purpose = `serve ${formatHostPort(upstream)}`;
  await using stateDir = await openStateDir(context, purpose, shutdown.stop);
  const { nodeId } = stateDir;
  const parts = { seal, stores: storage.stores, stateDir };
  const snapshots = await openSnapshots(context, parts, log, shutdown.stop);
  const { shelf, refresher, remember } = snapshots;
  const metrics = createMetrics();
  const planes = () =>
    controlPlane === undefined ? [] : [...controlPlane.planes, ...controlPlane.unserved];
  let controlPlane: FallbackControlPlane | undefined;
  await using keeping = snapshots.keep(shutdown.stop, shutdown.deadline);
  await Promise.race([refresher.firstRound, keeping.ended]);
  await using serving = await FallbackControlPlane.listen({
    ...settings.listen,
    tls: certificates.tls,
    ...(certificates.server && { serverCertificate: certificates.server }),
    limits: {
      maxConnections: settings.maxConnections,
      handshakesPerSecond: settings.maxHandshakesPerSecond,
    },
    dialer: new ClusterDialer({
      controlPlane: upstream,
      proxy: settings.proxy,
      loadTls: async () => certificates.tls,
      maxPayloadBytes: settings.clusterMaxPayloadBytes,
      clock,
    }),
    probeTarget: outletTarget({ nodeId, hostname, version: PROBE_VERSION }),
    inquiry: {
      target: (version) => outletTarget({ ...questioner(version), version }),
      plugins: declaredPlugins(settings.plugins),
    },
    timing: {
      retryMs: settings.retryMs,
      reconnectMs: settings.reconnectMs,
      configWaitMs: settings.configWaitMs,
      recoveryMs: settings.recoveryMs,
      releaseMs: settings.releaseMs,
    },
    maxPayloadBytes: settings.clusterMaxPayloadBytes,
    shelf,
    onVersion: (version) => refresher.want(version),
    remember: remember && ((version, frame) => remember.offer(version, frame)),
    clock,
    random,
    log,
    metrics: metrics.sidecar({
      dataPlanes: () => countBy(planes().map(({ state }) => state.kind)),
      snapshotAges: () =>
        Object.fromEntries(
          shelf.versions().flatMap((version) => {
            const age = ageSeconds(shelf, version, clock);
            return age === undefined ? [] : [[version, age]];
          }),
        ),
      heldBack: () =>
        Object.fromEntries(
          shelf.versions().map((version) => [version, shelf.held(version) !== undefined]),
        ),
    }),
  });
  controlPlane = serving;
  const subject = {
    controlPlane,
    upstream: formatHostPort(upstream),
    shelf,
    wanted: settings.kongVersions,
    clock,
  };
  await using _status = await openStatusServer(context, {
    registry: metrics.registry,
    notReady: () => planesNotReady(subject),
    report: () => reportPlanes(subject),
  });
  log.info(
    { host: settings.listen.host, port: controlPlane.port, controlPlane: subject.upstream, nodeId },
    "fallback control plane listens",
  );
  const watching = watchCertificates(
    {
      load: loadCertificates,
      current: certificates,
      onChange: (fresh) => {
        serving.rotate(fresh.tls, fresh.server);
        certificates = fresh;
      },
      clock,
      log,
    },
    shutdown.stop,
  );
  await untilStopped([keeping.ended, watching, serving.run(shutdown.stop)], shutdown.stop);
  await serving[Symbol.asyncDispose]();
  await keeping.ended;
  log.info({}, "fallback control plane stopped");
  return exitStatusBy(shutdown.stop);
}

function countBy(states: readonly string[]): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {
    ...{ connecting: 0, live: 0, withheld: 0, fallback: 0, unserved: 0 },
  };
  for (const state of states) counts[state] = (counts[state] ?? 0) + 1;
  return counts;
}

const ALL_ADDRESSES = ["0.0.0.0", "::"];
const LOOPBACK = ["localhost", "127.0.0.1", "::1", ...ALL_ADDRESSES];

/**
 * Whoever copies a data plane's environment puts `serve` in front of itself. Throws SettingsError where
 * `upstream` is surely the address that `serve` listens on, written one
 * way or another. `hostname`: of this machine. No name is looked up.
 */
export function refuseLoop(listen: HostPort, upstream: HostPort, hostname: string): void {
  if (listen.port !== upstream.port || !reaches(upstream.host, listen.host, hostname)) return;
  const [own, other] = [formatHostPort(listen), formatHostPort(upstream)];
  throw new SettingsError(
    [
      `KONG_CLUSTER_CONTROL_PLANE: is ${other}, which is where serve itself listens (KONG_FALLBACK_LISTEN is ${own})`,
    ],
    "For serve it names the real control plane; only the data planes' own KONG_CLUSTER_CONTROL_PLANE names serve.",
  );
}

/** Whether a connection to `host` arrives where `listen` listens, if the ports are the same. */
function reaches(host: string, listen: string, hostname: string): boolean {
  const [to, at] = [host.toLowerCase(), listen.toLowerCase()];
  if (to === at || (LOOPBACK.includes(to) && LOOPBACK.includes(at))) return true;
  const isOwn = to === hostname.toLowerCase() || (isIPv4(to) && to.startsWith("127."));
  return isOwn && ALL_ADDRESSES.includes(at);
}
