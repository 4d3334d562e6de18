/** Objects in a container of Azure Blob Storage; docs/stores/azure.md tells what it asks of an account. */

import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import type {
  BlobDownloadResponseParsed,
  BlockBlobClient,
  ContainerClient,
} from "@azure/storage-blob";
import type { Clock } from "../core/clock.ts";
import type { AzureConnection } from "./azure/client.ts";
import { connectContainer } from "./azure/client.ts";
import { azureError, isBrokenOff, notAzure, readAnswer } from "./azure/verdicts.ts";
import type { GetOptions, Metadata, Precondition, PutOptions, Store, Version } from "./port.ts";
import { StoreError } from "./port.ts";
import type { Call, Driver, Fetched, Head, Page } from "./remote.ts";
import { outgoing, RemoteStore, readBody } from "./remote.ts";
import type { StoreAttempt } from "./verdict.ts";
import { damaged, isReset } from "./verdict.ts";

export interface AzureStoreOptions extends AzureConnection {
  /** The storage URL, without credentials. */
  readonly url: string;
  /** Without leading or trailing `/`; `""` is the whole container. */
  readonly prefix: string;
  /** Longest silence, milliseconds: until a token comes, while connecting, between two pieces of a body. */
  readonly timeoutMs: number;
  readonly clock: Clock;
  /** Objects per page of a listing, at most 5000; absent: the server's choice. */
  readonly pageSize?: number | undefined;
}

/** Opens no connection. Rejects with StoreError where the options alone show that nothing could work. */
export async function openAzureStore(options: AzureStoreOptions): Promise<Store> {
  const { client, place } = await connectContainer(options);
  const driver = new AzureDriver(options, client, place);
  return new RemoteStore(driver, { ...options, silenceMs: options.timeoutMs });
}

/**
 * - A version is an ETag without its quotes: every put makes a new one, be it of the same content.
 * - A put is one Put Blob, which Azure takes up to 5000 MiB, and so atomic; there are no blocks.
 *   https://learn.microsoft.com/rest/api/storageservices/put-blob
 * - Bodies are checked against their MD5: on the way up by Azure, which keeps it, on the way down here.
 */
class AzureDriver implements Driver {
  readonly root: string;
  readonly bucket: string;
  readonly place: string;
  readonly awaitedFirst = "answer";
  /** "Alphabetical" says Azure of its order; Azurite's is that of UTF-16, a hierarchical namespace's by folder. */
  readonly isListingSorted = false;
  readonly #pageSize: number | undefined;
  readonly #client: ContainerClient;

  constructor(options: AzureStoreOptions, client: ContainerClient, place: string) {
    this.root = `azure://${options.account}/${options.container}`;
    this.bucket = options.container;
    this.place = place;
    this.#pageSize = options.pageSize;
    this.#client = client;
  }

  /** Azure takes a backslash for a slash: "b\\c" would come back as another key. */
  checkName(name: string): void {
    if (!name.includes("\\")) return;
    throw new StoreError(
      "STORE_BAD_KEY",
      `not usable in Azure: ${JSON.stringify(name)} has a backslash`,
      { hint: "Choose a version or prefix without one." },
    );
  }

  async get(
    name: string,
    than: Version | undefined,
    options: GetOptions,
    call: Call,
  ): Promise<Fetched | undefined> {
    const request = {
      // Otherwise the SDK may ask up to five times for the rest of a body that breaks off.
      maxRetryRequests: 0,
      conditions: than === undefined ? {} : { ifNoneMatch: `"${than}"` },
      abortSignal: call.signal,
    };
    try {
      return await readObject(
        await this.#blob(name).download(0, undefined, request),
        options,
        call,
      );
    } catch (error) {
      // 304 Not Modified is an exception to the SDK.
      if (than === undefined || readAnswer(error)?.status !== 304) throw error;
      return undefined;
    }
  }

  async head(name: string, { attempt, signal }: Call): Promise<Head> {
    const blob = this.#blob(name);
    try {
      return readHead(await blob.getProperties({ abortSignal: signal }), attempt);
    } catch (error) {
      if (readAnswer(error)?.name !== "AuthenticationFailed") throw error;
      // The answer to a GET has the sentence, too, that tells a wrong clock or an expired token from a wrong key.
      const whole = await blob.download(0, undefined, { maxRetryRequests: 0, abortSignal: signal });
      if (whole.readableStreamBody instanceof Readable) whole.readableStreamBody.destroy();
      return readHead(whole, attempt);
    }
  }

  async put(name: string, body: Uint8Array, options: PutOptions, call: Call): Promise<Version> {
    const { when, metadata, contentType } = options;
    const request = {
      abortSignal: call.signal,
      conditions: condition(when),
      metadata: toBlobMetadata(metadata),
      blobHTTPHeaders: { blobContentType: contentType, blobContentMD5: md5(body) },
    };
    const pieces = () => Readable.from(outgoing(body, call), { objectMode: false });
    const answer = await this.#blob(name).upload(pieces, body.byteLength, request);
    return versionOf(answer.etag, call.attempt);
  }

