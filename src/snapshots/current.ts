/** The current object of one Kong version as exporters see it: what lies there now, and the write that replaces just that. */

import type { Log } from "../core/log.ts";
import type { KongVersion } from "../kong/version.ts";
import {
  type Key,
  type ObjectInfo,
  type Precondition,
  type Store,
  type StoredObject,
  StoreError,
  type Version,
} from "../store/port.ts";
import { SnapshotError } from "./errors.ts";
import { currentKey } from "./layout.ts";
import { encodeMetadata, fencingTokenOf } from "./metadata.ts";
import type { NewSnapshot, Snapshot, SnapshotMetadata } from "./snapshot.ts";
import { verifySnapshot } from "./verify.ts";
import { BLANKS_BYTES, blanksOf, mayBeBodyDigest, newWriteId, WRITE_ID } from "./write-id.ts";

/** What is known to lie in the store. */
export type Known =
  | { readonly kind: "absent" }
  | {
      readonly kind: "present";
      readonly version: Version;
      /** Undefined: it is unusable, or carries none, and is to be replaced. */
      readonly metadata: SnapshotMetadata | undefined;
      /** Also of an unusable one, where it can be read; else 0. */
      readonly fencingToken: number;
    };

export interface CurrentObjectOptions {
  readonly store: Store;
  readonly kongVersion: KongVersion;
  /** Longest config accepted from the store, bytes. */
  readonly maxConfigBytes: number;
  readonly log: Log;
}

/** Longest object that holds a config of this length, bytes. */
export function maxObjectBytes(maxConfigBytes: number): number {
  return maxConfigBytes + BLANKS_BYTES;
}

export class CurrentObject {
  readonly key: Key;
  readonly #options: CurrentObjectOptions;

  constructor(options: CurrentObjectOptions) {
    this.key = currentKey(options.kongVersion);
    this.#options = options;
  }

  /** With its store, for messages. */
  get name(): string {
    return `${this.#options.store.url}/${this.key}`;
  }

  /**
   * An object that cannot be used is logged: it is to be replaced. SNAPSHOT_UNKNOWN_FORMAT for one of
   * a newer program, which is never replaced by an older one; StoreError.
   */
  async look(signal: AbortSignal): Promise<Known> {
    const { kongVersion, log } = this.#options;
    try {
      const object = await this.#get(signal);
      return {
        kind: "present",
        version: object.version,
        metadata: this.#trusted(object)?.metadata,
        fencingToken: fencingTokenOf(object.metadata),
      };
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      if (error.code === "STORE_NOT_FOUND") return { kind: "absent" };
      if (error.code !== "STORE_TOO_LARGE") throw error;
      log.error({ err: error, kongVersion }, "saved snapshot is unusable and will be replaced");
      return this.#versionOnly(error, signal);
    }
  }

  /** The snapshot, verified. Throws SnapshotError, StoreError. */
  async read(signal: AbortSignal): Promise<Snapshot> {
    return verifySnapshot(await this.#get(signal), this.#options.kongVersion, this.name);
  }

  /**
   * Replaces `known` and nothing else, unless `conditional` is false, by an object of a version that
   * none had before. The write id sees to that where metadata count; where only the body does, so do
   * the blanks after the config, which stand for the write id. Throws StoreError.
   */
  async replace(
    known: Known,
    { config, metadata }: NewSnapshot,
    conditional: boolean,
    signal: AbortSignal,
  ): Promise<{ readonly info: ObjectInfo; readonly known: Known }> {
    const writeId = newWriteId();
    const when: Precondition =
      known.kind === "absent" ? { ifAbsent: true } : { ifVersion: known.version };
    const body =
      known.kind === "present" && mayBeBodyDigest(known.version)
        ? Buffer.concat([config, blanksOf(writeId)])
        : config;
    const info = await this.#options.store.put(
      this.key,
      body,
      {
        metadata: { ...encodeMetadata(metadata), [WRITE_ID]: writeId },
        contentType: "application/json",
        ...(conditional ? { when } : {}),
      },
      signal,
    );
    const { version } = info;
    const { fencingToken } = metadata;
    return { info, known: { kind: "present", version, metadata, fencingToken } };
  }

  #get(signal: AbortSignal): Promise<StoredObject> {
    const { store, maxConfigBytes } = this.#options;
    return store.get(this.key, { maxBytes: maxObjectBytes(maxConfigBytes) }, signal);
  }

  /** An object too large to be read still has to be replaced, on the condition that it is still the same. */
  async #versionOnly(cause: StoreError, signal: AbortSignal): Promise<Known> {
    const unread = { metadata: undefined, fencingToken: 0 };
    for await (const { key, version } of this.#options.store.list(
      this.#options.kongVersion,
      signal,
    )) {
      if (key === this.key) return { kind: "present", version, ...unread };
    }
    throw cause;
  }

  #trusted(object: StoredObject): Snapshot | undefined {
    try {
      return verifySnapshot(object, this.#options.kongVersion, this.name);
    } catch (error) {
      if (!(error instanceof SnapshotError)) throw error;
      if (error.code === "SNAPSHOT_UNKNOWN_FORMAT") throw error;
      this.#options.log.error({ err: error }, "saved snapshot is unusable and will be replaced");
      return undefined;
    }
  }
}
