/** Which snapshot is meant: `current`, the id of one in the history, or a file. */

import { readFile, stat } from "node:fs/promises";
import { describeCause, ServiceError } from "../../core/errors.ts";
import { checkDeclarativeConfig } from "../../kong/declarative-config.ts";
import { SnapshotError } from "../../snapshots/errors.ts";
import { unpackConfig } from "../../snapshots/history-body.ts";
import { parseHistoryId } from "../../snapshots/layout.ts";
import { isNewer } from "../../snapshots/order.ts";
import type { SealMarks } from "../../snapshots/seal/seal.ts";
import { maxKeptBytes, opened } from "../../snapshots/sighting.ts";
import type { Snapshot } from "../../snapshots/snapshot.ts";
import { UsageError } from "../usage-error.ts";
import { type ActionContext, onlyVersion, type Place, placeName, sightCurrentOf } from "./place.ts";

/** The word for what is current. */
export const CURRENT = "current";

export interface FoundSnapshot extends Snapshot {
  /** As it was asked for. */
  readonly which: string;
  /** Where it was found, with its store, or its path. */
  readonly place: string;
  /** Why it was held back; undefined for one that was not. */
  readonly held: string | undefined;
  /** How it was sealed where it lay; undefined for a file. */
  readonly marks: SealMarks | undefined;
}

/**
 * Verified. `current` is the newest of the stores' current ones; an id is looked for in one store
 * after the other. A store that fails is passed over with a warning, as long as another one has it.
 * Rejects with SettingsError where several versions are configured, SnapshotError, StoreError.
 */
export async function findSnapshot(
  which: string,
  { places, log }: ActionContext,
  action: string,
  signal: AbortSignal,
): Promise<FoundSnapshot> {
  const errors: ServiceError[] = [];
  let newest: FoundSnapshot | undefined;
  for (const place of onlyVersion(places, action)) {
    try {
      const found = await findIn(place, which, signal);
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
  if (newest === undefined) throw new TypeError("there is no place to look for a snapshot");
  for (const err of errors) log.warn({ err }, "a store was passed over");
  return newest;
}

/** As `findSnapshot`, and paths of files: a config as Kong takes it, or an object of a store, gzip or encrypted. */
export async function findOperand(
  which: string,
  context: ActionContext,
  signal: AbortSignal,
): Promise<FoundSnapshot> {
  const isFile =
    which !== CURRENT && parseHistoryId(which) === undefined && (await isReadable(which));
  return isFile ? readConfigFile(which, context) : findSnapshot(which, context, "diff", signal);
}

async function findIn(place: Place, which: string, signal: AbortSignal): Promise<FoundSnapshot> {
  if (which === CURRENT) {
    const sighting = await sightCurrentOf(place, signal);
    const { marks } = sighting;
    return { ...opened(sighting), which, place: placeName(place), held: undefined, marks };
  }
  const sighting = await place.archive.history.sight(which, signal);
  const { held, marks } = sighting;
  return { ...opened(sighting), which, place: placeName(place), held, marks };
}

/** By time alone: each store has fencing tokens of its own. */
function isNewerFound(a: FoundSnapshot, b: FoundSnapshot): boolean {
  if (a.metadata === undefined || b.metadata === undefined) return b.metadata === undefined;
  return isNewer({ ...a.metadata, fencingToken: 0 }, { ...b.metadata, fencingToken: 0 });
}

async function isReadable(path: string): Promise<boolean> {
  // What is no file is taken for an id, and the history says that it has none.
  return (await stat(path).catch(() => undefined))?.isFile() === true;
}

async function readConfigFile(
  path: string,
  { settings: { maxConfigBytes }, seal }: ActionContext,
): Promise<FoundSnapshot> {
  const stored = await readFile(path).catch((cause: unknown) => {
    throw new UsageError(`${path} cannot be read: ${describeCause(cause)}`, "Check its rights.");
  });
  const bytes = await seal.open(stored, path, maxKeptBytes(maxConfigBytes));
  const isGzip = bytes[0] === 0x1f && bytes[1] === 0x8b;
  const config = isGzip ? await unpackConfig(bytes, maxConfigBytes, path) : bytes;
  try {
    checkDeclarativeConfig(config);
  } catch (cause) {
    throw new SnapshotError(
      "SNAPSHOT_CORRUPT",
      `${path} is no Kong configuration: ${describeCause(cause)}`,
      { cause, hint: "A file must hold JSON as Kong's control plane sends it, gzip or not." },
    );
  }
  return {
    config,
    metadata: undefined,
    which: path,
    place: path,
    held: undefined,
    marks: undefined,
  };
}
