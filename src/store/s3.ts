/** Objects in an S3 bucket, at AWS or any server that speaks its protocol; docs/stores/s3.md tells what it asks of one. */

import { Readable } from "node:stream";
import type {
  GetObjectCommandOutput,
  HeadObjectCommandOutput,
  PutObjectCommandInput,
  S3Client,
} from "@aws-sdk/client-s3";
import {
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
} from "@aws-sdk/client-s3";
import type { GetOptions, PutOptions, Store, StoreError, Version } from "./port.ts";
import type { Call, Driver, Fetched, Head, Page } from "./remote.ts";
import { RemoteStore, readBody } from "./remote.ts";
import type { S3Connection } from "./s3/client.ts";
import { connectS3 } from "./s3/client.ts";
import { Identity } from "./s3/identity.ts";
import type { S3CommonOptions, S3PutOptions } from "./s3/put-options.ts";
import { checkPutOptions, forEveryRequest } from "./s3/put-options.ts";
import { notS3, readAnswer, s3Error } from "./s3/verdicts.ts";
import type { StoreAttempt } from "./verdict.ts";
import { fault, isReset, lostRace, unavailable } from "./verdict.ts";

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
  const driver = new S3Driver(options, client, place, putOptions);
  // The SDK watches its sockets; a body on its way up moves where nobody but them can see it.
  return new RemoteStore(driver, { ...options, silenceMs: undefined });
}

/** Of S3 itself; a full page that does not say whether there is more may not be the last. */
const MAX_PAGE = 1000;

interface S3Common extends S3CommonOptions {
  readonly Bucket: string;
}

/**
 * A version is the ETag without its quotes. For plain uploads that is the MD5 of the body: two puts
 * of one body under different metadata have one version, and a body that comes back brings its
 * version back. S3 has nothing finer to put a condition on.
 */
class S3Driver implements Driver {
  readonly root: string;
  readonly bucket: string;
  readonly place: string;
  readonly awaitedFirst = "answer";
  readonly isListingSorted = true;
  readonly #pageSize: number | undefined;
  readonly #putOptions: S3PutOptions;
  readonly #everywhere: S3Common;
  readonly #client: S3Client;
  readonly #ifMatch = new IfMatch();
  readonly #identity: Identity;

  constructor(options: S3StoreOptions, client: S3Client, place: string, putOptions: S3PutOptions) {
    this.root = `s3://${options.bucket}`;
    this.bucket = options.bucket;
    this.place = place;
    this.#pageSize = options.pageSize;
    this.#putOptions = putOptions;
    this.#everywhere = { Bucket: options.bucket, ...forEveryRequest(putOptions) };
    this.#client = client;
    this.#identity = new Identity(client);
  }

  async get(
    name: string,
    than: Version | undefined,
    options: GetOptions,
    call: Call,
  ): Promise<Fetched | undefined> {
    const condition = than === undefined ? {} : { IfNoneMatch: `"${than}"` };
    try {
      const command = new GetObjectCommand({ ...this.#address(name), ...condition });
      const answer = await this.#send(call, (abortSignal) =>
        this.#client.send(command, { abortSignal }),
      );
      if (than !== undefined && versionOf(answer.ETag, call.attempt) === than) {
        // The server took no notice of the condition.
        dropBody(answer);
        return undefined;
      }
      return await readObject(answer, options, call);
    } catch (error) {
      // 304 Not Modified is an exception to the SDK.
      if (than === undefined || readAnswer(error)?.status !== 304) throw error;
      return undefined;
    }
  }

  async head(name: string, call: Call): Promise<Head> {
    try {
      return readHead(await this.#send(call, () => this.#ask(name, call)), call.attempt);
    } catch (error) {
      const answer = readAnswer(error);
      if (answer === undefined || answer.status >= 500) throw error;
      // The answer to a HEAD has no document that says what is wrong; that to a GET has.
      const command = new GetObjectCommand(this.#address(name));
      const whole = await this.#client.send(command, { abortSignal: call.signal });
      dropBody(whole);
      return readHead(whole, call.attempt);
    }
  }

  async put(name: string, body: Uint8Array, options: PutOptions, call: Call): Promise<Version> {
    const { when, metadata, contentType } = options;
    const write = async (condition: Condition): Promise<Version> => {
      const command = new PutObjectCommand({
        ...this.#putOptions,
        ...this.#address(name),
        ...condition,
        Body: body,
        ContentLength: body.byteLength,
        ContentType: contentType,
        Metadata: { ...metadata },
      });
      const answer = await this.#client.send(command, { abortSignal: call.signal });
      return versionOf(answer.ETag, call.attempt);
    };
    return this.#send(call, () => {
      if (when === undefined) return write({});
      if ("ifAbsent" in when) return write({ IfNoneMatch: "*" });
      const ask = () => this.#ask(name, call);
      return this.#ifMatch.replace(when.ifVersion, write, ask, call.attempt);
    });
  }

  async page(below: string, token: string | undefined, call: Call): Promise<Page> {
    const command = new ListObjectsV2Command({
      ...this.#everywhere,
      Prefix: below,
      ContinuationToken: token,
      MaxKeys: this.#pageSize,
    });
    const answer = await this.#send(call, (abortSignal) =>
      this.#client.send(command, { abortSignal }),
    );
    const { attempt } = call;
    const { IsTruncated, Name, Contents = [], NextContinuationToken } = answer;
    // Any XML, such as a web page, parses as a listing of nothing. Some servers leave IsTruncated out at the end.
    if (IsTruncated === undefined && Name === undefined && Contents.length === 0) {
      throw notS3(attempt, "an answer that is no listing");
    }
    const next = IsTruncated === false ? undefined : NextContinuationToken;
    const isFull = Contents.length >= (this.#pageSize ?? MAX_PAGE);
    if ((IsTruncated ?? isFull) && next === undefined) {
      const why =
        "the listing does not go on: the server says that there is more, but not from where";
      throw fault(attempt, unavailable(why));
    }
    const objects = Contents.map(
      ({ Key: name = "", ETag, Size: bytes = 0, LastModified: putAt }) => {
        return { name, version: versionOf(ETag, attempt), bytes, putAt };
      },
    );
    return { objects, next };
  }

  async delete(name: string, call: Call): Promise<void> {
    const command = new DeleteObjectCommand(this.#address(name));
    try {
      await this.#send(call, (abortSignal) => this.#client.send(command, { abortSignal }));
    } catch (error) {
      // S3 itself answers 204 for a missing key; some servers say that it is missing.
      if (readAnswer(error)?.name !== "NoSuchKey") throw error;
    }
  }

  explain(error: unknown, attempt: StoreAttempt): StoreError {
    this.#identity.heard(error);
    return s3Error(error, attempt);
  }

  isCutOff(error: unknown): boolean {
    return isReset(error);
  }

  async close(): Promise<void> {
    this.#client.destroy();
  }

  async #send<T>(call: Call, send: (signal: AbortSignal) => Promise<T>): Promise<T> {
    await this.#identity.find(call.attempt);
    call.signal.throwIfAborted();
    return send(call.signal);
  }

  #ask(name: string, { signal: abortSignal }: Call): Promise<HeadObjectCommandOutput> {
    return this.#client.send(new HeadObjectCommand(this.#address(name)), { abortSignal });
  }

