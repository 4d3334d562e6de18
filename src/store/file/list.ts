/** Walking a directory of objects in the order of their keys. */

import type { Dirent } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { isKey } from "../keys.ts";
import type { Key } from "../port.ts";
import { isErrno } from "./errors.ts";
import { HIDDEN } from "./layout.ts";

/**
 * Keys of the plain files below `prefix`, ascending by their bytes, without the store's own. Links
 * to files count as files; links to folders are not followed, for they may lead in a circle.
 */
export async function* walk(
  directory: string,
  prefix: Key | "",
  signal: AbortSignal,
): AsyncIterable<Key> {
  signal.throwIfAborted();
  const folder = join(directory, ...prefix.split("/"));
  const entries = await entriesOf(folder);
  // A folder sorts as its keys do, with the slash: a-b, a.b, a/b, a0.
  const names = entries
    .filter((entry) => entry.name !== HIDDEN)
    // ext2/3/4 puts it in the root of a volume, for root's eyes only.
    .filter((entry) => prefix !== "" || entry.name !== "lost+found")
    .map((entry) => ({
      entry,
      bytes: Buffer.from(entry.isDirectory() ? `${entry.name}/` : entry.name),
    }))
    .toSorted((a, b) => Buffer.compare(a.bytes, b.bytes));
  for (const { entry } of names) {
    const key = prefix === "" ? entry.name : `${prefix}/${entry.name}`;
    // A file somebody put there by hand, under a name no caller could ask for.
    if (!isKey(key)) continue;
    if (entry.isDirectory()) yield* walk(directory, key, signal);
    else if (await isFile(entry, join(folder, entry.name))) yield key;
  }
}

async function entriesOf(folder: string): Promise<Dirent[]> {
  try {
    return await readdir(folder, { withFileTypes: true });
  } catch (error) {
    // Nothing was put there yet, or the prefix is an object.
    if (isErrno(error, "ENOENT", "ENOTDIR")) return [];
    throw error;
  }
}

async function isFile(entry: Dirent, path: string): Promise<boolean> {
  if (!entry.isSymbolicLink()) return entry.isFile();
  try {
    return (await stat(path)).isFile();
  } catch {
    // Dangling, circular, or into a folder we may not enter: no object.
    return false;
  }
}
