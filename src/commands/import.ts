/** `kong-fallback import`: one shot, for an init container: a new data plane's config, if the control plane cannot give it. */

import type { Log } from "../core/log.ts";
import { type ImportJob, type ImportOutcome, importConfig } from "../importer/import.ts";
import { readLocalCache } from "../importer/local-cache.ts";
import { probeControlPlane } from "../importer/probe.ts";
import { openTarget, parseTarget } from "../importer/targets/open.ts";
import { TargetError } from "../importer/targets/port.ts";
import { declaredPlugins } from "../kong/plugins.ts";
import type { KongVersion } from "../kong/version.ts";
import { questioner } from "../runtime/node-id.ts";
import { SettingsError } from "../runtime/settings.ts";
import { onShutdown } from "../runtime/shutdown.ts";
import { openAdminTls, openHybridSource, requireCluster } from "./cluster.ts";
import { type Command, type CommandContext, readTogether, requireSettings } from "./context.ts";
import { createProgress, printJson } from "./output.ts";
import { openConfiguredSeal } from "./seal.ts";
import { openReadableStores, readerOf } from "./storage.ts";
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
  const to = required.KONG_FALLBACK_IMPORT_TO;
  const isAdmin = parseTarget(to).kind === "admin";
  const locations = required.KONG_CLUSTER_FALLBACK_CONFIG_STORAGE;
  const { seal, adminTls, ...opened } = await readTogether(context, signal, {
    seal: ["the seal's keys", () => openConfiguredSeal(settings)],
    adminTls: [
      "the Admin API's certificates",
      async () => (isAdmin ? await openAdminTls(settings) : undefined),
    ],
    probe: ["the cluster's certificates", () => openProbe(context, version)],
    storage: ["the store's certificates", () => openReadableStores(locations, context, log)],
  });
  await using probe = opened.probe;
  await using storage = opened.storage;
  await using target = await openTarget(to, {
    fileMode: settings.fileMode,
    stdout,
    adminToken: settings.adminToken,
    adminTls,
    timeoutMs: settings.applyTimeoutMs,
    clock,
    random,
    log,
  });
  const { readTimeoutMs, prefixDir, lmdbPath } = settings;
  const reader = readerOf(storage.stores, version, context, { seal, log });
  const progress = createProgress(stderr, clock);
  const outcome = await importConfig(
    {
      latest: (until) => reader.latest(until, progress),
      earlier: (than, until) => reader.earlier(than, until),
      target,
      probe: probe.ask,
      declared: declaredPlugins(settings.plugins),
      localCache:
        prefixDir === undefined
          ? undefined
          : (until) =>
              readLocalCache(
                { prefixDir, lmdbPath, kongVersion: version, timeoutMs: readTimeoutMs, clock },
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
  if (json) await tell(report(outcome, target.name, reader.name), stdout, log, signal);
  return 0;
};

/** What was done is done, and the exit status says so, though nobody takes the report. */
async function tell(
  report: object,
  stdout: CommandContext["stdout"],
  log: Log,
  signal: AbortSignal,
): Promise<void> {
  try {
    await printJson(stdout, report, signal);
  } catch (error) {
    if (!(error instanceof TargetError)) throw error;
    log.warn({ err: error, report }, "report could not be written");
  }
}

function onlyVersion(versions: readonly KongVersion[]): KongVersion {
  const [version, another] = versions;
  if (version === undefined || another !== undefined) {
    throw new SettingsError([
      "KONG_VERSION: import serves one data plane, so it takes one version, not a list",
    ]);
  }
  return version;
}

type Ask = NonNullable<ImportJob["probe"]>;

/** `ask` is undefined where the import is forced. */
async function openProbe(
  context: CommandContext,
  version: KongVersion,
): Promise<AsyncDisposable & { readonly ask: Ask | undefined }> {
  const { settings, clock, random, log } = context;
  if (settings.force) return { ask: undefined, [Symbol.asyncDispose]: async () => {} };
  const cluster = requireCluster("import without --force", settings);
  const open = (plugins: readonly string[]) =>
    openHybridSource({
      settings: { ...settings, plugins: [...settings.plugins, ...plugins] },
      cluster,
      ...questioner(version),
      version,
      isQuestion: true,
      clock,
    });
  const source = await open([]);
  const { probe: mode, probeTimeoutMs: timeoutMs } = settings;
  return {
    ask: async ({ plugins = [], onAbsent }, signal) => {
      const options = { mode, timeoutMs, clock, random, log, onAbsent };
      if (plugins.length === 0) return probeControlPlane(source, options, signal);
      await using another = await open(plugins);
      return await probeControlPlane(another, options, signal);
    },
    [Symbol.asyncDispose]: () => source[Symbol.asyncDispose](),
  };
}

function report(outcome: ImportOutcome, target: string, from: string): object {
  if (outcome.kind === "withheld") {
    const { code, message, hint = null } = outcome.error;
    return { outcome: outcome.kind, withdrawn: outcome.withdrawn, why: { code, message, hint } };
  }
  if (outcome.kind !== "imported") return { outcome: outcome.kind, withdrawn: outcome.withdrawn };
  const { result, bytes, metadata, changes, refused } = outcome;
  return {
    outcome: outcome.kind,
    result,
    target,
    from,
    bytes,
    metadata: metadata ?? null,
    refused,
    ...(changes === undefined ? {} : { changes }),
  };
}
