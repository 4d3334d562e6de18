/** The job of restoring: gives a new data plane the newest good snapshot while the control plane is down. */

import type { Clock } from "../core/clock.ts";
import type { ServiceError } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import { type BackoffPolicy, keepTryingWithin } from "../core/trying.ts";
import { forever, Mailbox, Scope } from "../core/waiting.ts";
import { type AdaptTarget, adaptConfig } from "../kong/adapt/adapt-config.ts";
import type { Change } from "../kong/adapt/drop-entities.ts";
import { checkConfig } from "../kong/checks/check-config.ts";
import { configuredPlugins } from "../kong/plugins.ts";
import type { FoundSnapshot, Snapshot, SnapshotMetadata } from "../snapshots/snapshot.ts";
import { SourceError } from "../source/port.ts";
import { StoreError } from "../store/port.ts";
import type { LocalCache } from "./local-cache.ts";
import type { ProbeResult, Unreachable } from "./probe.ts";
import { type Target, TargetError } from "./targets/port.ts";

export interface ImportJob {
  /** The newest good snapshot, verified. Rejects with a ServiceError: `retryable` where the store may yet answer. */
  readonly latest: (signal: AbortSignal) => Promise<FoundSnapshot>;
  /** Those of the history that come before it, the newest first; see SnapshotReader. */
  readonly earlier: (than: FoundSnapshot, signal: AbortSignal) => AsyncIterable<FoundSnapshot>;
  readonly target: Target;
  /** Whether the control plane gives configs; undefined: not asked (`--force`). */
  readonly probe: ((question: Question, signal: AbortSignal) => Promise<ProbeResult>) | undefined;
  /** Names of the plugins that are declared in each question. */
  readonly declared: readonly string[];
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

export interface Question {
  /** To be declared besides those that always are. */
  readonly plugins?: readonly string[];
  /** See ProbeOptions. */
  readonly onAbsent?: (absence: Unreachable) => void;
}

export type ImportOutcome =
  /** The control plane lives: nothing was imported. `withdrawn`: a file of an earlier run was set aside. */
  | { readonly kind: "live"; readonly withdrawn: boolean }
  /** It lives, and gives a data plane like this one nothing, for the reason that `error` says: neither was anything imported. */
  | { readonly kind: "withheld"; readonly error: ServiceError; readonly withdrawn: boolean }
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
      /** How many newer ones the target refused. */
      readonly refused: number;
    };

const BACKOFF: BackoffPolicy = { minMs: 500, maxMs: 5_000 };

/** So long the control plane has to answer before the snapshot is read meanwhile, milliseconds: where it lives, no store is asked. */
const HEAD_START_MS = 500;
/** Older ones that are tried where the target refuses the newest. */
const MAX_EARLIER = 20;

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
  const decision = await decide(job, signal);
  if (decision.kind !== "down") {
    return { ...decision, withdrawn: await withdraw(job, signal) };
  }
  tellOf(decision.snapshot, job);
  return hand(decision.snapshot, job, signal);
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

type Decision =
  | { readonly kind: "live" }
  | { readonly kind: "withheld"; readonly error: ServiceError }
  | { readonly kind: "down"; readonly snapshot: FoundSnapshot };

/**
 * Asks the control plane, and reads the snapshot where no answer comes at once. A control plane that
 * lives wins, whatever it gives this data plane; only one that is not there, lets nobody in, or gives
 * nothing to anybody lets a snapshot in. The question ends early where nobody is there and the snapshot
 * is at hand.
 */
async function decide(job: ImportJob, signal: AbortSignal): Promise<Decision> {
  const { probe, clock, log } = job;
  if (probe === undefined) {
    log.info({}, "control plane is not asked, import is forced");
    return { kind: "down", snapshot: await read(job, signal) };
  }
  using scope = new Scope(signal);
  const absences = new Mailbox<Unreachable>();
  const asked = probe({ onAbsent: (absence) => absences.put(absence) }, scope.signal);
  const readMeanwhile = async (): Promise<FoundSnapshot> => {
    const early = await Promise.race([clock.sleep(HEAD_START_MS, scope.signal), asked]);
    if (early?.kind === "reachable" || early?.kind === "withheld") return forever(scope.signal);
    return read(job, scope.signal);
  };
  const reading = readMeanwhile();
  const absent = async (): Promise<Unreachable> => {
    const absence = await absences.newest(scope.signal);
    // Without a snapshot nothing helps but a control plane that comes back in time.
    await reading.catch(() => forever(scope.signal));
    return absence;
  };
  // What becomes of those that are not waited for is of no interest.
  for (const work of [asked, reading]) work.catch(() => {});
  const { attempts, ...answer } = await Promise.race([asked, absent()]);
  switch (answer.kind) {
    case "reachable":
      log.info({ attempts }, "control plane is reachable, nothing to import");
      return { kind: "live" };
    case "withheld":
      return withheld(answer.error, log);
    case "silent": {
      log.warn({ err: answer.error, attempts }, "control plane sends no config");
      const snapshot = await reading;
      const plugins = undeclared(snapshot, job);
      const reason = plugins.length > 0 && (await whyWithheld(plugins, probe, signal));
      return reason ? withheld(reason, log) : { kind: "down", snapshot };
    }
    case "unreachable":
      log.warn({ err: answer.error, attempts }, "control plane is unreachable");
      return { kind: "down", snapshot: await reading };
    default:
      return answer satisfies never;
  }
}

