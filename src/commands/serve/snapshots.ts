/** Settings to what can be served: the shelf, what keeps it filled from disk and store, and the directory in which it is kept for a restart without either. */

import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Clock } from "../../core/clock.ts";
import { ServiceError } from "../../core/errors.ts";
import type { Log } from "../../core/log.ts";
import { inTime, Scope } from "../../core/waiting.ts";
import { compareCounts, type GuardPolicy } from "../../exporter/guard.ts";
import { type KongVersion, parseKongVersion } from "../../kong/version.ts";
import { loadNodeId } from "../../runtime/node-id.ts";
import { DiskCache } from "../../sidecar/shelf/disk-cache.ts";
import { Refresher } from "../../sidecar/shelf/refresher.ts";
import { Remember } from "../../sidecar/shelf/remember.ts";
import { Shelf, type ShelfGuard } from "../../sidecar/shelf/shelf.ts";
import { versionOfCurrentKey } from "../../snapshots/layout.ts";
import { checkDemands } from "../../snapshots/reader.ts";
import type { Seal } from "../../snapshots/seal/seal.ts";
import type { FoundSnapshot } from "../../snapshots/snapshot.ts";
import type { Store } from "../../store/port.ts";
import { parseStorageUrl } from "../../store/storage-url.ts";
import type { CommandContext } from "../context.ts";
import { openConfiguredSeal } from "../seal.ts";
import { openConfiguredStore, openReadableStores, readerOf } from "../storage.ts";

/** A dead store does not hold up the start for longer, milliseconds. */
const FIRST_ROUND_MS = 3_000;
/** What one line of the log tells of a hold. */
const MAX_LOGGED_REASONS = 10;

export interface ServableSnapshots {
  readonly shelf: Shelf;
  readonly refresher: Refresher;
  /** Undefined where nothing is to be remembered. */
  readonly remember: Remember | undefined;
  /** See SnapshotReader; none where no store is configured. */
  earlier(than: FoundSnapshot, signal: AbortSignal): AsyncIterable<FoundSnapshot>;
  /**
   * Works until `stop` aborts or it is disposed of; what was found by then is still written to disk,
   * for as long as `deadline` allows.
   */
  keep(stop: AbortSignal, deadline: AbortSignal): Keeping;
}

export interface Keeping extends AsyncDisposable {
  /** Resolves when everything is written. Rejects only for a bug. */
  readonly ended: Promise<void>;
}

/** The keys and stores that snapshots come from, for readTogether. */
export function readSnapshotParts(context: CommandContext, log: Log) {
  const { settings } = context;
  return {
    seal: ["the seal's keys", () => openConfiguredSeal(settings)],
    storage: [
      "the store's certificates",
      () => openReadableStores(settings.storages, context, log),
    ],
  } as const;
}

export interface SnapshotParts {
  readonly seal: Seal;
  /** Closed by whoever opened them. */
  readonly stores: readonly Store[];
  readonly stateDir: StateDir;
}

