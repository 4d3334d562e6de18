/** A directory as a store: each object is a plain file that `cat` and `cp` can restore by hand (docs/stores/file.md). */

import { createHash } from "node:crypto";
import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import type { Clock } from "../core/clock.ts";
import { makeFolder, syncFolder } from "../core/durable.ts";
import { fileError, isErrno } from "./file/errors.ts";
import type { ObjectFiles } from "./file/layout.ts";
import { companionOf, encodeCompanion, filesOf, refuseHidden, versionOf } from "./file/layout.ts";
import { Locks } from "./file/locks.ts";
import type { Companions } from "./file/read.ts";
import { companionsIn, readObject, walk } from "./file/read.ts";
import { Turn } from "./file/turn.ts";
import { removeUnlocked, sweep, writeDurably } from "./file/write.ts";
import { checkKey, checkMetadata, checkPrefix } from "./keys.ts";
import type {
  GetOptions,
  Key,
  ListedObject,
  ObjectHead,
  ObjectInfo,
  Precondition,
  PutOptions,
  Store,
  StoredObject,
  Version,
} from "./port.ts";
import { StoreError } from "./port.ts";

export interface FileStoreOptions {
  /** The storage URL as configured, `file:///directory`. */
  readonly url: string;
  /** Holds the objects. It and its folders are made by the first put, mode 0700; files get 0600. */
  readonly directory: string;
  readonly clock: Clock;
}

/**
 * Promises what the port does, for all processes and machines that share the directory through
 * this class. Only `get` reads bodies, and whatever else meets one that was put there by hand.
 * An abort is noticed between system calls: one that hangs (a lost NFS server) holds it up.
 */
export class FileStore implements Store {
  readonly url: string;
  readonly #directory: string;
  readonly #clock: Clock;
  readonly #locks: Locks;
  #closed = false;

  constructor(options: FileStoreOptions) {
    this.url = options.url;
    this.#directory = resolve(options.directory);
    this.#clock = options.clock;
    this.#locks = new Locks(options.clock);
  }

