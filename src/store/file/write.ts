/** Writing to a directory so that it survives a crash, and clearing away what no longer serves. */

import { randomInt } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import { mkdir, open, readdir, rm, rmdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Clock } from "../../core/clock.ts";
import { isErrno } from "./errors.ts";
import type { ObjectFiles } from "./layout.ts";
import { parseCompanionName } from "./layout.ts";
import { evict } from "./locks.ts";
import type { Turn } from "./turn.ts";

const CHUNK_BYTES = 1024 * 1024;

const UNSUPPORTED = ["ENOTSUP", "EOPNOTSUPP", "ENOSYS"];

/** An unfinished write this much older than ours was left by a writer that died. */
const LEFTOVER_MS = 60 * 60 * 1000;

/**
 * Makes a folder and those above it where they are missing, mode 0700. Not by `recursive` of Node,
 * which reports ENOENT for a full or read-only file system (MKDirp in its src/node_file.cc).
 */
export async function makeFolder(path: string, withParents = true): Promise<void> {
  try {
    await mkdir(path, { mode: 0o700 });
  } catch (error) {
    if (isErrno(error, "EEXIST")) return;
    if (!withParents || !isErrno(error, "ENOENT")) throw error;
    await makeFolder(dirname(path));
    return makeFolder(path, false);
  }
  await syncFolder(dirname(path));
}

/**
 * A new file, mode 0600, whose bytes are on the disk when this resolves: to its time of change, in
 * nanoseconds since 1970, which no other file has that is written before or after it.
 */
export async function writeDurably(
  path: string,
  bytes: Uint8Array,
  clock: Clock,
  signal: AbortSignal,
): Promise<bigint> {
  await using file = await open(path, "wx", 0o600);
  for (let done = 0; done < bytes.byteLength; ) {
    signal.throwIfAborted();
    const { bytesWritten } = await file.write(
      bytes,
      done,
      Math.min(CHUNK_BYTES, bytes.byteLength - done),
    );
    done += bytesWritten;
  }
  signal.throwIfAborted();
  await stamp(file, clock);
  await syncAsFarAsPossible(file);
  return (await file.stat({ bigint: true })).mtimeNs;
}

/**
 * Sets the time of change two to three seconds back, with digits of its own below the second. A file
 * system's own stamps are too coarse: two writes within one tick of its clock (4 ms is common, 2 s the
 * worst) get the same.
 */
async function stamp(file: FileHandle, clock: Clock): Promise<void> {
  const seconds = Math.floor(clock.now().getTime() / 1000) - 3 + randomInt(1e6) / 1e6;
  try {
    await file.utimes(seconds, seconds);
  } catch (error) {
    // Then what else has changed is told by reading it.
    if (!isErrno(error, "EPERM", "EACCES", "EINVAL", ...UNSUPPORTED)) throw error;
  }
}

/** Puts the folder's names on the disk, as far as the file system can. */
export async function syncFolder(folder: string): Promise<void> {
  let handle: FileHandle;
  try {
    handle = await open(folder, "r");
  } catch (error) {
    // A folder above the store that may be entered but not read.
    if (isErrno(error, "EACCES", "EPERM")) return;
    throw error;
  }
  try {
    await syncAsFarAsPossible(handle);
  } finally {
    await handle.close();
  }
}

/** SMB and some FUSE file systems have no fsync for folders, a few none at all: then nothing more can be had there. */
async function syncAsFarAsPossible(handle: FileHandle): Promise<void> {
  try {
    await handle.sync();
  } catch (error) {
    if (!isErrno(error, "EINVAL", ...UNSUPPORTED)) throw error;
  }
}

/**
 * Removes the object's companions but the one named `keep`, and what writers that died left
 * unfinished. Never rejects: the write is done, and the next one sweeps again.
 */
export async function sweep(
  turn: Turn,
  { hidden, name, lock }: ObjectFiles,
  keep: string | undefined,
): Promise<void> {
  try {
    const found = (await readdir(hidden)).map((file) => ({ file, path: join(hidden, file) }));
    for (const { file, path } of found) {
      if (parseCompanionName(file)?.name === name && path !== keep) await turn.withdraw(path);
    }
    // Two ages by one clock, that of the file system.
    const ours = await stat(turn.path(""));
    const isLeft = ({ mtimeMs }: { readonly mtimeMs: number }): boolean =>
      ours.mtimeMs - mtimeMs > LEFTOVER_MS;
    for (const { path } of found.filter(({ file }) => file.endsWith(".tmp"))) {
      if (isLeft(await stat(path))) await rm(path, { recursive: true, force: true });
    }
    // Of objects that nobody writes any more, such as entries of the history. A holder's beat is no older
    // than a second; an eviction harms none, at any time.
    for (const { path } of found.filter(({ path }) => path.endsWith(".lock") && path !== lock)) {
      for (const token of await readdir(path)) {
        if (isLeft(await stat(join(path, token, "beat")))) {
          await evict({ hidden, lock: path }, token);
          await rmdir(path);
        }
      }
    }
  } catch {
    // See above.
  }
}

/** Removes an object without a turn: for a full disk, which has no room for one. */
export async function removeUnlocked({ body, hidden, name }: ObjectFiles): Promise<void> {
  await rm(body, { force: true });
  for (const file of await readdir(hidden)) {
    if (parseCompanionName(file)?.name === name) await rm(join(hidden, file), { force: true });
  }
}
