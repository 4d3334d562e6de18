/** Reading a directory of objects without a lock: which there are, and of each, body and metadata that belong together. */

import { createHash } from "node:crypto";
import { type BigIntStats, constants, type Dirent } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import { open, readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import pRetry from "p-retry";
import { isKey } from "../keys.ts";
import type { Key, ListedObject, ObjectHead } from "../port.ts";
import { StoreError } from "../port.ts";
import { isErrno } from "./errors.ts";
import type { ObjectFiles } from "./layout.ts";
import { companionOf, HIDDEN, parseCompanion, parseCompanionName, versionOf } from "./layout.ts";

/** How often an object that is replaced while it is read is read again. */
const READS = 100;

const CHUNK_BYTES = 1024 * 1024;

/** A pipe would hang whoever opens it until somebody writes into it, and the process with it. */
const FOR_READING = constants.O_RDONLY | constants.O_NONBLOCK;

export type FoundObject = ObjectHead & ListedObject;

/** What is done with the body; several beginnings, where reading had to start over. */
export interface Visitor {
  /** May throw to refuse the body. */
  begin(bytes: number): void;
  /** `chunk` is overwritten after the call; `before` is the number of bytes that came before it. */
  chunk(chunk: Uint8Array, before: number): void;
}

/**
 * Undefined where there is no object. Without a visitor the body is not read, but where it was put
 * there by hand: its digest alone then tells its version. Rejects with errors of `node:fs`, with what
 * the visitor throws, with `signal.reason`, and with STORE_UNAVAILABLE if the object does not stand still.
 * `companions`, if given, may be out of date.
 */
export function readObject(
  files: ObjectFiles,
  visitor: Visitor | undefined,
  signal: AbortSignal,
  companions?: Companions,
): Promise<FoundObject | undefined> {
  // Without a pause: what replaced it is there.
  return pRetry(() => readOnce(files, visitor, signal, companions), {
    retries: READS - 1,
    minTimeout: 0,
    shouldRetry: ({ error }) => error instanceof NotStill,
    signal,
  });
}

/** It was replaced, or written in place, while it was read. */
class NotStill extends StoreError {
  constructor({ body }: ObjectFiles) {
    super(
      "STORE_UNAVAILABLE",
      `could not read ${body}: it was replaced while it was read, or written in place, ${READS} times in a row`,
      { hint: "Find out what writes it so often." },
    );
  }
}

/** Retryable: whoever put it there may be about to put a file in its place. */
function notAFile({ body }: ObjectFiles): StoreError {
  return new StoreError(
    "STORE_MISCONFIGURED",
    `could not read ${body}: it is a pipe or a device, not a file`,
    { retryable: true, hint: "Move it out of the way, or use another prefix." },
  );
}

/**
 * A companion belongs to the body of its digest, and goes only after that body was replaced. So one
 * that is there belongs to what was read; one that is missing means either that the body was replaced
 * meanwhile - the path then leads to another file - or that the body came without one, by hand.
 *
 * Which digest a body has is known without reading it where just one companion was written for a file
 * of its length and time of change: no two writes of the store have the same time, and whoever writes
 * into the file later gives it another.
 */
async function readOnce(
  files: ObjectFiles,
  visitor: Visitor | undefined,
  signal: AbortSignal,
  companions: Companions | undefined,
): Promise<FoundObject | undefined> {
  // Kept open to the end: no other file can get its inode number meanwhile.
  await using handle = await openBody(files.body);
  const before = await handle?.stat({ bigint: true });
  if (handle === undefined || before === undefined || before.isDirectory()) return undefined;
  if (!before.isFile()) throw notAFile(files);
  const bytes = Number(before.size);
  const headOf = ({ digest, text }: Found): FoundObject => {
    const { metadata } = parseCompanion(text);
    const putAt = new Date(Number(before.mtimeMs));
    return { key: files.key, version: versionOf(digest, text), bytes, metadata, putAt };
  };
  const written =
    (companions && (await writtenWith(before, files, companions))) ??
    (await writtenWith(before, files, await companionsIn(files.hidden)));
  if (written !== undefined && visitor === undefined) return headOf(written);
  visitor?.begin(bytes);
  const digest = await digestOf(handle, bytes, visitor, signal);
  const after = await handle.stat({ bigint: true });
  // Written in place, thus not by us but by a copy under way.
  if (before.size !== after.size || before.mtimeNs !== after.mtimeNs) throw new NotStill(files);
  if (written?.digest === digest) return headOf(written);
  const own = await readIfThere(companionOf(files, digest));
  if (own !== undefined) return headOf({ digest, text: own });
  if (await wasReplaced(files.body, after)) throw new NotStill(files);
  // A body as long as the one some companion was written for, but of other content, was hardly put there
  // by hand: bits of it have changed. With those metadata, who knows the digest can tell.
  if (written !== undefined) return headOf(written);
  const like = await companionOfLength(bytes, files);
  return headOf({ digest, text: like?.text ?? new Uint8Array() });
}

/** A companion, and the digest of the body it was written for. */
interface Found {
  readonly digest: string;
  readonly text: Uint8Array;
}

/** The only companion that was written for such a file; undefined where there is none, or more than one. */
async function writtenWith(
  body: BigIntStats,
  files: ObjectFiles,
  companions: Companions,
): Promise<Found | undefined> {
  const found: Found[] = [];
  for (const digest of companions.get(files.name) ?? []) {
    const text = await readIfThere(companionOf(files, digest));
    if (text === undefined) continue;
    const { bytes, mtimeNs } = parseCompanion(text);
    if (bytes === Number(body.size) && mtimeNs === `${body.mtimeNs}`) found.push({ digest, text });
  }
  return found.length === 1 ? found[0] : undefined;
}

async function companionOfLength(bytes: number, files: ObjectFiles): Promise<Found | undefined> {
  for (const digest of (await companionsIn(files.hidden)).get(files.name) ?? []) {
    const text = await readIfThere(companionOf(files, digest));
    if (text !== undefined && parseCompanion(text).bytes === bytes) return { digest, text };
  }
  return undefined;
}

/** By the name of an object, the digests that it has companions for. */
export type Companions = ReadonlyMap<string, readonly string[]>;

export async function companionsIn(hidden: string): Promise<Companions> {
  const found = new Map<string, string[]>();
  for (const file of await namesIn(hidden)) {
    const parsed = parseCompanionName(file);
    if (parsed === undefined) continue;
    const digests = found.get(parsed.name) ?? [];
    digests.push(parsed.digest);
    found.set(parsed.name, digests);
  }
  return found;
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
    return await open(path, FOR_READING);
  } catch (error) {
    // ENOTDIR: a segment of the key is another object.
    if (isErrno(error, "ENOENT", "ENOTDIR")) return undefined;
    throw error;
  }
}

async function readIfThere(path: string): Promise<Uint8Array | undefined> {
  try {
    return await readFile(path, { flag: FOR_READING });
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
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
    else if (await isObject(entry, join(folder, entry.name))) yield key;
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

async function isObject(entry: Dirent, path: string): Promise<boolean> {
  if (!entry.isSymbolicLink()) return entry.isFile();
  try {
    return (await stat(path)).isFile();
  } catch {
    // Dangling, circular, or into a folder we may not enter: no object.
    return false;
  }
}
