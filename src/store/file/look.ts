/** Reading an object of a directory without a lock: body and metadata that belong together. */

import { createHash } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import { open, readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import type { ObjectHead } from "../port.ts";
import { StoreError } from "../port.ts";
import { isErrno } from "./errors.ts";
import type { Place } from "./layout.ts";
import { companionBytes, companionOf, decodeCompanion, isCompanion, versionOf } from "./layout.ts";

/** How often an object that is replaced while it is read is read again. */
const ATTEMPTS = 100;

const CHUNK_BYTES = 1024 * 1024;

/** What a look does with the body; several beginnings, where it had to start over. */
export interface Visitor {
  /** May throw to refuse the body. */
  begin(bytes: number): void;
  /** `chunk` is overwritten after the call; `before` is the number of bytes that came before it. */
  chunk(chunk: Uint8Array, before: number): void;
}

/**
 * Undefined where there is no object. Rejects with errors of `node:fs`, with what the visitor
 * throws, with `signal.reason`, and with STORE_UNAVAILABLE if the object does not stand still.
 *
 * A companion fits one body only, and goes only after that body was replaced. So: a companion that
 * is there belongs to what was read; one that is missing means either that the body was replaced
 * meanwhile - the path then leads to another file - or that the body came without one, by hand.
 */
export async function look(
  place: Place,
  visitor: Visitor | undefined,
  signal: AbortSignal,
): Promise<ObjectHead | undefined> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    signal.throwIfAborted();
    // Kept open to the end: no other file can get its inode number meanwhile.
    await using handle = await openBody(place.body);
    const before = await handle?.stat({ bigint: true });
    if (handle === undefined || before?.isFile() !== true) return undefined;
    const bytes = Number(before.size);
    visitor?.begin(bytes);
    const digest = await digestOf(handle, bytes, visitor, signal);
    const after = await handle.stat({ bigint: true });
    // Written in place, thus not by us but by a copy under way.
    if (before.size !== after.size || before.mtimeNs !== after.mtimeNs) continue;
    const own = await readIfThere(companionOf(place, digest));
    if (own === undefined && (await wasReplaced(place.body, after))) continue;
    const companion = own ?? (await companionOfLength(place, bytes));
    const version = versionOf(digest, companion ?? new Uint8Array());
    const metadata = companion === undefined ? {} : decodeCompanion(companion);
    return { key: place.key, version, bytes, metadata };
  }
  throw new StoreError(
    "STORE_UNAVAILABLE",
    `could not read ${place.body}: it was replaced while it was read, or written in place, ${ATTEMPTS} times in a row`,
    { hint: "Look who writes it so often." },
  );
}

/** SHA-256 of the first `bytes` bytes, in lower-case hex; of fewer if the file has become shorter. */
async function digestOf(
  handle: FileHandle,
  bytes: number,
  visitor: Visitor | undefined,
  signal: AbortSignal,
): Promise<string> {
  const hash = createHash("sha256");
  const buffer = Buffer.allocUnsafe(Math.min(bytes, CHUNK_BYTES));
  for (let done = 0; done < bytes; ) {
    const wanted = Math.min(bytes - done, buffer.byteLength);
    const { bytesRead } = await handle.read(buffer, 0, wanted, done);
    signal.throwIfAborted();
    if (bytesRead === 0) break;
    const chunk = buffer.subarray(0, bytesRead);
    hash.update(chunk);
    visitor?.chunk(chunk, done);
    signal.throwIfAborted();
    done += bytesRead;
  }
  return hash.digest("hex");
}

async function openBody(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, "r");
  } catch (error) {
    // ENOTDIR: a segment of the key is another object.
    if (isErrno(error, "ENOENT", "ENOTDIR")) return undefined;
    throw error;
  }
}

async function readIfThere(path: string): Promise<Uint8Array | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

/**
 * A body as long as the one some companion was written for, but of other content, was hardly put
 * there by hand: bits of it have changed. With those metadata, who knows the digest can tell.
 */
async function companionOfLength(place: Place, bytes: number): Promise<Uint8Array | undefined> {
  for (const file of await namesIn(place.hidden)) {
    if (!isCompanion(place, file)) continue;
    const companion = await readIfThere(join(place.hidden, file));
    if (companion !== undefined && companionBytes(companion) === bytes) return companion;
  }
  return undefined;
}

async function namesIn(folder: string): Promise<readonly string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return [];
    throw error;
  }
}

async function wasReplaced(
  path: string,
  read: { readonly dev: bigint; readonly ino: bigint },
): Promise<boolean> {
  try {
    const now = await stat(path, { bigint: true });
    return now.ino !== read.ino || now.dev !== read.dev;
  } catch (error) {
    if (isErrno(error, "ENOENT")) return true;
    throw error;
  }
}