  async page(below: string, token: string | undefined, call: Call): Promise<Page> {
    const { attempt, signal } = call;
    const pages = this.#client
      .listBlobsFlat({ prefix: below, includeMetadata: true, abortSignal: signal })
      .byPage({
        ...(token === undefined ? {} : { continuationToken: token }),
        ...(this.#pageSize === undefined ? {} : { maxPageSize: this.#pageSize }),
      });
    const { value: page, done } = await pages.next().catch((error: unknown) => {
      // So the SDK trips over XML or HTML of another kind.
      throw error instanceof TypeError ? notAzure(attempt, "an answer that is no listing") : error;
    });
    // Any XML, such as a web page, parses as a listing of nothing.
    if (done === true || page.containerName !== this.bucket) {
      throw notAzure(attempt, "an answer that is no listing");
    }
    const blobs = page.segment.blobItems.filter(({ metadata }) => !isFolder(metadata));
    const objects = blobs.map(({ name, properties }) => {
      const { etag, contentLength: bytes = 0, lastModified: putAt } = properties;
      return { name, version: versionOf(etag, attempt), bytes, putAt };
    });
    const next = page.continuationToken === "" ? undefined : page.continuationToken;
    return { objects, next };
  }

  async delete(name: string, { signal }: Call): Promise<void> {
    try {
      await this.#blob(name).delete({ abortSignal: signal });
    } catch (error) {
      if (readAnswer(error)?.name !== "BlobNotFound") throw error;
    }
  }

  explain(error: unknown, attempt: StoreAttempt): StoreError {
    return azureError(error, attempt);
  }

  /** Also the SDK's word for a connection that broke within an answer. */
  isCutOff(error: unknown): boolean {
    return isReset(error) || isBrokenOff(error);
  }

  async close(): Promise<void> {}

  #blob(name: string): BlockBlobClient {
    return this.#client.getBlockBlobClient(name);
  }
}

function readHead(
  {
    etag,
    contentLength: bytes,
    metadata,
  }: Pick<BlobDownloadResponseParsed, "etag" | "contentLength" | "metadata">,
  attempt: StoreAttempt,
): Head {
  if (bytes === undefined) throw notAzure(attempt, "an answer without a length");
  return { version: versionOf(etag, attempt), bytes, metadata: fromBlobMetadata(metadata) };
}

async function readObject(
  answer: BlobDownloadResponseParsed,
  options: GetOptions,
  call: Call,
): Promise<Fetched> {
  const { readableStreamBody: stream, contentLength: bytes, contentMD5, etag, metadata } = answer;
  const { attempt } = call;
  if (!(stream instanceof Readable) || bytes === undefined) {
    throw notAzure(attempt, "an answer without a body");
  }
  try {
    const version = versionOf(etag, attempt);
    const body = await readBody(stream, bytes, options, call);
    if (contentMD5 !== undefined && Buffer.compare(md5(body), contentMD5) !== 0) {
      throw damaged(attempt, "the bytes that arrived do not have the object's MD5");
    }
    return { version, bytes, body, metadata: fromBlobMetadata(metadata) };
  } finally {
    // Gives up the connection of an answer that was not read to its end.
    stream.destroy();
  }
}

function md5(body: Uint8Array): Uint8Array {
  return createHash("md5").update(body).digest();
}

function versionOf(etag: string | undefined, attempt: StoreAttempt): Version {
  if (etag === undefined || etag === "") throw notAzure(attempt, "an answer without an ETag");
  return etag.replace(/^"(.*)"$/, "$1") as Version;
}

function condition(when: Precondition | undefined): { ifMatch?: string; ifNoneMatch?: string } {
  if (when === undefined) return {};
  return "ifAbsent" in when ? { ifNoneMatch: "*" } : { ifMatch: `"${when.ifVersion}"` };
}

/**
 * A name must be a C# identifier, its case is not kept on the way, and other tools keep their own
 * names beside ours. So `config-hash` is `kf_config_hash`: with the prefix no name is a keyword of
 * C# or begins with a digit, and without it it is not ours.
 * https://learn.microsoft.com/rest/api/storageservices/setting-and-retrieving-properties-and-metadata-for-blob-resources
 */
const METADATA_PREFIX = "kf_";

export function toBlobMetadata(metadata: Metadata): Record<string, string> {
  return Object.fromEntries(
    Object.entries(metadata).map(([name, value]) => [
      METADATA_PREFIX + name.replaceAll("-", "_"),
      value,
    ]),
  );
}

/** Only what `toBlobMetadata` made. */
export function fromBlobMetadata(metadata: Readonly<Record<string, string>> = {}): Metadata {
  return Object.fromEntries(
    Object.entries(metadata).flatMap(([name, value]) => {
      const lower = name.toLowerCase();
      return lower.startsWith(METADATA_PREFIX)
        ? [[lower.slice(METADATA_PREFIX.length).replaceAll("_", "-"), value]]
        : [];
    }),
  );
}

/** Whether the blob stands for a folder, as those of a hierarchical namespace and of some tools do. */
function isFolder(metadata: Readonly<Record<string, string>> = {}): boolean {
  return Object.entries(metadata).some(
    ([name, value]) => name.toLowerCase() === "hdi_isfolder" && value === "true",
  );
}
