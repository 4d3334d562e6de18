/** Objects in a Google Cloud Storage bucket, over its JSON API. https://cloud.google.com/storage/docs/json_api */

import { parsed, refusal, succeeded } from "./gcs/answer.ts";
import { GcsClient, type GcsClientOptions, type GcsRequest } from "./gcs/client.ts";
import type { Attempt, Refusal } from "./gcs/errors.ts";
import { bucketMissing, fault, refused, saysBucketMissing, tooLarge } from "./gcs/errors.ts";
import {
  type GcsObject,
  isEmptyAnswer,
  LISTED_FIELDS,
  OBJECT_FIELDS,
  parseObject,
  parsePage,
} from "./gcs/resources.ts";
import { crc32c, download, multipart } from "./gcs/transfer.ts";
import { checkKey, checkMetadata, checkPrefix } from "./keys.ts";
import { pageLimit } from "./page-limit.ts";
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

export interface GcsStoreOptions extends GcsClientOptions {
  /** The storage URL as configured, for `Store.url`. */
  readonly url: string;
  readonly bucket: string;
  /** What stands before every key and a `/`; may be empty. No slash at either end. */
  readonly prefix: string;
  /** Objects per page of a listing; 1000, the most Cloud Storage gives, if absent. */
  readonly pageSize?: number | undefined;
}

/**
 * How often a `get` starts over because the object was replaced between its two requests. About one
 * write per second is taken, so twice is rare; it bounds a server that describes what it never gives.
 * https://cloud.google.com/storage/quotas#objects
 */
const GET_ATTEMPTS = 100;

/** Sends nothing yet. Throws StoreError for options that cannot work; see GcsClient. */
export function openGcsStore(options: GcsStoreOptions): Store {
  return new GcsStore(options);
}

/**
 * - A version is a generation: every put makes a new one, be it of the same content.
 * - A `get` is two requests, the second pinned to the generation that the first one saw.
 * - Bodies are checked against their CRC32C: on the way up by Cloud Storage, before it stores
 *   anything, on the way down here.
 */
class GcsStore implements Store {
  readonly url: string;
  readonly #client: GcsClient;
  readonly #bucket: string;
  readonly #prefix: string;
  readonly #pageSize: number;

  constructor(options: GcsStoreOptions) {
    this.url = options.url;
    this.#client = new GcsClient(options);
    this.#bucket = options.bucket;
    this.#prefix = options.prefix === "" ? "" : `${options.prefix}/`;
    this.#pageSize = options.pageSize ?? 1000;
  }

  async get(key: Key, options: GetOptions, signal: AbortSignal): Promise<StoredObject> {
    checkKey(key);
    const attempt = this.#attempt("read", key);
    return this.#read(attempt, key, await this.#describe(attempt, key, signal), options, signal);
  }

  async head(key: Key, signal: AbortSignal): Promise<ObjectHead> {
    checkKey(key);
    const object = await this.#describe(this.#attempt("read", key), key, signal);
    const { generation: version, bytes, metadata } = object;
    return { key, version, bytes, metadata };
  }

  /**
   * The description tells, and is hardly longer than a 304. `ifGenerationNotMatch` is not used: where
   * there is no object, too, "the precondition fails" (its documentation), which is no STORE_NOT_FOUND.
   */
  async getIfChanged(
    key: Key,
    than: Version,
    options: GetOptions,
    signal: AbortSignal,
  ): Promise<StoredObject | undefined> {
    checkKey(key);
    const attempt = this.#attempt("read", key);
    const object = await this.#describe(attempt, key, signal);
    if (object.generation === than) return undefined;
    return this.#read(attempt, key, object, options, signal);
  }