/** Wants the versions of KONG_VERSION, and those kept on disk. Rejects with `signal.reason`. */
export async function openSnapshots(
  context: CommandContext,
  { seal, stores, stateDir }: SnapshotParts,
  log: Log,
  signal: AbortSignal,
): Promise<ServableSnapshots> {
  const { settings, clock, random } = context;
  const { maxConfigBytes, refreshMs, versionMatch: match } = settings;
  const { nodeId, snapshots: diskStore } = stateDir;
  const shelf = new Shelf(guardOf(settings.guard, log));
  const common = { shelf, maxConfigBytes, clock, random, log };
  const { trusted } = seal;
  const disk =
    diskStore &&
    new DiskCache({ ...common, match, store: diskStore, seal: await seal.forOwnUse(), trusted });
  const refresher = new Refresher({
    ...common,
    disk: disk && {
      read: async (version, signal) => {
        const kept = await disk.read(version, signal);
        const name = `the snapshot of Kong ${version} on the disk`;
        if (kept !== undefined) checkDemands(kept.metadata, settings, name);
        return kept;
      },
    },
    store:
      stores.length === 0
        ? undefined
        : (version) => readerOf(stores, version, context, { seal, log }),
    refreshMs,
    firstRoundMs: FIRST_ROUND_MS,
  });
  // What passes by was rehearsed by nobody.
  const mayRemember = settings.remember && !settings.requireRehearsed;
  const remember = mayRemember ? new Remember({ ...common, exporterId: nodeId }) : undefined;
  if (disk !== undefined) shelf.onNewer((_, servable) => disk.keep(servable));
  const kept = diskStore === undefined ? [] : await keptVersions(diskStore, clock, signal);
  for (const version of [...settings.kongVersions, ...kept]) void refresher.want(version);
  const run = async (stop: AbortSignal, deadline: AbortSignal): Promise<void> => {
    using finding = new Scope();
    const writing = disk?.run(finding.signal, deadline);
    await Promise.all([refresher.run(stop), remember?.run(stop)]).finally(() => finding.end());
    await writing;
  };
  return {
    shelf,
    refresher,
    remember,
    async *earlier(than, stop) {
      if (stores.length === 0) return;
      yield* readerOf(stores, than.kongVersion, context, { seal, log }).earlier(than, stop);
    },
    keep(stop, deadline) {
      const keeping = new Scope(stop);
      const ended = run(keeping.signal, deadline);
      return {
        ended,
        async [Symbol.asyncDispose]() {
          keeping.end();
          await ended;
        },
      };
    },
  };
}

/** The exporter's rule: what it would not save is not given in an outage either. */
export function guardOf(policy: GuardPolicy, log: Log): ShelfGuard {
  return {
    examine: (fresh, current) => {
      const answer = compareCounts(fresh, current, policy);
      return answer.kind === "held" ? answer.reasons : [];
    },
    onHeld: (kongVersion, held) => {
      if (held === undefined) {
        log.info({ kongVersion }, "what the control plane sends is remembered again");
        return;
      }
      const { configHash } = held.metadata;
      log.error(
        {
          ...{ kongVersion, configHash, reasons: held.reasons.slice(0, MAX_LOGGED_REASONS) },
          hint: "Data planes get it from the control plane. In an outage new ones get the one before, until this one is saved as current: kong-fallback snapshots restore lets it pass.",
        },
        "config passed on but not remembered: it lost too much of what the one before has",
      );
    },
  };
}

/** None where the directory cannot be read: the first config that is kept says why. A disk that hangs does not hold up the start. */
async function keptVersions(
  store: Store,
  clock: Clock,
  signal: AbortSignal,
): Promise<readonly KongVersion[]> {
  const versions: KongVersion[] = [];
  const list = async (stop: AbortSignal): Promise<void> => {
    for await (const { key } of store.list("", stop)) {
      const version = parseKongVersion(versionOfCurrentKey(key) ?? "");
      if (version !== undefined) versions.push(version);
    }
  };
  try {
    await inTime(FIRST_ROUND_MS, clock, signal, list);
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof ServiceError)) throw error;
  }
  return [...versions];
}

export interface StateDir extends AsyncDisposable {
  readonly nodeId: string;
  /** Undefined: nothing is kept. */
  readonly snapshots: Store | undefined;
}

/** `purpose`: see `loadNodeId`. A directory that cannot be used is complained of; one that hangs is left alone from then on. */
export async function openStateDir(
  context: CommandContext,
  purpose: string,
  signal: AbortSignal,
): Promise<StateDir> {
  const { stateDir } = context.settings;
  const { nodeId, hangs } = await loadNodeId({ ...context, stateDir, purpose }, signal);
  const isUsed = stateDir !== undefined && !hangs;
  const snapshots = isUsed ? await openDiskStore(stateDir, context) : undefined;
  return {
    nodeId,
    snapshots,
    [Symbol.asyncDispose]: async () => snapshots?.[Symbol.asyncDispose](),
  };
}

function openDiskStore(stateDir: string, context: CommandContext): Promise<Store> {
  const { href } = pathToFileURL(join(stateDir, "snapshots"));
  return openConfiguredStore(parseStorageUrl(href), context);
}
