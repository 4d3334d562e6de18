/** `serve` for data planes in hybrid mode: a fallback control plane in front of the real one. */

import { formatHostPort } from "../../core/host-port.ts";
import { createMetrics } from "../../runtime/metrics.ts";
import { Interrupted, onShutdown } from "../../runtime/shutdown.ts";
import { FallbackControlPlane } from "../../sidecar/control-plane.ts";
import { watchCertificates } from "../../sidecar/door/certificate-watch.ts";
import { ClusterDialer } from "../../source/dialer.ts";
import { outletTarget } from "../../source/upgrade.ts";
import type { CommandContext } from "../context.ts";
import { openStatusServer } from "../daemon.ts";
import { requireCluster } from "../hybrid-source.ts";
import { readCertificates } from "./certificates.ts";
import { refuseLoop } from "./refuse-loop.ts";
import { ageSeconds, planesNotReady, reportPlanes } from "./report.ts";
import { openSnapshots } from "./snapshots.ts";
import { openStateDir } from "./state-dir.ts";

/** Declared by the probes, which end before anybody looks at it. */
const PROBE_VERSION = "3.0.0";

export async function servePlanes(context: CommandContext): Promise<number> {
  const { settings, signals, hostname, clock, random } = context;
  const log = context.log.child({ component: "serve" });
  const cluster = requireCluster("serve", settings);
  const upstream = cluster.controlPlane;
  refuseLoop(settings.listen, upstream, hostname);
  using shutdown = onShutdown(signals, settings.shutdownTimeoutMs);
  const loadCertificates = () => readCertificates(settings, cluster);
  let certificates = await loadCertificates();
  await using stateDir = await openStateDir(context, `serve ${formatHostPort(upstream)}`);
  const { nodeId } = stateDir;
  await using snapshots = await openSnapshots(context, stateDir, log);
  const { shelf, refresher, remember } = snapshots;
  const metrics = createMetrics();
  const planes = () => controlPlane?.planes ?? [];
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
      dataPlanes: () => countBy(planes().map(({ state }) => state)),
      snapshotAges: () =>
        Object.fromEntries(
          shelf.versions().flatMap((version) => {
            const age = ageSeconds(shelf, version, clock);
            return age === undefined ? [] : [[version, age]];
          }),
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
  return shutdown.stop.reason instanceof Interrupted ? shutdown.stop.reason.exitStatus : 1;
}

/** Resolves when `stop` aborts; rejects if one of the tasks ends with anything else, which is a bug. */
async function untilStopped(tasks: readonly Promise<unknown>[], stop: AbortSignal): Promise<void> {
  try {
    await Promise.race(tasks);
  } catch (error) {
    if (!stop.aborted) throw error;
  }
}

function countBy(states: readonly string[]): Readonly<Record<string, number>> {
  const counts: Record<string, number> = { connecting: 0, live: 0, fallback: 0 };
  for (const state of states) counts[state] = (counts[state] ?? 0) + 1;
  return counts;
}
