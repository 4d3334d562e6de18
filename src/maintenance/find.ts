/** Which snapshot is meant: `current`, or the id of one in the history. */

import { ServiceError } from "../core/errors.ts";
import type { Log } from "../core/log.ts";
import { SnapshotError } from "../snapshots/errors.ts";
import { isNewer } from "../snapshots/order.ts";
import type { SealMarks } from "../snapshots/seal/seal.ts";
import { opened } from "../snapshots/sighting.ts";
import type { Snapshot } from "../snapshots/snapshot.ts";
import { CURRENT, folderName, sightCurrentOf, type VersionFolder } from "./folder.ts";

/** The one that was asked for by name. */
export interface NamedSnapshot extends Snapshot {
  /** As it was asked for. */
  readonly which: string;
  /** The name of the folder in which it was found, or the path of a file. */
  readonly where: string;
  /** Why it was held back; undefined for one that was not. */
  readonly held: string | undefined;
  /** How it was sealed where it lay; undefined for a file. */
  readonly marks: SealMarks | undefined;
}

/**
 * Verified. `current` is the newest of the folders' current ones; an id is looked for in one folder
 * after the other. `folders`, not empty, are those of one version. A store that fails is passed over
 * with a warning, as long as another one has it. Rejects with SnapshotError, StoreError.
 */
export async function findSnapshot(
  which: string,
  folders: readonly VersionFolder[],
  log: Log,
  signal: AbortSignal,
): Promise<NamedSnapshot> {
  const errors: ServiceError[] = [];
  let newest: NamedSnapshot | undefined;
  for (const folder of folders) {
    try {
      const found = await findIn(folder, which, signal);
      if (which !== CURRENT) return found;
      if (newest === undefined || isNewerFound(found, newest)) newest = found;
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof ServiceError)) throw error;
      errors.push(error);
    }
  }
  const worst = errors.find((error) => error instanceof SnapshotError) ?? errors[0];
  if (newest === undefined && worst !== undefined) throw worst;
  if (newest === undefined) throw new TypeError("there is no folder to look for a snapshot in");
  for (const err of errors) log.warn({ err }, "a store was passed over");
  return newest;
}

async function findIn(
  folder: VersionFolder,
  which: string,
  signal: AbortSignal,
): Promise<NamedSnapshot> {
  const where = folderName(folder);
  if (which === CURRENT) {
    const sighting = await sightCurrentOf(folder, signal);
    return { ...opened(sighting), which, where, held: undefined, marks: sighting.marks };
  }
  const sighting = await folder.archive.history.sight(which, signal);
  const { held, marks } = sighting;
  return { ...opened(sighting), which, where, held, marks };
}

/** By time alone: each store has fencing tokens of its own. */
function isNewerFound(a: NamedSnapshot, b: NamedSnapshot): boolean {
  if (a.metadata === undefined || b.metadata === undefined) return b.metadata === undefined;
  return isNewer({ ...a.metadata, fencingToken: 0 }, { ...b.metadata, fencingToken: 0 });
}
