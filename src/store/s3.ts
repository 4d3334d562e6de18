/** Objects in an S3 bucket, at AWS or any server that speaks its protocol; docs/stores/s3.md tells what it asks of one. */

import type { HeadObjectCommandOutput, PutObjectCommandInput, S3Client } from "@aws-sdk/client-s3";
import {
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
} from "@aws-sdk/client-s3";
import type { Clock } from "../core/clock.ts";
import { hasLost } from "./cut-off.ts";
import { InFlight } from "./in-flight.ts";
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
import { readAnswer } from "./s3/answer.ts";
import { dropBody, readHead, readObject } from "./s3/body.ts";
import type { S3Connection } from "./s3/client.ts";
import { connectS3 } from "./s3/client.ts";
import { isCutOff, s3Error } from "./s3/errors.ts";
import { bareETag, IfMatch, versionOf } from "./s3/etag.ts";
import { Identity } from "./s3/identity.ts";
import type { Page } from "./s3/listing.ts";
import { readPage } from "./s3/listing.ts";
import type { S3PutOptions } from "./s3/put-options.ts";
import { checkPutOptions } from "./s3/put-options.ts";
import type { S3Attempt } from "./s3/verdicts.ts";
import { fault, lostRace } from "./verdict.ts";

export interface S3StoreOptions extends S3Connection {
  /** The storage URL, without credentials. */
  readonly url: string;
  readonly bucket: string;
  /** Without leading or trailing `/`; `""` is the whole bucket. */
  readonly prefix: string;
  /** `KONG_CLUSTER_FALLBACK_EXPORT_S3_CONFIG`, parsed: parameters for every PutObject. */
  readonly putOptions?: Readonly<Record<string, unknown>> | undefined;
  /** Objects per page of a listing, at most 1000; absent: the server's choice. */
  readonly pageSize?: number | undefined;
}

/**
 * Opens no connection. Rejects with STORE_MISCONFIGURED where the options alone show that nothing
 * could work: no region, a malformed endpoint, unknown put options.
 */
export async function openS3Store(options: S3StoreOptions): Promise<Store> {
  const putOptions = checkPutOptions(options.putOptions ?? {});
  const { client, place } = await connectS3(options);
  return new S3Store(options, client, place, putOptions);
}

class S3Store implements Store {
  readonly url: string;
  readonly #bucket: string;
  readonly #base: string;
  readonly #pageSize: number | undefined;
  readonly #putOptions: S3PutOptions;
  readonly #client: S3Client;
  readonly #place: string;
  readonly #clock: Clock;
  readonly #ifMatch = new IfMatch();
  readonly #identity: Identity;
  readonly #inFlight = new InFlight();

  constructor(options: S3StoreOptions, client: S3Client, place: string, putOptions: S3PutOptions) {
    this.url = options.url;
    this.#bucket = options.bucket;
    this.#base = options.prefix === "" ? "" : `${options.prefix}/`;
    this.#pageSize = options.pageSize;
    this.#putOptions = putOptions;
    this.#client = client;
    this.#identity = new Identity(client);
    this.#place = place;
    this.#clock = options.clock;
  }

