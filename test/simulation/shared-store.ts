/** The store that all exporters of a world share, in memory: its versions are generations, or, as S3's, digests of the body alone. */

import { createHash } from "node:crypto";
import type {
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

export interface SharedStoreOptions {
  /** `memory://shared` if absent. */
  readonly url?: string;
  readonly versions: "generation" | "digest";
  /** Key at which conditions are ignored. */
  readonly unconditional?: Key;
}

export class SharedStore implements Store {
  readonly url: string;
  readonly objects = new Map<Key, StoredObject>();
  readonly #options: SharedStoreOptions;
  #generation = 0;

  constructor(options: SharedStoreOptions) {
    this.#options = options;
    this.url = options.url ?? "memory://shared";
  }

  async get(key: Key): Promise<StoredObject> {
    const object = this.objects.get(key);
    if (object === undefined) throw new StoreError("STORE_NOT_FOUND", `there is no ${key}`);
    return object;
  }

  async head(key: Key): Promise<ObjectHead> {
    const { version, bytes, metadata } = await this.get(key);
    return { key, version, bytes, metadata };
  }

  async getIfChanged(key: Key, than: Version): Promise<StoredObject | undefined> {
    const object = await this.get(key);
    return object.version === than ? undefined : object;
  }

  async put(
    key: Key,
    body: Uint8Array,
    { metadata, when }: Pick<PutOptions, "metadata" | "when">,
  ): Promise<ObjectInfo> {
    const version = this.objects.get(key)?.version;
    const wanted = when !== undefined && "ifVersion" in when ? when.ifVersion : undefined;
    const { versions, unconditional } = this.#options;
    if (when !== undefined && version !== wanted && key !== unconditional) {
      throw new StoreError("STORE_PRECONDITION_FAILED", `${key} is another one`);
    }
    this.#generation += 1;
    const next =
      versions === "digest"
        ? createHash("md5").update(body).digest("hex")
        : String(this.#generation);
    const info = { key, bytes: body.length, version: next as Version };
    this.objects.set(key, { ...info, body: body.slice(), metadata: { ...metadata } });
    return info;
  }

  async *list(prefix: Key | ""): AsyncIterable<ListedObject> {
    const keys = [...this.objects.keys()].filter((key) => key.startsWith(`${prefix}/`));
    for (const key of keys.sort()) {
      const object = this.objects.get(key);
      if (object !== undefined) yield { ...object, putAt: undefined };
    }
  }

  async delete(key: Key): Promise<void> {
    this.objects.delete(key);
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
