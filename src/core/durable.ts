/** Folders, and syncing, on the file systems that there are: not all can do what POSIX asks of them. */

import type { FileHandle } from "node:fs/promises";
import { mkdir, open } from "node:fs/promises";
import { dirname } from "node:path";
import { nodeCodeOf } from "./node-code.ts";

/** What a file system answers that has no such operation. */
export const UNSUPPORTED: readonly string[] = ["ENOTSUP", "EOPNOTSUPP", "ENOSYS"];

/**
 * Makes a folder and those above it where they are missing, mode 0700. Not by `recursive` of Node,
 * which reports ENOENT for a full or read-only file system, and below /proc goes round for ever, deaf to
 * signals (MKDirp in its src/node_file.cc). Rejects with Node's own error; a file in its place is left for
 * the next call to complain of.
 */
export async function makeFolder(path: string, withParents = true): Promise<void> {
  try {
    await mkdir(path, { mode: 0o700 });
  } catch (error) {
    const code = nodeCodeOf(error);
    if (code === "EEXIST") return;
    if (!withParents || code !== "ENOENT") throw error;
    await makeFolder(dirname(path));
    return makeFolder(path, false);
  }
  await syncFolder(dirname(path));
}

/** Puts the folder's names on the disk, as far as the file system can and this user may. */
export async function syncFolder(folder: string): Promise<void> {
  let handle: FileHandle;
  try {
    handle = await open(folder, "r");
  } catch (error) {
    // One that may be entered and written to, but not read.
    if (["EACCES", "EPERM"].includes(nodeCodeOf(error))) return;
    throw error;
  }
  try {
    await syncAsFarAsPossible(handle);
  } finally {
    await handle.close();
  }
}

/** SMB and some FUSE file systems have no fsync for folders, a few none at all: then nothing more can be had there. */
export async function syncAsFarAsPossible(handle: FileHandle): Promise<void> {
  try {
    await handle.sync();
  } catch (error) {
    if (!["EINVAL", ...UNSUPPORTED].includes(nodeCodeOf(error))) throw error;
  }
}
