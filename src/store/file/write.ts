/** Writing to a directory so that it survives a crash, and clearing away what no longer serves. */

import { randomInt } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import { open, readdir, rm, rmdir, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "../../core/clock.ts";
import { syncAsFarAsPossible, UNSUPPORTED } from "../../core/durable.ts";
import { isErrno } from "./errors.ts";
import type { ObjectFiles } from "./layout.ts";
import { parseCompanionName } from "./layout.ts";
import { evict } from "./locks.ts";
import type { Turn } from "./turn.ts";

const CHUNK_BYTES = 1024 * 1024;

/** An unfinished write this much older than ours was left by a writer that died. */
const LEFTOVER_MS = 60 * 60 * 1000;

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
