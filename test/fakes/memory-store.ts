/** A Store in memory that passes the conformance suite, and can be told to fail. */

import { createHash } from "node:crypto";
import { checkKey, checkMetadata, checkPrefix } from "../../src/store/keys.ts";
import type {
  GetOptions,
  Key,
  ListedObject,
  ObjectHead,
  ObjectInfo,
  PutOptions,
  Store,
  StoredObject,
  Version,
} from "../../src/store/port.ts";
import { StoreError } from "../../src/store/port.ts";

/** A conditional get is a `get`. */
export type Operation = "get" | "head" | "put" | "list" | "delete";

/** What lies in the store. Two stores made over one `Objects` are two clients of it. */
export type Objects = Map<Key, Stored>;

type Stored = StoredObject & ListedObject & { readonly contentType: string };

export class MemoryStore implements Store {
  readonly url: string;
  /** The objects themselves, for tests to look at or damage. */
  readonly objects: Objects;
  /**
   * Awaited before each operation (for `list`, before its first object) with the key or prefix:
   * throw to make it fail, wait to hold it up, return to let it happen. An operation whose signal
   * aborts meanwhile rejects at once.
   */
  intercept: (operation: Operation, key: string) => Promise<void> = async () => {};
  /** By its own clock. */
  now: () => Date = () => new Date();
  /** Of all bodies given out, together. */
  bytesRead = 0;
  #closed = false;

  constructor(options: { readonly url?: string; readonly objects?: Objects } = {}) {
    this.url = options.url ?? "memory://test";
    this.objects = options.objects ?? new Map();
  }

  /** Makes the next operation, or the next `times`, reject with `error`; after them, operations happen as before. */
  failNext(error: Error, times = 1): void {
    const before = this.intercept;
    let left = times;
    this.intercept = async (operation, key) => {
      if (left === 0) return before(operation, key);
      left -= 1;
      throw error;
    };
  }

  async get(key: Key, options: GetOptions, signal: AbortSignal): Promise<StoredObject> {
    return this.#give(await this.#find("get", key, signal), options, signal);
  }

  async head(key: Key, signal: AbortSignal): Promise<ObjectHead> {
    const { version, bytes, metadata } = await this.#find("head", key, signal);
    return { key, version, bytes, metadata };
  }

  async getIfChanged(
    key: Key,
    than: Version,
    options: GetOptions,
    signal: AbortSignal,
  ): Promise<StoredObject | undefined> {
    const object = await this.#find("get", key, signal);
    return object.version === than ? undefined : this.#give(object, options, signal);
  }

  async put(
    key: Key,
    body: Uint8Array,
    options: PutOptions,
    signal: AbortSignal,
  ): Promise<ObjectInfo> {
    checkKey(key);
    checkMetadata(options.metadata);
    const { metadata, contentType, when } = options;
    const object = { key, bytes: body.byteLength, body: body.slice(), metadata: { ...metadata } };
    await this.#enter("put", key, signal);
    const current = this.objects.get(key);
    if (when !== undefined && "ifAbsent" in when && current !== undefined) {
      throw fault("STORE_PRECONDITION_FAILED", "put", key, "the object exists already");
    }
    if (when !== undefined && "ifVersion" in when && current?.version !== when.ifVersion) {
      throw fault("STORE_PRECONDITION_FAILED", "put", key, "the object is of another version");
    }
    const version = versionOf(object);
    this.objects.set(key, { ...object, version, contentType, putAt: this.now() });
    return { key, version, bytes: object.bytes };
  }

  async *list(prefix: Key | "", signal: AbortSignal): AsyncIterable<ListedObject> {
    checkPrefix(prefix);
    await this.#enter("list", prefix, signal);
    const below = prefix === "" ? "" : `${prefix}/`;
    const found = [...this.objects.values()].filter(({ key }) => key.startsWith(below));
    found.sort((a, b) => Buffer.compare(Buffer.from(a.key), Buffer.from(b.key)));
    for (const { key, version, bytes, putAt } of found) {
      signal.throwIfAborted();
      yield { key, version, bytes, putAt };
    }
  }

  async delete(key: Key, signal: AbortSignal): Promise<void> {
    checkKey(key);
    await this.#enter("delete", key, signal);
    this.objects.delete(key);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
  }

  async #find(operation: "get" | "head", key: Key, signal: AbortSignal): Promise<Stored> {
    checkKey(key);
    await this.#enter(operation, key, signal);
    const object = this.objects.get(key);
    if (object === undefined)
      throw fault("STORE_NOT_FOUND", operation, key, "there is no such object");
    return object;
  }

  #give(object: Stored, options: GetOptions, signal: AbortSignal): StoredObject {
    if (object.bytes > options.maxBytes) {
      const why = `${object.bytes} bytes, over ${options.maxBytes}`;
      throw fault("STORE_TOO_LARGE", "get", object.key, why);
    }
    this.bytesRead += object.bytes;
    options.onProgress?.(object.bytes, object.bytes);
    signal.throwIfAborted();
    const { contentType: _, ...stored } = object;
    return { ...stored, body: stored.body.slice() };
  }

  async #enter(operation: Operation, key: string, signal: AbortSignal): Promise<void> {
    if (this.#closed) throw fault("STORE_CLOSED", operation, key, "the store was disposed");
    signal.throwIfAborted();
    await new Promise<void>((resolve, reject) => {
      const onAbort = () => reject(signal.reason);
      signal.addEventListener("abort", onAbort, { once: true });
      this.intercept(operation, key)
        .then(resolve, reject)
        .finally(() => signal.removeEventListener("abort", onAbort));
    });
    signal.throwIfAborted();
  }
}

function versionOf(object: Pick<StoredObject, "body" | "metadata">): Version {
  const metadata = JSON.stringify(Object.entries(object.metadata).toSorted());
  return createHash("sha256")
    .update(metadata)
    .update("\0")
    .update(object.body)
    .digest("hex") as Version;
}

function fault(
  code: StoreError["code"],
  operation: Operation,
  key: string,
  why: string,
): StoreError {
  return new StoreError(code, `could not ${operation} ${JSON.stringify(key)} in memory: ${why}`);
}
