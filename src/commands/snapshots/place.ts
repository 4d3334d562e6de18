/** Where snapshots are looked for: each Kong version in each store. */

import { type KongVersion, parseKongVersion } from "../../kong/version.ts";
import { SettingsError } from "../../runtime/settings.ts";
import { Archive } from "../../snapshots/archive.ts";
import { CurrentObject } from "../../snapshots/current.ts";
import { SnapshotError } from "../../snapshots/errors.ts";
import { missingSnapshot, savedVersions } from "../../snapshots/reader.ts";
import type { Seal } from "../../snapshots/seal/seal.ts";
import { opened, type Sighting } from "../../snapshots/sighting.ts";
import type { Snapshot } from "../../snapshots/snapshot.ts";
import { type Store, StoreError } from "../../store/port.ts";
import type { Terminal } from "../confirm.ts";
import { type CommandContext, requireSettings } from "../context.ts";
import { openConfiguredSeal } from "../seal.ts";
import { openConfiguredStores } from "../store.ts";

/** One Kong version in one store. */
export interface Place {
  readonly version: KongVersion;
  readonly store: Store;
  readonly current: CurrentObject;
  /** Keeps a history. */
  readonly archive: Archive;
}

export interface OpenPlaces extends AsyncDisposable {
  /** Not empty: the versions in the order of the settings, of each the stores in theirs. */
  readonly places: readonly Place[];
  readonly seal: Seal;
}

/** What an action of `snapshots` is given. */
export interface ActionContext extends CommandContext {
  readonly stdin: Terminal["stdin"];
  readonly places: readonly Place[];
  readonly seal: Seal;
}

/**
 * The versions of KONG_VERSION, with `allVersions` also those that lie in the stores. Rejects with
 * SettingsError, StoreError, and SNAPSHOT_MISSING where there is no version at all.
 */
export async function openPlaces(
  context: CommandContext,
  allVersions: boolean,
  signal: AbortSignal,
): Promise<OpenPlaces> {
  const { settings, log } = context;
  const required = requireSettings(
    "this command",
    {
      KONG_CLUSTER_FALLBACK_CONFIG_STORAGE: settings.storages,
      ...(allVersions ? {} : { KONG_VERSION: settings.kongVersions }),
    },
    "Run it where the exporter's settings are, or give --storage and --kong-version.",
  );
  const seal = await openConfiguredSeal(settings);
  const opened = await openConfiguredStores(required.KONG_CLUSTER_FALLBACK_CONFIG_STORAGE, context);
  const { stores } = opened;
  const close = () => opened[Symbol.asyncDispose]();
  try {
    const found = allVersions ? await versionsIn(stores, signal) : [];
    const versions = [...new Set([...settings.kongVersions, ...found])];
    const { maxConfigBytes } = settings;
    const places = versions.flatMap((version) =>
      stores.map((store) => {
        const options = { store, seal, kongVersion: version, maxConfigBytes, log };
        const archive = new Archive({ ...options, keepHistory: true });
        return { version, store, current: new CurrentObject(options), archive };
      }),
    );
    return { places, seal, [Symbol.asyncDispose]: close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** For messages. */
export function placeName({ version, store }: Place): string {
  return `Kong ${version} in ${store.url}`;
}

/** The places of the one version that is configured. Throws SettingsError where several are. */
export function onlyVersion(places: readonly Place[], action: string): readonly Place[] {
  const versions = [...new Set(places.map(({ version }) => version))];
  if (versions.length <= 1) return places;
  throw new SettingsError(
    [`KONG_VERSION: snapshots ${action} is for one version, not for ${versions.join(", ")}`],
    `Name one: --kong-version ${versions[0]}`,
  );
}

/** The current snapshot itself, verified; nothing of the history in its place. Rejects with SnapshotError, StoreError. */
export async function readCurrent(place: Place, signal: AbortSignal): Promise<Snapshot> {
  return opened(await sightCurrentOf(place, signal));
}

/** As `readCurrent`, but one that none of our keys opens will do. */
export async function sightCurrentOf(
  { version, store, current }: Place,
  signal: AbortSignal,
): Promise<Sighting> {
  try {
    return await current.sight(signal);
  } catch (error) {
    if (!(error instanceof StoreError) || error.code !== "STORE_NOT_FOUND") throw error;
    throw await missingSnapshot(store, version, error, signal);
  }
}

/** Those of all stores that answer; where none does, rejects as the first. */
async function versionsIn(
  stores: readonly Store[],
  signal: AbortSignal,
): Promise<readonly KongVersion[]> {
  const found: KongVersion[] = [];
  const failures: StoreError[] = [];
  for (const store of stores) {
    try {
      const folders = await savedVersions(store, Number.POSITIVE_INFINITY, signal);
      found.push(...folders.map(parseKongVersion).filter((version) => version !== undefined));
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      failures.push(error);
    }
  }
  const [failure] = failures;
  if (found.length > 0) return found;
  if (failure !== undefined) throw failure;
  throw new SnapshotError(
    "SNAPSHOT_MISSING",
    `nothing is saved for any Kong version in ${stores.map(({ url }) => url).join(", ")}`,
    { hint: "Check the storage URL's prefix, and that an exporter runs." },
  );
}
