/** `kong-fallback import`: one shot, for an init container: a new data plane's config, if the control plane cannot give it. */

import { type ImportOutcome, importConfig } from "../importer/import.ts";
import { readLocalCache } from "../importer/local-cache.ts";
import { probeControlPlane } from "../importer/probe.ts";
import { openTarget } from "../importer/targets/open.ts";
import type { KongVersion } from "../kong/version.ts";
import { loadNodeId, nodeIdFor } from "../runtime/node-id.ts";
import { SettingsError } from "../runtime/settings.ts";
import { onShutdown } from "../runtime/shutdown.ts";
import { openAdminTls, openHybridSource, requireCluster } from "./cluster.ts";
import { type Command, type CommandContext, readInTime, requireSettings } from "./context.ts";
import { createProgress } from "./output.ts";
import { openConfiguredSeal } from "./seal.ts";
import { openConfiguredStores, readerOf } from "./storage.ts";
import { UsageError } from "./usage-error.ts";

export const importCommand: Command = async (context) => {
  const { settings, signals, clock, random, stdout, stderr, json } = context;
  const log = context.log.child({ component: "import" });
  const required = requireSettings("import", {
    KONG_FALLBACK_IMPORT_TO: settings.importTo,
    KONG_VERSION: settings.kongVersions,
    KONG_CLUSTER_FALLBACK_CONFIG_STORAGE: settings.storages,
  });
  if (json && required.KONG_FALLBACK_IMPORT_TO === "-") {
    throw new UsageError(
      "--json and --to - cannot both write to standard output",
      "Leave one of them out.",
    );
  }
  const version = onlyVersion(required.KONG_VERSION);
  using shutdown = onShutdown(signals, settings.shutdownTimeoutMs);
  const signal = shutdown.stop;
  const seal = await readInTime("the seal's keys", context, signal, () =>
    openConfiguredSeal(settings),
  );
  const adminTls = await readInTime("the Admin API's certificates", context, signal, () =>
    openAdminTls(settings),
  );
  await using target = await openTarget(required.KONG_FALLBACK_IMPORT_TO, {
    fileMode: settings.fileMode,
    stdout,
    adminToken: settings.adminToken,
    adminTls,
    timeoutMs: settings.applyTimeoutMs,
    clock,
    random,
    log,
  });
  await using probe = await readInTime("the cluster's certificates", context, signal, () =>
    openProbe(context, version),
  );
  await using storage = await readInTime("the store's certificates", context, signal, () =>
    openConfiguredStores(required.KONG_CLUSTER_FALLBACK_CONFIG_STORAGE, context),
  );
  const { readTimeoutMs, prefixDir } = settings;
  const reader = readerOf(storage.stores, version, context, { seal, log });
  const progress = createProgress(stderr, clock);
  const outcome = await importConfig(
    {
      latest: (until) => reader.latest(until, progress),
      target,
      probe: probe.ask,
      localCache:
        prefixDir === undefined
          ? undefined
          : (until) =>
              readLocalCache(
                { prefixDir, kongVersion: version, timeoutMs: readTimeoutMs, clock },
                until,
              ),
      readTimeoutMs,
      ...(settings.adapt ? { adaptTo: { kongVersion: version, plugins: settings.plugins } } : {}),
      clock,
      random,
      log,
    },
    signal,
  );
  if (json) stdout.write(`${JSON.stringify(report(outcome, target.name, reader.name))}\n`);
  return 0;
};

function onlyVersion(versions: readonly KongVersion[]): KongVersion {
  const [version, another] = versions;
  if (version === undefined || another !== undefined) {
    throw new SettingsError([
      "KONG_VERSION: import serves one data plane, so it takes one version, not a list",
    ]);
  }
  return version;
}

type Ask = NonNullable<Parameters<typeof importConfig>[0]["probe"]>;

/** `ask` is undefined where the import is forced. */
async function openProbe(
  context: CommandContext,
  version: KongVersion,
): Promise<AsyncDisposable & { readonly ask: Ask | undefined }> {
  const { settings, clock, random, log, hostname } = context;
  if (settings.force) return { ask: undefined, [Symbol.asyncDispose]: async () => {} };
  const cluster = requireCluster("import without --force", settings);
  const nodeId = await loadNodeId(settings.stateDir, hostname, "import");
  const source = await openHybridSource({
    settings,
    cluster,
    nodeId: nodeIdFor(nodeId, version),
    hostname: `kong-fallback-importer.${hostname}`,
    version,
    clock,
  });
  const { probe: mode, probeTimeoutMs: timeoutMs } = settings;
  return {
    ask: (signal) => probeControlPlane(source, { mode, timeoutMs, clock, random, log }, signal),
    [Symbol.asyncDispose]: () => source[Symbol.asyncDispose](),
  };
}

function report(outcome: ImportOutcome, target: string, from: string): object {
  if (outcome.kind !== "imported") return { outcome: outcome.kind, withdrawn: outcome.withdrawn };
  const { result, bytes, metadata, changes } = outcome;
  return {
    outcome: outcome.kind,
    result,
    target,
    from,
    bytes,
    metadata: metadata ?? null,
    ...(changes === undefined ? {} : { changes }),
  };
}