  #address(name: string): S3Common & { readonly Key: string } {
    return { ...this.#everywhere, Key: name };
  }
}

function readHead(
  { ETag, ContentLength: bytes, Metadata: metadata = {} }: HeadObjectCommandOutput,
  attempt: StoreAttempt,
): Head {
  if (bytes === undefined) throw notS3(attempt, "an answer without a length");
  return { version: versionOf(ETag, attempt), bytes, metadata };
}

async function readObject(
  { Body: stream, ETag, ContentLength, Metadata: metadata = {} }: GetObjectCommandOutput,
  options: GetOptions,
  call: Call,
): Promise<Fetched> {
  const version = versionOf(ETag, call.attempt);
  if (!(stream instanceof Readable)) throw notS3(call.attempt, "an answer without a body");
  try {
    const body = await readBody(stream, ContentLength, options, call);
    return { version, bytes: body.byteLength, metadata, body };
  } finally {
    // Gives up the connection of an answer that was not read to its end.
    stream.destroy();
  }
}

/** Gives the connection up, so that the rest of the body is not sent. */
function dropBody({ Body: stream }: GetObjectCommandOutput): void {
  if (stream instanceof Readable) stream.destroy();
}

function versionOf(etag: string | undefined, attempt: StoreAttempt): Version {
  if (etag === undefined || etag === "") throw notS3(attempt, "an answer without an ETag");
  return bareETag(etag) as Version;
}

/** Without the quotes that HTTP puts around it. */
function bareETag(etag: string): string {
  return etag.replace(/^(?:W\/)?"(.*)"$/, "$1");
}

type Condition = Pick<PutObjectCommandInput, "IfMatch" | "IfNoneMatch">;

/** Sends one conditional write. */
type Write = (condition: { readonly IfMatch: string }) => Promise<Version>;

/** How one server takes If-Match, found out by use. */
class IfMatch {
  #style: "untried" | "quoted" | "bare" = "untried";

  /**
   * Replaces `version` and nothing else, by way of `write`; rejects as `write` does. `head`
   * tells what is there now.
   *
   * Ceph's radosgw answers 412 to a correct If-Match in quotes and takes it without them, against
   * RFC 9110, section 13.1.1. So where quotes have not worked yet and the ETag is the expected one
   * all the same, the write is sent once more without them. That risks nothing: the second request
   * is as conditional as the first, and the server judges it anew. A server that takes no notice of
   * a bare If-Match is found out by the probe at start (preconditions.ts), which ends with a write
   * over a stale version.
   */
  async replace(
    version: Version,
    write: Write,
    head: () => Promise<{ readonly ETag?: string | undefined }>,
    attempt: StoreAttempt,
  ): Promise<Version> {
    // Gone, denied or unreachable: nothing is known, and the error that made us ask stands.
    const current = async () => bareETag((await head().catch(() => undefined))?.ETag ?? "");
    if (this.#style !== "bare") {
      try {
        const written = await write({ IfMatch: `"${version}"` });
        this.#style = "quoted";
        return written;
      } catch (error) {
        const odd = this.#style === "untried" && readAnswer(error)?.status === 412;
        if (!odd || (await current()) !== version) throw error;
      }
    }
    try {
      const written = await write({ IfMatch: version });
      this.#style = "bare";
      return written;
    } catch (error) {
      // So says radosgw (16.2.15) to those who lose when several write at the same moment.
      if (readAnswer(error)?.name !== "UnknownError") throw error;
      const now = await current();
      throw now === "" || now === version ? error : lostRace(attempt);
    }
  }
}
