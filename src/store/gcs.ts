/** Objects in a Google Cloud Storage bucket, over its JSON API. https://cloud.google.com/storage/docs/json_api */

import { randomUUID } from "node:crypto";
import { CRC32C } from "@google-cloud/storage";
import pRetry from "p-retry";
import type { Clock } from "../core/clock.ts";
import type { GcsAnswer, GcsClientOptions, GcsRequest } from "./gcs/client.ts";
import { GcsClient } from "./gcs/client.ts";
import type { GcsObject } from "./gcs/resources.ts";
import {
  isEmptyAnswer,
  LISTED_FIELDS,
  OBJECT_FIELDS,
  parseObject,
  parsePage,
} from "./gcs/resources.ts";
import type { Refused } from "./gcs/verdicts.ts";
import { bucketMissing, gcsError, notGcs, refused, saysBucketMissing } from "./gcs/verdicts.ts";
import type { GetOptions, Precondition, PutOptions, Store, StoreError, Version } from "./port.ts";
import type { Call, Driver, Fetched, Head, Page } from "./remote.ts";
import { checkLength, RemoteStore, readBody } from "./remote.ts";
import type { StoreAttempt } from "./verdict.ts";
import { damaged, fault, isReset, missing, unavailable } from "./verdict.ts";

export interface GcsStoreOptions extends GcsClientOptions {
  /** The storage URL as configured, for `Store.url`. */
  readonly url: string;
  readonly bucket: string;
  /** What stands before every key and a `/`; may be empty. No slash at either end. */
  readonly prefix: string;
  readonly clock: Clock;
  /** Objects per page of a listing; 1000, the most Cloud Storage gives, if absent. */
  readonly pageSize?: number | undefined;
}

/**
 * How often a `get` starts over because the object was replaced between its two requests. About one
 * write per second is taken, so twice is rare; it bounds a server that describes what it never gives.
 * https://cloud.google.com/storage/quotas#objects
 */
const READS = 100;

/** A page of 1000 objects with the longest names (1024 bytes) has about 1.2 MB. */
const MAX_JSON_BYTES = 8 * 1024 * 1024;

/** Sends nothing yet. Throws StoreError for options that cannot work; see GcsClient. */
export function openGcsStore(options: GcsStoreOptions): Store {
  return new RemoteStore(new GcsDriver(options), { ...options, silenceMs: options.timeoutMs });
}

/**
 * - A version is a generation: every put makes a new one, be it of the same content.
 * - A `get` is two requests, the second pinned to the generation that the first one saw.
 * - Bodies are checked against their CRC32C: on the way up by Cloud Storage, before it stores
 *   anything, on the way down here.
 */
class GcsDriver implements Driver {
  readonly root: string;
  readonly bucket: string;
  readonly place: string;
  readonly awaitedFirst = "access token";
  readonly isListingSorted = true;
  readonly #client: GcsClient;
  readonly #pageSize: number;

  constructor(options: GcsStoreOptions) {
    this.#client = new GcsClient(options);
    this.root = `gs://${options.bucket}`;
    this.bucket = options.bucket;
    this.place = this.#client.endpoint;
    this.#pageSize = options.pageSize ?? 1000;
  }

  /**
   * Whether it has changed the description tells, which is hardly longer than a 304.
   * `ifGenerationNotMatch` is not used: where there is no object, too, "the precondition fails" (its
   * documentation), which is no STORE_NOT_FOUND.
   */
  async get(
    name: string,
    than: Version | undefined,
    options: GetOptions,
    call: Call,
  ): Promise<Fetched | undefined> {
    let object = await this.#describe(name, call);
    if (object.generation === than) return undefined;
    const { attempt, signal } = call;
    const why = `it was replaced ${READS} times while being read`;
    const replaced = fault(attempt, unavailable(why, "Look for a second writer that never stops."));
    return pRetry(
      async (reads) => {
        if (reads > 1) object = await this.#describe(name, call);
        checkLength(object.bytes, options, attempt);
        const body = await this.#download(name, object, options, call);
        if (body === undefined) throw replaced;
        return { ...headOf(object), body };
      },
      // Without a pause: what replaced it is there.
      { retries: READS - 1, minTimeout: 0, shouldRetry: ({ error }) => error === replaced, signal },
    );
  }

