/** Objects in a container of Azure Blob Storage; docs/stores/azure.md tells what it asks of an account. */

import type { BlockBlobClient, ContainerClient } from "@azure/storage-blob";
import { readAnswer } from "./azure/answer.ts";
import { bareETag, md5, outgoing, readObject, versionOf } from "./azure/body.ts";
import type { AzureConnection } from "./azure/client.ts";
import { connectContainer } from "./azure/client.ts";
import { azureError, isCutOff, notAzure } from "./azure/errors.ts";
import type { Asked, Page } from "./azure/listing.ts";
import { byKey, readPage } from "./azure/listing.ts";
import { fromBlobMetadata, toBlobMetadata } from "./azure/metadata.ts";
import type { AzureAttempt } from "./azure/verdicts.ts";
import type { Watched } from "./azure/watch.ts";
import { Watch } from "./azure/watch.ts";
import { hasLost } from "./cut-off.ts";
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
import { fault, lostRace, unavailable } from "./verdict.ts";

export interface AzureStoreOptions extends AzureConnection {
  /** The storage URL, without credentials. */
  readonly url: string;
  /** Without leading or trailing `/`; `""` is the whole container. */
  readonly prefix: string;
  /** Longest silence, milliseconds: until a token comes, while connecting, between two pieces of a body. */
  readonly timeoutMs: number;
  /** Objects per page of a listing, at most 5000; absent: the server's choice. */
  readonly pageSize?: number | undefined;
}

/** Opens no connection. Rejects with StoreError where the options alone show that nothing could work. */
export async function openAzureStore(options: AzureStoreOptions): Promise<Store> {
  const { client, place } = await connectContainer(options);
  return new AzureStore(options, client, place);
}

/**
 * - A version is an ETag: every put makes a new one, be it of the same content.
 * - A put is one Put Blob, which Azure takes up to 5000 MiB, and so atomic; there are no blocks.
 *   https://learn.microsoft.com/rest/api/storageservices/put-blob
 */
class AzureStore implements Store {
  readonly url: string;
  readonly #account: string;
  readonly #base: string;
  readonly #pageSize: number | undefined;
  readonly #timeoutMs: number;
  readonly #client: ContainerClient;
  readonly #place: string;
  readonly #watch: Watch;

  constructor(options: AzureStoreOptions, client: ContainerClient, place: string) {
    this.url = options.url;
    this.#account = options.account;
    this.#base = options.prefix === "" ? "" : `${options.prefix}/`;
    this.#pageSize = options.pageSize;
    this.#timeoutMs = options.timeoutMs;
    this.#client = client;
    this.#place = place;
    this.#watch = new Watch(options.timeoutMs);
  }