  async get(key: Key, options: GetOptions, signal: AbortSignal): Promise<StoredObject> {
    return this.#attempt("get", key, signal, async (attempt, files) => {
      let body = new Uint8Array();
      const visitor = {
        begin(bytes: number): void {
          if (bytes > options.maxBytes) throw tooLarge(attempt, bytes, options.maxBytes);
          body = new Uint8Array(bytes);
        },
        chunk(chunk: Uint8Array, before: number): void {
          body.set(chunk, before);
          options.onProgress?.(before + chunk.byteLength, body.byteLength);
        },
      };
      await this.#locks.glance(files);
      const head = await readObject(files, visitor, signal);
      if (head === undefined) throw await this.#missing(attempt);
      return { ...head, body };
    });
  }

  async head(key: Key, signal: AbortSignal): Promise<ObjectHead> {
    return this.#attempt("get", key, signal, async (attempt, files) => {
      await this.#locks.glance(files);
      const head = await readObject(files, undefined, signal);
      if (head === undefined) throw await this.#missing(attempt);
      return head;
    });
  }

  async getIfChanged(
    key: Key,
    than: Version,
    options: GetOptions,
    signal: AbortSignal,
  ): Promise<StoredObject | undefined> {
    const { version } = await this.head(key, signal);
    if (version === than) return undefined;
    const object = await this.get(key, options, signal);
    return object.version === than ? undefined : object;
  }

  async put(
    key: Key,
    body: Uint8Array,
    options: PutOptions,
    signal: AbortSignal,
  ): Promise<ObjectInfo> {
    checkKey(key);
    checkMetadata(options.metadata);
    return this.#attempt("put", key, signal, async (attempt, files) => {
      const bytes = body.byteLength;
      const { contentType, metadata, when } = options;
      const digest = createHash("sha256").update(body).digest("hex");
      await makeFolder(files.hidden);
      await using turn = new Turn(files, this.#clock, this.#locks);
      await turn.prepare();
      const mtimeNs = await writeDurably(turn.path("body"), body, this.#clock, signal);
      const companion = encodeCompanion({ bytes, mtimeNs }, contentType, metadata);
      await writeDurably(turn.path("companion"), companion, this.#clock, signal);
      await turn.begin(signal);
      if (when !== undefined) await checkPrecondition(attempt, files, when, signal);
      signal.throwIfAborted();
      // The companion first, and durably. It fits no body but this one, so nobody sees it yet; where
      // the object has this very body already, this is the moment of the write.
      await turn.publish("companion", companionOf(files, digest));
      await syncFolder(files.hidden);
      await turn.publish("body", files.body);
      await syncFolder(files.folder);
      await sweep(turn, files, companionOf(files, digest));
      return { key, version: versionOf(digest, companion), bytes };
    });
  }

  async *list(prefix: Key | "", signal: AbortSignal): AsyncIterable<ListedObject> {
    checkPrefix(prefix);
    const attempt = this.#begin("list", prefix, signal);
    refuseHidden(prefix);
    try {
      await this.#rootExists(attempt);
      // Read once for a folder: there may be thousands of objects in it.
      let folder: { readonly hidden: string; readonly companions: Companions } | undefined;
      for await (const key of walk(this.#directory, prefix, signal)) {
        const files = filesOf(this.#directory, key);
        const { hidden } = files;
        if (folder?.hidden !== hidden) folder = { hidden, companions: await companionsIn(hidden) };
        const found = await readObject(files, undefined, signal, folder.companions);
        // Deleted since the folder was read.
        if (found === undefined) continue;
        const { version, bytes, putAt } = found;
        yield { key, version, bytes, putAt };
        signal.throwIfAborted();
      }
    } catch (error) {
      signal.throwIfAborted();
      throw fileError(attempt, error);
    }
  }

  async delete(key: Key, signal: AbortSignal): Promise<void> {
    await this.#attempt("delete", key, signal, async (_, files) => {
      if (await isFile(files.body)) await this.#remove(files, signal);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
  }

  /** Runs one operation; whatever goes wrong becomes `signal.reason` or a StoreError. */
  async #attempt<T>(
    operation: string,
    key: Key,
    signal: AbortSignal,
    run: (attempt: string, files: ObjectFiles) => Promise<T>,
  ): Promise<T> {
    checkKey(key);
    const attempt = this.#begin(operation, key, signal);
    const files = filesOf(this.#directory, key);
    try {
      return await run(attempt, files);
    } catch (error) {
      signal.throwIfAborted();
      throw fileError(attempt, error);
    }
  }

  /** What is being tried on what, for messages. Throws STORE_CLOSED, or the signal's reason. */
  #begin(operation: string, key: string, signal: AbortSignal): string {
    const attempt = `${operation} ${JSON.stringify(key)} in ${this.#directory}`;
    if (this.#closed) {
      throw new StoreError("STORE_CLOSED", `could not ${attempt}: the store was closed before`);
    }
    signal.throwIfAborted();
    return attempt;
  }

  async #remove(files: ObjectFiles, signal: AbortSignal): Promise<void> {
    try {
      await makeFolder(files.hidden);
      await using turn = new Turn(files, this.#clock, this.#locks);
      await turn.prepare();
      await turn.begin(signal);
      signal.throwIfAborted();
      // Another one deleted it while we waited.
      if (!(await isFile(files.body))) return;
      await turn.withdraw(files.body);
      await syncFolder(files.folder);
      await sweep(turn, files, undefined);
    } catch (error) {
      // A delete must work on a full disk, even if that has no room for a lock.
      if (!isErrno(error, "ENOSPC", "EDQUOT")) throw error;
      await removeUnlocked(files);
    }
  }

  /** The error for an object that is not there. */
  async #missing(attempt: string): Promise<StoreError> {
    return (await this.#rootExists(attempt))
      ? new StoreError("STORE_NOT_FOUND", `could not ${attempt}: there is no such file`)
      : new StoreError("STORE_NOT_FOUND", `could not ${attempt}: the directory does not exist`, {
          hint: "The first export makes it. If there was one, check that the volume is mounted.",
        });
  }

  /** STORE_MISCONFIGURED where a file stands in place of the store's directory. */
  async #rootExists(attempt: string): Promise<boolean> {
    try {
      if ((await stat(this.#directory)).isDirectory()) return true;
    } catch (error) {
      if (isErrno(error, "ENOENT")) return false;
      throw error;
    }
    throw new StoreError(
      "STORE_MISCONFIGURED",
      `could not ${attempt}: ${this.#directory} is a file, not a directory`,
      { hint: "Name a directory in the storage URL." },
    );
  }
}

/** Throws STORE_PRECONDITION_FAILED unless `when` is true of the object now. */
async function checkPrecondition(
  attempt: string,
  files: ObjectFiles,
  when: Precondition,
  signal: AbortSignal,
): Promise<void> {
  const current = await readObject(files, undefined, signal);
  const fault =
    "ifAbsent" in when
      ? current && "it exists already"
      : current === undefined
        ? "it is not there any more"
        : current.version !== when.ifVersion && "another writer replaced it since it was read";
  if (!fault) return;
  throw new StoreError("STORE_PRECONDITION_FAILED", `could not ${attempt}: ${fault}`, {
    hint: "Read the object again before writing it.",
  });
}

async function isFile(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isFile();
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return false;
    throw error;
  }
}

function tooLarge(attempt: string, bytes: number, maxBytes: number): StoreError {
  return new StoreError(
    "STORE_TOO_LARGE",
    `could not ${attempt}: it has ${bytes} bytes, more than the ${maxBytes} allowed here`,
    { hint: "Raise the limit only if a config of that size is expected." },
  );
}