  async head(name: string, call: Call): Promise<Head> {
    return headOf(await this.#describe(name, call));
  }

  async put(name: string, body: Uint8Array, options: PutOptions, call: Call): Promise<Version> {
    const { contentType, metadata, when } = options;
    const resource = { name, contentType, metadata, crc32c: crc32c(body) };
    const request: GcsRequest = {
      method: "POST",
      path: `/upload${this.#objects()}`,
      params: { uploadType: "multipart", fields: OBJECT_FIELDS, ...condition(when) },
      ...multipart(resource, body),
    };
    const { generation } = await this.#client.exchange(request, call, async (answer) => {
      if (answer.status === 404) throw bucketMissing(await textOf(answer), call.attempt);
      return parsed(answer, parseObject, call.attempt);
    });
    return generation;
  }

  async page(below: string, token: string | undefined, call: Call): Promise<Page> {
    const params = {
      prefix: below,
      maxResults: String(this.#pageSize),
      fields: `nextPageToken,items(${LISTED_FIELDS})`,
      ...(token === undefined ? {} : { pageToken: token }),
    };
    const { objects, nextPageToken: next } = await this.#list(params, call);
    return {
      objects: objects.map(({ name, generation: version, bytes, putAt }) => {
        return { name, version, bytes, putAt };
      }),
      next,
    };
  }

  async delete(name: string, call: Call): Promise<void> {
    const request: GcsRequest = { method: "DELETE", path: this.#objects(name) };
    const absent = await this.#client.exchange(request, call, async (answer) => {
      if (answer.status === 404) return textOf(answer);
      await parsed(answer, (text) => isEmptyAnswer(text) || undefined, call.attempt);
      return undefined;
    });
    if (absent !== undefined) await this.#checkBucket(absent, call);
  }

  explain(error: unknown, attempt: StoreAttempt): StoreError {
    return gcsError(error, attempt);
  }

  isCutOff(error: unknown): boolean {
    return isReset(error);
  }

  close(): Promise<void> {
    return this.#client.close();
  }

  /** The live generation. STORE_NOT_FOUND if there is none. */
  async #describe(name: string, call: Call): Promise<GcsObject> {
    const params = { fields: OBJECT_FIELDS };
    const request: GcsRequest = { method: "GET", path: this.#objects(name), params };
    const found = await this.#client.exchange(request, call, async (answer) =>
      answer.status === 404 ? textOf(answer) : parsed(answer, parseObject, call.attempt),
    );
    if ("generation" in found) return found;
    await this.#checkBucket(found, call);
    throw fault(call.attempt, missing(call.attempt));
  }

  /** The body of just this generation; undefined if it is gone. */
  #download(
    name: string,
    object: GcsObject,
    options: GetOptions,
    call: Call,
  ): Promise<Uint8Array | undefined> {
    const request: GcsRequest = {
      method: "GET",
      path: this.#objects(name),
      params: { alt: "media", generation: object.generation },
      // What is stored with Content-Encoding gzip is wanted as it lies there: size and CRC32C are of that.
      headers: { "Accept-Encoding": object.gzipped ? "gzip" : "identity" },
    };
    return this.#client.exchange(request, call, async (answer) => {
      if (answer.status === 404) return undefined;
      if (!succeeded(answer)) throw refused(await textOf(answer), call.attempt);
      const body = await readBody(answer.body, object.bytes, options, call);
      if (object.crc32c !== undefined && crc32c(body) !== object.crc32c) {
        throw damaged(call.attempt, "the bytes that arrived do not have the object's CRC32C");
      }
      return body;
    });
  }

  #list(params: Readonly<Record<string, string>>, call: Call) {
    const request: GcsRequest = { method: "GET", path: this.#objects(), params };
    return this.#client.exchange(request, call, async (answer) => {
      if (answer.status === 404) throw bucketMissing(await textOf(answer), call.attempt);
      return parsed(answer, parsePage, call.attempt);
    });
  }

  /** After a 404 for an object: STORE_MISCONFIGURED if it is the bucket that is missing, asking where the answer did not say. */
  async #checkBucket(answered: Refused, call: Call): Promise<void> {
    const says = saysBucketMissing(answered);
    if (says === true) throw bucketMissing(answered, call.attempt);
    // Reading the bucket itself needs a permission that roles/storage.objectUser lacks; listing does not.
    if (says === undefined) await this.#list({ maxResults: "1" }, call);
  }

  #objects(name?: string): string {
    const path = `/storage/v1/b/${encodeURIComponent(this.bucket)}/o`;
    return name === undefined ? path : `${path}/${encodeURIComponent(name)}`;
  }
}

function headOf({ generation: version, bytes, metadata }: GcsObject): Head {
  return { version, bytes, metadata };
}

function condition(when: Precondition | undefined): Readonly<Record<string, string>> {
  if (when === undefined) return {};
  // Generation 0 stands for "no live object".
  return { ifGenerationMatch: "ifAbsent" in when ? "0" : when.ifVersion };
}

/** A 2xx. */
function succeeded({ status }: GcsAnswer): boolean {
  return status >= 200 && status < 300;
}

/** What `parse` makes of a 2xx answer; `undefined` from it means the endpoint is not Cloud Storage. */
async function parsed<T>(
  answer: GcsAnswer,
  parse: (text: string) => T | undefined,
  attempt: StoreAttempt,
): Promise<T> {
  const answered = await textOf(answer);
  if (!succeeded(answer)) throw refused(answered, attempt);
  const value = parse(answered.text);
  if (value === undefined) throw notGcs(`HTTP ${answer.status} with another body`, attempt);
  return value;
}

/** A JSON answer or an error page; of one that is longer than any of those, the beginning. */
async function textOf({ status, body }: GcsAnswer): Promise<Refused> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of body) {
    pieces.push(piece);
    bytes += piece.length;
    if (bytes > MAX_JSON_BYTES) break;
  }
  return { status, text: Buffer.concat(pieces).toString("utf8") };
}

/** Base64 of the big-endian CRC32C, as Cloud Storage writes it. */
function crc32c(body: Uint8Array): string {
  const checksum = new CRC32C();
  checksum.update(Buffer.from(body.buffer, body.byteOffset, body.byteLength));
  return checksum.toString();
}

/** Resource and body in one upload. https://cloud.google.com/storage/docs/uploading-objects#uploading-an-object */
function multipart(
  resource: { readonly contentType: string },
  body: Uint8Array,
): Pick<GcsRequest, "headers" | "body"> {
  const boundary = randomUUID();
  const whole = Buffer.concat([
    Buffer.from(
      `--${boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n${JSON.stringify(resource)}\r\n` +
        `--${boundary}\r\nContent-Type: ${resource.contentType}\r\n\r\n`,
    ),
    body,
    Buffer.from(`\r\n--${boundary}--\r\n`),
  ]);
  return {
    headers: {
      "Content-Type": `multipart/related; boundary=${boundary}`,
      "Content-Length": String(whole.length),
    },
    body: whole,
  };
}
