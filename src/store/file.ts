/** A directory as a store: each object is a plain file that `cat` and `cp` can restore by hand (docs/stores/file.md). */

import { createHash } from "node:crypto";
import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import type { Clock } from "../core/clock.ts";
import { fileError, isErrno } from "./file/errors.ts";
import type { Place } from "./file/layout.ts";
import { companionOf, encodeCompanion, locate, refuseHidden, versionOf } from "./file/layout.ts";
import { walk } from "./file/list.ts";
import { look } from "./file/look.ts";
import { Turn } from "./file/turn.ts";
import { makeFolder, removeUnlocked, sweep, syncFolder, writeDurably } from "./file/write.ts";
import { checkKey, checkMetadata, checkPrefix } from "./keys.ts";
import type {
  GetOptions,
  Key,
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
 * this class. `list` and whatever asks for a version read whole bodies, for it is a digest.
 * An abort is noticed between system calls: one that hangs (a lost NFS server) holds it up.
 */
export class FileStore implements Store {
  readonly url: string;
  readonly #directory: string;
  readonly #clock: Clock;
  #closed = false;

  constructor(options: FileStoreOptions) {
    this.url = options.url;
    this.#directory = resolve(options.directory);
    this.#clock = options.clock;
  }

  async get(key: Key, options: GetOptions, signal: AbortSignal): Promise<StoredObject> {
    checkKey(key);
    const attempt = this.#attempt("get", key, signal);
    const place = locate(this.#directory, key);
    try {
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
      const found = await look(place, visitor, signal);
      if (found === undefined) throw await this.#missing(attempt);
      return { ...found, body };
    } catch (error) {
      throw fileError(attempt, error);
    }
  }

  async head(key: Key, signal: AbortSignal): Promise<ObjectHead> {
    checkKey(key);
    const attempt = this.#attempt("get", key, signal);
    try {
      const found = await look(locate(this.#directory, key), undefined, signal);
      if (found === undefined) throw await this.#missing(attempt);
      return found;
    } catch (error) {
      throw fileError(attempt, error);
    }
  }

  async getIfChanged(
    key: Key,
    than: Version,
    options: GetOptions,
    signal: AbortSignal,
  ): Promise<StoredObject | undefined> {
    checkKey(key);
    const attempt = this.#attempt("get", key, signal);
    const place = locate(this.#directory, key);
    // Without a visitor: an unchanged body takes no memory.
    const seen = await look(place, undefined, signal).catch((error: unknown) => {
      throw fileError(attempt, error);
    });
    if (seen?.version === than) return undefined;
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
    const attempt = this.#attempt("put", key, signal);
    const place = locate(this.#directory, key);
    try {
      const digest = createHash("sha256").update(body).digest("hex");
      const companion = encodeCompanion(body.byteLength, options.contentType, options.metadata);
      await makeFolder(place.hidden);
      await using turn = new Turn(place, this.#clock);
      await turn.prepare();
      await writeDurably(turn.path("body"), body, signal);
      await writeDurably(turn.path("companion"), companion, signal);
      await turn.begin(signal);
      if (options.when !== undefined) await checkPrecondition(attempt, place, options.when, signal);
      signal.throwIfAborted();
      // The companion first, and durably. It fits no body but this one, so nobody sees it yet; where
      // the object has this very body already, this is the moment of the write.
      await turn.publish("companion", companionOf(place, digest));
      await syncFolder(place.hidden);
      await turn.publish("body", place.body);
      await syncFolder(place.folder);
      await sweep(turn, place, companionOf(place, digest));
      return { key, version: versionOf(digest, companion), bytes: body.byteLength };
    } catch (error) {
      throw fileError(attempt, error);
    }
  }

  async *list(prefix: Key | "", signal: AbortSignal): AsyncIterable<ObjectInfo> {
    checkPrefix(prefix);
    const attempt = this.#attempt("list", prefix, signal);
    refuseHidden(prefix);
    try {
      await this.#rootExists(attempt);
      for await (const key of walk(this.#directory, prefix, signal)) {
        const found = await look(locate(this.#directory, key), undefined, signal);
        // Deleted since the folder was read.
        if (found === undefined) continue;
        yield { key, version: found.version, bytes: found.bytes };
        signal.throwIfAborted();
      }
    } catch (error) {
      throw fileError(attempt, error);
    }
  }

  async delete(key: Key, signal: AbortSignal): Promise<void> {
    checkKey(key);
    const attempt = this.#attempt("delete", key, signal);
    const place = locate(this.#directory, key);
    try {
      if (await isFile(place.body)) await this.#remove(place, signal);
    } catch (error) {
      throw fileError(attempt, error);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
  }

  /** What is being tried on what, for messages. Throws STORE_CLOSED, or the signal's reason. */
  #attempt(operation: string, key: string, signal: AbortSignal): string {
    const attempt = `${operation} ${JSON.stringify(key)} in ${this.#directory}`;
    if (this.#closed) {
      throw new StoreError("STORE_CLOSED", `could not ${attempt}: the store was closed before`);
    }
    signal.throwIfAborted();
    return attempt;
  }

  async #remove(place: Place, signal: AbortSignal): Promise<void> {
    try {
      await makeFolder(place.hidden);
      await using turn = new Turn(place, this.#clock);
      await turn.prepare();
      await turn.begin(signal);
      signal.throwIfAborted();
      // Another one deleted it while we waited.
      if (!(await isFile(place.body))) return;
      await turn.withdraw(place.body);
      await syncFolder(place.folder);
      await sweep(turn, place, undefined);
    } catch (error) {
      // A delete must work on a full disk, even if that has no room for a lock.
      if (!isErrno(error, "ENOSPC", "EDQUOT")) throw error;
      await removeUnlocked(place);
    }
  }

  /** The error for an object that is not there. */
  async #missing(attempt: string): Promise<StoreError> {
    return (await this.#rootExists(attempt))
      ? new StoreError("STORE_NOT_FOUND", `could not ${attempt}: there is no such file`)
      : new StoreError("STORE_NOT_FOUND", `could not ${attempt}: the directory does not exist`, {
          hint: "The first export makes it. If there was one, look whether the volume is mounted.",
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
  place: Place,
  when: Precondition,
  signal: AbortSignal,
): Promise<void> {
  const current = await look(place, undefined, signal);
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
