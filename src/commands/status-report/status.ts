/** `kong-fallback status`: one shot: what is saved, how old it is, and how it compares with what the control plane has now. */

import { ServiceError } from "../../core/errors.ts";
import type { ConfigUpdate } from "../../kong/reconfigure.ts";
import type { KongVersion } from "../../kong/version.ts";
import { loadNodeId, nodeIdFor } from "../../runtime/node-id.ts";
import { onShutdown } from "../../runtime/shutdown.ts";
import { StoreError } from "../../store/port.ts";
import type { Command, CommandContext } from "../context.ts";
import { openHybridSource, requireCluster } from "../hybrid-source.ts";
import { print, printJson } from "../print.ts";
import { openPlaces } from "../snapshots/place.ts";
import { quietly } from "../snapshots/quiet.ts";
import { askControlPlane } from "./ask-control-plane.ts";
import { reportJson, reportText, type VersionReport } from "./report.ts";
import { lookAt } from "./saved.ts";

export const statusCommand: Command = async (given) => {
  const context = quietly(given, "status");
  const { settings, signals, clock, stdout, json } = context;
  using shutdown = onShutdown(signals, settings.shutdownTimeoutMs);
  const signal = shutdown.stop;
  await using opened = await openPlaces(context, false, signal);
  const reports = await Promise.all(
    settings.kongVersions.map(async (version): Promise<VersionReport> => {
      const places = opened.places.filter((place) => place.version === version);
      const [live, ...saved] = await Promise.all([
        liveConfig(context, version, signal),
        ...places.map((place) => lookAt(place, signal)),
      ]);
      return { version, live, saved, election: settings.election };
    }),
  );
  const now = clock.now();
  if (json) await printJson(stdout, reports.map(reportJson), signal);
  else await print(stdout, reports.map((report) => reportText(report, now)).join("\n"), signal);
  return Math.max(...reports.map(exitStatusOf));
};

/** 0: one store has a good one; 4: none does, and one did not answer; 3: none does. */
function exitStatusOf({ saved }: VersionReport): 0 | 3 | 4 {
  if (saved.some(({ latest }) => latest.kind === "good")) return 0;
  const isDown = saved.some(
    ({ latest }) =>
      latest.kind === "bad" && latest.error instanceof StoreError && latest.error.exitStatus === 4,
  );
  return isDown ? 4 : 3;
}

/** What the control plane has, or why nobody knows. Rejects only with `signal.reason`. */
async function liveConfig(
  context: CommandContext,
  version: KongVersion,
  signal: AbortSignal,
): Promise<ConfigUpdate | ServiceError> {
  const { settings, clock, random, hostname } = context;
  try {
    const cluster = requireCluster("comparing with the control plane", settings);
    // Never the exporter's, which may be kept in the state directory: the control plane would mix them up.
    const nodeId = await loadNodeId(undefined, hostname, "status");
    await using source = await openHybridSource({
      settings,
      cluster,
      nodeId: nodeIdFor(nodeId, version),
      hostname: `kong-fallback-status.${hostname}`,
      version,
      clock,
    });
    const { probeTimeoutMs: timeoutMs } = settings;
    return await askControlPlane(source, { timeoutMs, clock, random }, signal);
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof ServiceError) return error;
    throw error;
  }
}
