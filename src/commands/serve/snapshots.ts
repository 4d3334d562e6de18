/** Settings to what can be served: the shelf, and what keeps it filled from disk and store. */

import { ServiceError } from "../../core/errors.ts";
import type { Log } from "../../core/log.ts";
import { type KongVersion, parseKongVersion } from "../../kong/version.ts";
import { DiskCache } from "../../sidecar/shelf/disk-cache.ts";
import { Refresher } from "../../sidecar/shelf/refresher.ts";
import { Remember } from "../../sidecar/shelf/remember.ts";
import { Shelf } from "../../sidecar/shelf/shelf.ts";
import { versionOfCurrentKey } from "../../snapshots/layout.ts";
import { checkDemands } from "../../snapshots/reader.ts";
import type { Store } from "../../store/port.ts";
import type { CommandContext } from "../context.ts";
import { openConfiguredSeal } from "../seal.ts";
import { readerOf } from "../snapshot-reader.ts";
import { openConfiguredStores } from "../store.ts";
import type { StateDir } from "./state-dir.ts";

/** A dead store does not hold up the start for longer, milliseconds. */
const FIRST_ROUND_MS = 3_000;

export interface ServableSnapshots extends AsyncDisposable {
  readonly shelf: Shelf;
  readonly refresher: Refresher;
  /** Undefined where nothing is to be remembered. */
  readonly remember: Remember | undefined;
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

/** Wants the versions of KONG_VERSION, and those kept on disk. Rejects with SettingsError or StoreError for what cannot work. */
export async function openSnapshots(
  context: CommandContext,
  { nodeId, snapshots: diskStore }: StateDir,
  log: Log,
): Promise<ServableSnapshots> {
  const { settings, clock, random } = context;
  const { maxConfigBytes, refreshMs, versionMatch: match } = settings;
  const seal = await openConfiguredSeal(settings);
  const storage = await openConfiguredStores(settings.storages, context);
  const { stores } = storage;
  const shelf = new Shelf();
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
  const kept = diskStore === undefined ? [] : await versionsIn(diskStore);
  for (const version of [...settings.kongVersions, ...kept]) void refresher.want(version);
  const run = async (stop: AbortSignal, deadline: AbortSignal): Promise<void> => {
    const found = new AbortController();
    const writing = disk?.run(found.signal, deadline);
    await Promise.all([refresher.run(stop), remember?.run(stop)]).finally(() => found.abort());
    await writing;
  };
  return {
    shelf,
    refresher,
    remember,
    keep(stop, deadline) {
      const over = new AbortController();
      const ended = run(AbortSignal.any([stop, over.signal]), deadline);
      return {
        ended,
        async [Symbol.asyncDispose]() {
          over.abort();
          await ended;
        },
      };
    },
    [Symbol.asyncDispose]: () => storage[Symbol.asyncDispose](),
  };
}

/** None where the directory cannot be read: the first config that is kept says why. */
async function versionsIn(store: Store): Promise<readonly KongVersion[]> {
  const versions: KongVersion[] = [];
  try {
    for await (const { key } of store.list("", new AbortController().signal)) {
      const version = parseKongVersion(versionOfCurrentKey(key) ?? "");
      if (version !== undefined) versions.push(version);
    }
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error;
  }
  return versions;
}
