/** The job of restoring: gives a new data plane the newest good snapshot while the control plane is down. */

import type { Clock } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import { type BackoffPolicy, keepTryingWithin } from "../core/trying.ts";
import { type AdaptTarget, adaptConfig } from "../kong/adapt/adapt-config.ts";
import type { Change } from "../kong/adapt/drop-entities.ts";
import { checkConfig } from "../kong/checks/check-config.ts";
import type { Snapshot, SnapshotMetadata } from "../snapshots/snapshot.ts";
import { StoreError } from "../store/port.ts";
import type { LocalCache } from "./local-cache.ts";
import type { ProbeResult } from "./probe.ts";
import { type Target, TargetError } from "./targets/port.ts";

export interface ImportJob {
  /** The newest good snapshot, verified. Rejects with a ServiceError: `retryable` where the store may yet answer. */
  readonly latest: (signal: AbortSignal) => Promise<Snapshot>;
  readonly target: Target;
  /** Whether the control plane answers; undefined: not asked (`--force`). */
  readonly probe: ((signal: AbortSignal) => Promise<ProbeResult>) | undefined;
  /** What the data plane's own prefix holds; undefined: no prefix is mounted. */
  readonly localCache: ((signal: AbortSignal) => Promise<LocalCache>) | undefined;
  /** The open-source Kong to which the config is to be adapted; absent: it is handed over as it is. */
  readonly adaptTo?: AdaptTarget;
  /** For all attempts to read the snapshot together, milliseconds. */
  readonly readTimeoutMs: number;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
}

export type ImportOutcome =
  /** The control plane answers: nothing was imported. `withdrawn`: a file of an earlier run was set aside. */
  | { readonly kind: "live"; readonly withdrawn: boolean }
  /** The data plane has a config of its own: nothing was imported. */
  | { readonly kind: "cached"; readonly withdrawn: boolean }
  /** The target holds the snapshot, now (`applied`) or since before (`unchanged`). */
  | {
      readonly kind: "imported";
      readonly result: "applied" | "unchanged";
      /** Of what the target holds. */
      readonly bytes: number;
      /** Of the snapshot as it was saved. */
      readonly metadata: SnapshotMetadata | undefined;
      /** What was changed to adapt it; undefined where that was not asked for. */
      readonly changes: readonly Change[] | undefined;
    };

const BACKOFF: BackoffPolicy = { minMs: 500, maxMs: 5_000 };

/**
 * In this order: the data plane's own cache, the control plane, the store, the target. Where one of
 * the first two has a config, a file left by an earlier run is withdrawn, for Kong would start from
 * it and roll itself back. Rejects with a ServiceError if there is no usable snapshot or the target
 * does not take it; the target then holds what it held before.
 */
export async function importConfig(job: ImportJob, signal: AbortSignal): Promise<ImportOutcome> {
  if (await isCached(job, signal)) {
    return { kind: "cached", withdrawn: await withdraw(job, signal) };
  }
  if (await isLive(job, signal)) {
    return { kind: "live", withdrawn: await withdraw(job, signal) };
  }
  const saved = await read(job, signal);
  const adapted = job.adaptTo && adaptSnapshot(saved, job.adaptTo, job.log);
  const snapshot = adapted?.snapshot ?? saved;
  const result = await job.target.apply(snapshot, signal);
  const bytes = snapshot.config.length;
  job.log.info(
    { target: job.target.name, bytes, configHash: snapshot.metadata?.configHash },
    result === "applied" ? "config imported" : "target holds this config already",
  );
  return { kind: "imported", result, bytes, metadata: saved.metadata, changes: adapted?.changes };
}

async function isCached({ localCache, log }: ImportJob, signal: AbortSignal): Promise<boolean> {
  if (localCache === undefined) return false;
  const cache = await localCache(signal);
  switch (cache.kind) {
    case "config":
      log.info(
        { path: cache.path, configHash: cache.configHash },
        "data plane has a config of its own, nothing to import",
      );
      return true;
    case "none":
      log.info({ path: cache.path, reason: cache.reason }, "data plane has no config of its own");
      return false;
    case "unreadable":
      log.warn(
        { path: cache.path, reason: cache.reason, hint: cache.hint },
        "cannot see whether the data plane has a config of its own, importing as if it had none",
      );
      return false;
    default:
      return cache satisfies never;
  }
}