  async put(
    key: Key,
    body: Uint8Array,
    options: PutOptions,
    signal: AbortSignal,
  ): Promise<ObjectInfo> {
    checkKey(key);
    checkMetadata(options.metadata);
    const attempt = this.#attempt("write", key);
    const { contentType, metadata, when } = options;
    const resource = { name: this.#prefix + key, contentType, metadata, crc32c: crc32c(body) };
    const request: GcsRequest = {
      method: "POST",
      path: `/upload${this.#objects()}`,
      params: { uploadType: "multipart", fields: OBJECT_FIELDS, ...condition(when) },
      ...multipart(resource, body),
    };
    const object = await this.#client.exchange(attempt, request, signal, async (answer) => {
      if (answer.status === 404) throw bucketMissing(attempt, await refusal(answer));
      return parsed(attempt, answer, parseObject);
    });
    return { key, version: object.generation, bytes: object.bytes };
  }

  async *list(prefix: Key | "", signal: AbortSignal): AsyncIterable<ObjectInfo> {
    checkPrefix(prefix);
    const below = prefix === "" ? "" : `${prefix}/`;
    const attempt = this.#attempt("list", below);
    const params = {
      prefix: this.#prefix + below,
      maxResults: String(this.#pageSize),
      fields: `nextPageToken,items(${LISTED_FIELDS})`,
    };
    const nextPage = pageLimit(`list ${this.url}/${below}`);
    let next: { readonly pageToken?: string } | undefined = {};
    while (next !== undefined) {
      nextPage();
      const page = await this.#page(attempt, { ...params, ...next }, signal);
      for (const { name, generation: version, bytes } of page.objects) {
        const key = name.slice(this.#prefix.length);
        // A folder made in the console is an empty object whose name ends in "/".
        if (key === "" || key.endsWith("/")) continue;
        yield { key, version, bytes };
        signal.throwIfAborted();
      }
      next = page.nextPageToken === undefined ? undefined : { pageToken: page.nextPageToken };
    }
  }

  async delete(key: Key, signal: AbortSignal): Promise<void> {
    checkKey(key);
    const attempt = this.#attempt("delete", key);
    const request: GcsRequest = { method: "DELETE", path: this.#objects(key) };
    const absent = await this.#client.exchange(attempt, request, signal, async (answer) => {
      if (answer.status === 404) return refusal(answer);
      await parsed(attempt, answer, (text) => isEmptyAnswer(text) || undefined);
      return undefined;
    });
    if (absent !== undefined) await this.#checkBucket(attempt, absent, signal);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#client[Symbol.asyncDispose]();
  }

  /** The object described by `first`, or what has replaced it since. */
  async #read(
    attempt: Attempt,
    key: Key,
    first: GcsObject,
    options: GetOptions,
    signal: AbortSignal,
  ): Promise<StoredObject> {
    let object = first;
    for (let tries = 0; tries < GET_ATTEMPTS; tries += 1) {
      if (object.bytes > options.maxBytes) throw tooLarge(attempt, object.bytes, options.maxBytes);
      const body = await this.#download(attempt, key, object, options, signal);
      if (body !== undefined) {
        const { generation: version, bytes, metadata } = object;
        return { key, version, bytes, metadata, body };
      }
      object = await this.#describe(attempt, key, signal);
    }
    const why = `it was replaced ${GET_ATTEMPTS} times while being read`;
    const hint = "Look for a second writer that never stops.";
    throw fault(attempt, "STORE_UNAVAILABLE", why, { hint });
  }

  /** The live generation. STORE_NOT_FOUND if there is none. */
  async #describe(attempt: Attempt, key: Key, signal: AbortSignal): Promise<GcsObject> {
    const params = { fields: OBJECT_FIELDS };
    const request: GcsRequest = { method: "GET", path: this.#objects(key), params };
    const found = await this.#client.exchange(attempt, request, signal, async (answer) =>
      answer.status === 404 ? refusal(answer) : parsed(attempt, answer, parseObject),
    );
    if ("generation" in found) return found;
    await this.#checkBucket(attempt, found, signal);
    throw fault(attempt, "STORE_NOT_FOUND", "there is no such object", {
      hint: "Normal before the first export. Otherwise compare bucket, prefix and Kong version with the exporter's.",
    });
  }

  /** The body of just this generation; undefined if it is gone. */
  #download(
    attempt: Attempt,
    key: Key,
    object: GcsObject,
    { onProgress }: GetOptions,
    signal: AbortSignal,
  ): Promise<Uint8Array | undefined> {
    const request: GcsRequest = {
      method: "GET",
      path: this.#objects(key),
      params: { alt: "media", generation: object.generation },
      // What is stored with Content-Encoding gzip is wanted as it lies there: size and CRC32C are of that.
      headers: { "Accept-Encoding": object.gzipped ? "gzip" : "identity" },
    };
    return this.#client.exchange(attempt, request, signal, async (answer) => {
      if (answer.status === 404) return undefined;
      if (!succeeded(answer)) throw refused(attempt, await refusal(answer));
      return download(attempt, answer.body, object, onProgress);
    });
  }

  #page(attempt: Attempt, params: Readonly<Record<string, string>>, signal: AbortSignal) {
    const request: GcsRequest = { method: "GET", path: this.#objects(), params };
    return this.#client.exchange(attempt, request, signal, async (answer) => {
      if (answer.status === 404) throw bucketMissing(attempt, await refusal(answer));
      return parsed(attempt, answer, parsePage);
    });
  }

  /** After a 404 for an object: STORE_MISCONFIGURED if it is the bucket that is missing, asking where the answer did not say. */
  async #checkBucket(attempt: Attempt, answered: Refusal, signal: AbortSignal): Promise<void> {
    const verdict = saysBucketMissing(answered);
    if (verdict === true) throw bucketMissing(attempt, answered);
    // Reading the bucket itself needs a permission that roles/storage.objectUser lacks; listing does not.
    if (verdict === undefined) await this.#page(attempt, { maxResults: "1" }, signal);
  }

  #attempt(action: string, key: string): Attempt {
    const target = `gs://${this.#bucket}/${this.#prefix}${key}`;
    return { action, target, bucket: this.#bucket, endpoint: this.#client.endpoint };
  }

  #objects(key?: Key): string {
    const path = `/storage/v1/b/${encodeURIComponent(this.#bucket)}/o`;
    return key === undefined ? path : `${path}/${encodeURIComponent(this.#prefix + key)}`;
  }
}

function condition(when: Precondition | undefined): Readonly<Record<string, string>> {
  if (when === undefined) return {};
  // Generation 0 stands for "no live object".
  return { ifGenerationMatch: "ifAbsent" in when ? "0" : when.ifVersion };
}
