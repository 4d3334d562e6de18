/** `serve --target admin`: keeps a DB-less Kong configured. */

import { AdminClient } from "../../kong/admin-client.ts";
import { createMetrics } from "../../runtime/metrics.ts";
import { SettingsError } from "../../runtime/settings.ts";
import { onShutdown } from "../../runtime/shutdown.ts";
import { DblessKeeper } from "../../sidecar/dbless/keeper.ts";
import { unpackSnapshot } from "../../sidecar/shelf/shelf.ts";
import { openAdminTls } from "../cluster.ts";
import { type CommandContext, readInTime, requireSettings } from "../context.ts";
import { exitStatusBy, openStatusServer, untilStopped } from "../daemon.ts";
import { missingSnapshots, reportSnapshots } from "./report.ts";
import { openSnapshots, openStateDir } from "./snapshots.ts";

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
  await using stateDir = await openStateDir(context, `serve ${url}`, shutdown.stop);
  await using snapshots = await openSnapshots(context, stateDir, log, shutdown.stop);
  const { shelf } = snapshots;
  const loadTls = await readInTime("the Admin API's certificates", context, shutdown.stop, () =>
    openAdminTls(settings),
  );
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