async function isLive({ probe, log }: ImportJob, signal: AbortSignal): Promise<boolean> {
  if (probe === undefined) {
    log.info({}, "control plane is not asked, import is forced");
    return false;
  }
  const { attempts, ...answer } = await probe(signal);
  switch (answer.kind) {
    case "reachable":
      log.info({ attempts }, "control plane is reachable, nothing to import");
      return true;
    case "unreachable":
      log.warn({ err: answer.error, attempts }, "control plane is unreachable");
      return false;
    default:
      return answer satisfies never;
  }
}

async function read(job: ImportJob, signal: AbortSignal): Promise<Snapshot> {
  const { latest, readTimeoutMs, clock, random, log } = job;
  const snapshot = await keepTryingWithin(
    { ms: readTimeoutMs, timedOut: () => noAnswer(readTimeoutMs) },
    {
      backoff: BACKOFF,
      clock,
      random,
      onRetry: (error, attempt, delayMs) =>
        log.warn({ err: error, attempt, delayMs }, "snapshot not read, trying again"),
    },
    signal,
    latest,
  );
  const { metadata, config } = snapshot;
  if (metadata === undefined) {
    log.warn(
      { bytes: config.length },
      "snapshot carries no metadata, e.g. after a copy by hand; its digest and Kong version are not checked",
    );
  } else {
    const { kongVersion, configHash, exportedAt, exporterId } = metadata;
    const ageSeconds = Math.round((clock.now().getTime() - exportedAt.getTime()) / 1000);
    log.info(
      { kongVersion, configHash, bytes: config.length, exportedAt, ageSeconds, exporterId },
      "snapshot read",
    );
  }
  return snapshot;
}

/** A failure here must not keep a data plane from starting that has, or will get, its config elsewhere. */
async function withdraw({ target, log }: ImportJob, signal: AbortSignal): Promise<boolean> {
  try {
    const withdrawn = await target.withdraw(signal);
    if (withdrawn) log.info({ target: target.name }, "file of an earlier import set aside");
    return withdrawn;
  } catch (error) {
    if (!(error instanceof TargetError)) throw error;
    log.warn(
      { err: error, target: target.name },
      "file of an earlier import could not be set aside; Kong starts from it until the control plane delivers",
    );
    return false;
  }
}

function noAnswer(readTimeoutMs: number): StoreError {
  return new StoreError(
    "STORE_UNAVAILABLE",
    `no store gave a snapshot within ${readTimeoutMs / 1000} s`,
    {
      hint: "Check the storage URL and the network to it; if the store is only slow, raise KONG_FALLBACK_READ_TIMEOUT.",
    },
  );
}

/** Lines of log for what was dropped, and as many for what is left; a count stands for the rest. */
const MAX_LOGGED = 50;

interface AdaptedSnapshot {
  /** The same where nothing was changed; else without metadata, for no digest or hash is right any more. */
  readonly snapshot: Snapshot;
  readonly changes: readonly Change[];
}

/** Makes the config fit a Kong that would refuse it, and tells what that costs. */
export function adaptSnapshot(snapshot: Snapshot, target: AdaptTarget, log: Log): AdaptedSnapshot {
  const { config, changes } = adaptConfig(snapshot.config, target);
  const { kongVersion, plugins } = target;
  if (changes.length === 0) {
    log.debug({ kongVersion }, "config fits open-source Kong as it is");
  } else {
    for (const { message } of changes.slice(0, MAX_LOGGED)) {
      log.info({ change: message }, "config changed to fit open-source Kong");
    }
    log.info(
      { changes: changes.length, bytes: config.length, bytesBefore: snapshot.config.length },
      "config adapted to open-source Kong",
    );
  }
  const droppedPlugins = changes.filter(
    (change) => change.kind === "entity" && change.entityKind === "plugins",
  ).length;
  if (droppedPlugins > 0) {
    log.warn(
      { droppedPlugins, hint: "Where one of them let in known clients only, everybody is let in." },
      "plugins were dropped, and what they did is not done",
    );
  }
  const droppedSettings = changes.filter(
    (change) => change.kind === "field" && change.field.startsWith("config."),
  ).length;
  if (droppedSettings > 0) {
    log.warn(
      { droppedSettings, hint: "Each is named above; see what the plugin does without it." },
      "settings of plugins were dropped that this Kong does not have",
    );
  }
  const findings = checkConfig(config, kongVersion, { plugins, edition: "open-source" });
  for (const { message } of findings.slice(0, MAX_LOGGED)) {
    log.warn({ finding: message }, "Kong may refuse the config for what adapting does not change");
  }
  return {
    snapshot: changes.length === 0 ? snapshot : { config, metadata: undefined },
    changes,
  };
}
