/** What lies in one store for one Kong version: the current snapshot and its history, as whoever looks after them needs it. */

import type { ServiceError } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import type { KongVersion } from "../kong/version.ts";
import { Archive } from "../snapshots/archive.ts";
import { SnapshotError } from "../snapshots/errors.ts";
import { currentKey, HISTORY_SUFFIX, historyPrefix } from "../snapshots/layout.ts";
import { savedVersions } from "../snapshots/reader.ts";
import type { Seal } from "../snapshots/seal/seal.ts";
import { opened, type Sighting } from "../snapshots/sighting.ts";
import type { Snapshot } from "../snapshots/snapshot.ts";
import { type Store, StoreError } from "../store/port.ts";

/** The word for the snapshot that is current, where others have an id. */
export const CURRENT = "current";

export interface VersionFolder {
  readonly version: KongVersion;
  readonly store: Store;
  /** Keeps a history. */
  readonly archive: Archive;
}

export interface FolderOptions {
  readonly seal: Seal;
  readonly maxConfigBytes: number;
  readonly log: Log;
}

/** The versions in this order, for each of them the stores in theirs. */
export function foldersOf(
  versions: readonly KongVersion[],
  stores: readonly Store[],
  common: FolderOptions,
): readonly VersionFolder[] {
  return versions.flatMap((version) =>
    stores.map((store) => {
      const archive = new Archive({ ...common, store, kongVersion: version, keepHistory: true });
      return { version, store, archive };
    }),
  );
}

/** Versions for which anything lies in the stores that answer; rejects as the first where none does, with SNAPSHOT_MISSING where there is nothing. */
export async function versionsIn(
  stores: readonly Store[],
  signal: AbortSignal,
): Promise<readonly KongVersion[]> {
  const found: KongVersion[] = [];
  const failures: StoreError[] = [];
  for (const store of stores) {
    try {
      found.push(...(await savedVersions(store, Number.POSITIVE_INFINITY, signal)).keys());
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
    { hint: "Check the storage URL's prefix, and that an exporter is running." },
  );
}

/** For messages. */
export function folderName({ version, store }: Pick<VersionFolder, "version" | "store">): string {
  return `Kong ${version} in ${store.url}`;
}

/** The current snapshot itself, verified; nothing from the history in its place. Rejects with SnapshotError, StoreError. */
export async function readCurrent(folder: VersionFolder, signal: AbortSignal): Promise<Snapshot> {
  return opened(await sightCurrentOf(folder, signal));
}

/** As `readCurrent`, but one that none of our keys opens will do. */
export function sightCurrentOf({ archive }: VersionFolder, signal: AbortSignal): Promise<Sighting> {
  return archive.sightCurrent(signal);
}

/** Why an object cannot be used, for a line that names it already: the message, with `it` in place of the object's name. `object`: CURRENT, or an id. */
export function reasonOf(
  { message }: ServiceError,
  { store, version }: VersionFolder,
  object: string,
): string {
  const key =
    object === CURRENT
      ? currentKey(version)
      : `${historyPrefix(version)}/${object}${HISTORY_SUFFIX}`;
  const name = `${store.url}/${key} `;
  return message.startsWith(name) ? `it ${message.slice(name.length)}` : message;
}