function withheld(error: ServiceError, log: Log): Decision {
  log.error(
    { err: error },
    "control plane lives and withholds its config from this data plane, nothing is imported",
  );
  return { kind: "withheld", error };
}

/** Plugins that the snapshot uses, and that were not declared. */
function undeclared({ config }: Snapshot, { declared }: ImportJob): readonly string[] {
  return [...configuredPlugins(config)].filter((name) => !declared.includes(name));
}

/**
 * Why a control plane that gave nothing gives others a config: they have these plugins. Undefined where
 * it gives nothing to those that have them either.
 */
async function whyWithheld(
  plugins: readonly string[],
  probe: NonNullable<ImportJob["probe"]>,
  signal: AbortSignal,
): Promise<ServiceError | undefined> {
  const answer = await probe({ plugins }, signal);
  switch (answer.kind) {
    case "reachable":
      return new SourceError(
        "SOURCE_WITHHELD",
        `the control plane sends its config only to data planes that have the plugins ${plugins.join(", ")}`,
        {
          hint: "Install them on the data plane, and add their names to KONG_PLUGINS there and here.",
        },
      );
    case "withheld":
      return answer.error;
    case "silent":
    case "unreachable":
      return undefined;
    default:
      return answer satisfies never;
  }
}

function read(job: ImportJob, signal: AbortSignal): Promise<FoundSnapshot> {
  const { latest, readTimeoutMs, clock, random, log } = job;
  return keepTryingWithin(
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
}

function tellOf({ config, metadata }: Snapshot, { clock, log }: ImportJob): void {
  if (metadata === undefined) {
    log.warn(
      { bytes: config.length },
      "snapshot carries no metadata, e.g. after a copy by hand; its digest and Kong version are not checked",
    );
    return;
  }
  const { kongVersion, configHash, exportedAt, exporterId } = metadata;
  const ageSeconds = Math.round((clock.now().getTime() - exportedAt.getTime()) / 1000);
  log.info(
    { kongVersion, configHash, bytes: config.length, exportedAt, ageSeconds, exporterId },
    "snapshot read",
  );
}

/** To the target; where that refuses it and is left empty, the newest of the earlier ones that it takes. */
async function hand(
  newest: FoundSnapshot,
  job: ImportJob,
  signal: AbortSignal,
): Promise<ImportOutcome> {
  let refusal: TargetError;
  try {
    return await apply(newest, 0, job, signal);
  } catch (error) {
    if (!(error instanceof TargetError) || !error.leftEmpty) throw error;
    refusal = error;
  }
  job.log.error(
    { err: refusal, target: job.target.name },
    "target refuses the newest snapshot and holds no config, trying older ones of the history",
  );
  let refused = 1;
  for await (const earlier of job.earlier(newest, signal)) {
    try {
      tellOf(earlier, job);
      const outcome = await apply(earlier, refused, job, signal);
      const { origin, metadata } = earlier;
      job.log.error(
        { refused, exportedAt: metadata?.exportedAt, ...(origin.kind === "history" && origin) },
        "an older snapshot was imported, for the target refuses what is newer",
      );
      return outcome;
    } catch (error) {
      if (!(error instanceof TargetError) || !error.leftEmpty) throw error;
      job.log.warn({ err: error, target: job.target.name }, "target refuses this one, too");
      refused += 1;
    }
    if (refused > MAX_EARLIER) break;
  }
  throw refusal;
}

async function apply(
  saved: FoundSnapshot,
  refused: number,
  { target, adaptTo, log }: ImportJob,
  signal: AbortSignal,
): Promise<ImportOutcome> {
  const adapted = adaptTo && adaptSnapshot(saved, adaptTo, log);
  const snapshot = adapted?.snapshot ?? saved;
  const result = await target.apply(snapshot, signal);
  const bytes = snapshot.config.length;
  log.info(
    { target: target.name, bytes, configHash: snapshot.metadata?.configHash },
    result === "applied" ? "config imported" : "target holds this config already",
  );
  const { metadata } = saved;
  return { kind: "imported", result, bytes, metadata, changes: adapted?.changes, refused };
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