  async get(key: Key, options: GetOptions, signal: AbortSignal): Promise<StoredObject> {
    checkKey(key);
    return this.#attempt({ action: "read", key }, signal, async (attempt, { signal, moved }) => {
      const answer = await this.#blob(key).download(0, undefined, { ...ONCE, abortSignal: signal });
      moved();
      return readObject(key, answer, options, attempt, moved);
    });
  }

  async head(key: Key, signal: AbortSignal): Promise<ObjectHead> {
    checkKey(key);
    return this.#attempt({ action: "read", key }, signal, async (attempt, { signal }) => {
      const answer = await this.#blob(key).getProperties({ abortSignal: signal });
      const { etag, contentLength: bytes, metadata } = answer;
      if (bytes === undefined) throw notAzure(attempt, "an answer without a length");
      return {
        key,
        version: versionOf(etag, attempt),
        bytes,
        metadata: fromBlobMetadata(metadata),
      };
    });
  }

  async getIfChanged(
    key: Key,
    than: Version,
    options: GetOptions,
    signal: AbortSignal,
  ): Promise<StoredObject | undefined> {
    checkKey(key);
    return this.#attempt({ action: "read", key }, signal, async (attempt, { signal, moved }) => {
      const conditions = { ifNoneMatch: `"${than}"` };
      try {
        const request = { ...ONCE, conditions, abortSignal: signal };
        const answer = await this.#blob(key).download(0, undefined, request);
        moved();
        return await readObject(key, answer, options, attempt, moved);
      } catch (error) {
        // 304 Not Modified is an exception to the SDK.
        if (readAnswer(error)?.status !== 304) throw error;
        return undefined;
      }
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
    const { when, metadata, contentType } = options;
    const bytes = body.byteLength;
    return this.#attempt({ action: "write", key, when }, signal, async (attempt, watched) => {
      const abortSignal = watched.signal;
      try {
        const request = {
          abortSignal,
          conditions: condition(when),
          metadata: toBlobMetadata(metadata),
          // Azure compares the MD5 with what arrives, and keeps it.
          blobHTTPHeaders: { blobContentType: contentType, blobContentMD5: md5(body) },
        };
        const pieces = () => outgoing(body, watched.moved);
        const answer = await this.#blob(key).upload(pieces, bytes, request);
        return { key, version: versionOf(answer.etag, attempt), bytes };
      } catch (error) {
        if (when === undefined || abortSignal.aborted || !isCutOff(error)) throw error;
        watched.moved();
        const there = await this.#blob(key)
          .getProperties({ abortSignal })
          .catch(() => undefined);
        if (there === undefined) throw error;
        const now = {
          version: there.etag && bareETag(there.etag),
          bytes: there.contentLength,
          metadata: fromBlobMetadata(there.metadata),
        };
        throw hasLost({ bytes, metadata, when }, now) ? lostRace(attempt) : error;
      }
    });
  }

  async *list(prefix: Key | "", signal: AbortSignal): AsyncIterable<ObjectInfo> {
    checkPrefix(prefix);
    const below = this.#base + (prefix === "" ? "" : `${prefix}/`);
    const what = { action: "list", key: prefix } as const;
    const container = this.#client.containerName;
    const objects: ObjectInfo[] = [];
    let token: string | undefined;
    do {
      const page = await this.#attempt(what, signal, (attempt, watched) =>
        this.#page({ container, base: this.#base, below, token }, attempt, watched),
      );
      objects.push(...page.objects);
      token = page.next;
    } while (token !== undefined);
    // "Alphabetical" says Azure of its order; Azurite's is that of UTF-16, a hierarchical namespace's by folder.
    for (const info of objects.sort(byKey)) {
      signal.throwIfAborted();
      yield info;
    }
  }

  async delete(key: Key, signal: AbortSignal): Promise<void> {
    checkKey(key);
    await this.#attempt({ action: "delete", key }, signal, async (_, { signal }) => {
      await this.#blob(key)
        .delete({ abortSignal: signal })
        .catch((error: unknown) => {
          if (readAnswer(error)?.name !== "BlobNotFound") throw error;
        });
    });
  }

  /** Cuts what is in flight: it rejects with STORE_CLOSED. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#watch.close();
  }

  async #page(asked: Asked, attempt: AzureAttempt, { signal }: Watched): Promise<Page> {
    const { below, token } = asked;
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
    return readPage(done === true ? undefined : page, asked, attempt);
  }

  #blob(key: Key): BlockBlobClient {
    return this.#client.getBlockBlobClient(this.#base + key);
  }

  /** Runs one operation; whatever goes wrong becomes `signal.reason` or a StoreError. */
  async #attempt<T>(
    what: { action: AzureAttempt["action"]; key: Key | ""; when?: Precondition | undefined },
    signal: AbortSignal,
    run: (attempt: AzureAttempt, watched: Watched) => Promise<T>,
  ): Promise<T> {
    const { action, key, when } = what;
    checkNoBackslash(key);
    const container = this.#client.containerName;
    const target = `azure://${this.#account}/${container}/${this.#base}${key}`;
    const attempt: AzureAttempt = { action, target, container, place: this.#place, when };
    const endings = {
      silent: () => {
        const why = `the server does not answer in time (nothing moved for ${this.#timeoutMs} ms)`;
        return fault(attempt, unavailable(why));
      },
      closed: () => fault(attempt, { code: "STORE_CLOSED", why: "the store was closed" }),
    };
    try {
      return await this.#watch.run(signal, endings, (watched) => run(attempt, watched));
    } catch (error) {
      signal.throwIfAborted();
      throw azureError(error, attempt);
    }
  }
}

/** Azure takes a backslash for a slash: "b\\c" would come back as another key. */
function checkNoBackslash(key: string): void {
  if (!key.includes("\\")) return;
  throw new StoreError(
    "STORE_BAD_KEY",
    `not usable in Azure: ${JSON.stringify(key)} has a backslash`,
    {
      hint: "Choose a version or prefix without one.",
    },
  );
}

/** Without it the SDK may ask up to five times for the rest of a body that breaks off. */
const ONCE = { maxRetryRequests: 0 } as const;

function condition(when: Precondition | undefined): { ifMatch?: string; ifNoneMatch?: string } {
  if (when === undefined) return {};
  return "ifAbsent" in when ? { ifNoneMatch: "*" } : { ifMatch: `"${when.ifVersion}"` };
}