  async get(key: Key, options: GetOptions, signal: AbortSignal): Promise<StoredObject> {
    checkKey(key);
    return this.#attempt({ action: "read", key }, signal, async (attempt, own) => {
      const command = new GetObjectCommand(this.#address(key));
      const answer = await this.#client.send(command, { abortSignal: own });
      return readObject(key, answer, options, attempt);
    });
  }

  async head(key: Key, signal: AbortSignal): Promise<ObjectHead> {
    checkKey(key);
    return this.#attempt({ action: "read", key }, signal, async (attempt, own) => {
      try {
        return readHead(key, await this.#head(key, own), attempt);
      } catch (error) {
        const answer = readAnswer(error);
        if (answer === undefined || answer.status >= 500) throw error;
        // The answer to a HEAD has no document that says what is wrong; that to a GET has.
        const command = new GetObjectCommand(this.#address(key));
        const whole = await this.#client.send(command, { abortSignal: own });
        dropBody(whole);
        return readHead(key, whole, attempt);
      }
    });
  }

  async getIfChanged(
    key: Key,
    than: Version,
    options: GetOptions,
    signal: AbortSignal,
  ): Promise<StoredObject | undefined> {
    checkKey(key);
    return this.#attempt({ action: "read", key }, signal, async (attempt, own) => {
      const command = new GetObjectCommand({ ...this.#address(key), IfNoneMatch: `"${than}"` });
      try {
        const answer = await this.#client.send(command, { abortSignal: own });
        if (versionOf(answer.ETag, attempt) !== than) {
          return await readObject(key, answer, options, attempt);
        }
        // The server took no notice of the condition.
        dropBody(answer);
      } catch (error) {
        // 304 Not Modified is an exception to the SDK.
        if (readAnswer(error)?.status !== 304) throw error;
      }
      return undefined;
    });
  }

  async put(
    key: Key,
    body: Uint8Array,
    options: PutOptions,
    signal: AbortSignal,
  ): Promise<ObjectInfo> {
    checkKey(key);
    checkMetadata(options.metadata);
    const { when } = options;
    return this.#attempt({ action: "write", key, when }, signal, async (attempt, own) => {
      const write = async (condition: Condition): Promise<Version> => {
        const command = new PutObjectCommand({
          ...this.#putOptions,
          ...this.#address(key),
          ...condition,
          Body: body,
          ContentLength: body.byteLength,
          ContentType: options.contentType,
          Metadata: { ...options.metadata },
        });
        const answer = await this.#client.send(command, { abortSignal: own });
        return versionOf(answer.ETag, attempt);
      };
      const head = () => this.#head(key, own);
      const bytes = body.byteLength;
      try {
        const version =
          when !== undefined && "ifVersion" in when
            ? await this.#ifMatch.replace(when.ifVersion, write, head, attempt)
            : await write(when === undefined ? {} : { IfNoneMatch: "*" });
        return { key, version, bytes };
      } catch (error) {
        if (when === undefined || !isCutOff(error)) throw error;
        const there = await head().catch(() => undefined);
        const cutOff = { bytes, metadata: options.metadata, when };
        if (there === undefined) throw error;
        const { ETag = "", ContentLength, Metadata } = there;
        const now = { version: bareETag(ETag), bytes: ContentLength, metadata: Metadata };
        throw hasLost(cutOff, now) ? lostRace(attempt) : error;
      }
    });
  }

  async *list(prefix: Key | "", signal: AbortSignal): AsyncIterable<ObjectInfo> {
    checkPrefix(prefix);
    const below = this.#base + (prefix === "" ? "" : `${prefix}/`);
    const nextPage = pageLimit(`list s3://${this.#bucket}/${below}`);
    let token: string | undefined;
    do {
      nextPage();
      const what = { action: "list", key: prefix } as const;
      const page: Page = await this.#attempt(what, signal, async (attempt, own) => {
        const command = new ListObjectsV2Command({
          Bucket: this.#bucket,
          Prefix: below,
          ContinuationToken: token,
          MaxKeys: this.#pageSize,
        });
        const answer = await this.#client.send(command, { abortSignal: own });
        return readPage(answer, { base: this.#base, below, token }, attempt);
      });
      for (const info of page.objects) {
        signal.throwIfAborted();
        yield info;
      }
      token = page.next;
    } while (token !== undefined);
  }

  async delete(key: Key, signal: AbortSignal): Promise<void> {
    checkKey(key);
    await this.#attempt({ action: "delete", key }, signal, async (_, own) => {
      const command = new DeleteObjectCommand(this.#address(key));
      await this.#client.send(command, { abortSignal: own }).catch((error: unknown) => {
        // S3 itself answers 204 for a missing key; some servers say that it is missing.
        if (readAnswer(error)?.name !== "NoSuchKey") throw error;
      });
    });
  }

  /** Cuts what is in flight: it rejects with STORE_CLOSED. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#inFlight.close();
    this.#client.destroy();
  }

  #address(key: Key): { readonly Bucket: string; readonly Key: string } {
    return { Bucket: this.#bucket, Key: this.#base + key };
  }

  #head(key: Key, own: AbortSignal): Promise<HeadObjectCommandOutput> {
    return this.#client.send(new HeadObjectCommand(this.#address(key)), { abortSignal: own });
  }

  /** Runs one operation; whatever goes wrong becomes `signal.reason` or a StoreError. */
  async #attempt<T>(
    what: { action: S3Attempt["action"]; key: Key | ""; when?: Precondition | undefined },
    signal: AbortSignal,
    run: (attempt: S3Attempt, own: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const attempt: S3Attempt = {
      action: what.action,
      target: `s3://${this.#bucket}/${this.#base}${what.key}`,
      bucket: this.#bucket,
      place: this.#place,
      when: what.when,
      clock: this.#clock,
    };
    const closed = () => fault(attempt, { code: "STORE_CLOSED", why: "the store was closed" });
    const gate = new AbortController();
    try {
      return await this.#inFlight.run(gate, { signal, closed }, async () => {
        await this.#identity.find(attempt);
        gate.signal.throwIfAborted();
        return run(attempt, gate.signal);
      });
    } catch (error) {
      this.#identity.heard(error);
      signal.throwIfAborted();
      throw s3Error(error, attempt);
    }
  }
}

type Condition = Pick<PutObjectCommandInput, "IfMatch" | "IfNoneMatch">;
