/** The current object of one Kong version as exporters see it: what lies there now, and the write that replaces just that. */

import type { Log } from "../core/log.ts";
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
import {
  maxCurrentBytes,
  metadataOf,
  opened,
  type Sighting,
  type SightingOptions,
  sightCurrent,
} from "./sighting.ts";
import type { NewSnapshot, Snapshot, SnapshotMetadata } from "./snapshot.ts";
import { blanksOf, mayBeBodyDigest, newWriteId, WRITE_ID } from "./write-id.ts";

/** What is known to lie in the store. */
export type Known =
  | { readonly kind: "absent" }
  | {
      readonly kind: "present";
      readonly version: Version;
      /** Undefined: it is unusable, or carries none, and is to be replaced. */
      readonly metadata: SnapshotMetadata | undefined;
      /** Also of an unusable one, where it can be read and is neither forged nor of another Kong version; else 0. */
      readonly fencingToken: number;
      /** Whether it is signed by our key, and sealed for our recipients, of today. */
      readonly isSealedAsNow: boolean;
    };

export interface CurrentObjectOptions extends SightingOptions {
  readonly store: Store;
  readonly log: Log;
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
   * An object that cannot be used is logged: it is to be replaced. One that none of our keys opens is
   * known by its metadata. SNAPSHOT_UNKNOWN_FORMAT for one of a newer program, which is never replaced
   * by an older one; StoreError.
   */
  async look(signal: AbortSignal): Promise<Known> {
    const { kongVersion, log, seal } = this.#options;
    try {
      const object = await this.#get(signal);
      return {
        kind: "present",
        version: object.version,
        ...(await this.#trusted(object)),
        isSealedAsNow: seal.isUpToDate(object.metadata),
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
    return opened(await this.sight(signal));
  }

  /** As `read`, but of one that none of our keys opens the metadata alone. */
  async sight(signal: AbortSignal): Promise<Sighting> {
    return sightCurrent(await this.#get(signal), this.name, this.#options);
  }

  /**
   * Replaces `known` and nothing else, unless `conditional` is false, by an object of a version that
   * none had before. The write id sees to that where metadata count; where only the body does, so does
   * encryption, which never gives the same twice, or do the blanks after the config, which stand for the
   * write id. Throws StoreError.
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
    const { seal, store } = this.#options;
    const needsBlanks =
      !seal.encrypts && known.kind === "present" && mayBeBodyDigest(known.version);
    const sealed = await seal.close(
      needsBlanks ? Buffer.concat([config, blanksOf(writeId)]) : config,
      { ...encodeMetadata(metadata), [WRITE_ID]: writeId },
    );
    const info = await store.put(
      this.key,
      sealed.body,
      {
        metadata: sealed.metadata,
        contentType: "application/json",
        ...(conditional ? { when } : {}),
      },
      signal,
    );
    const { version } = info;
    const { fencingToken } = metadata;
    return {
      info,
      known: { kind: "present", version, metadata, fencingToken, isSealedAsNow: true },
    };
  }

  #get(signal: AbortSignal): Promise<StoredObject> {
    const { store, maxConfigBytes } = this.#options;
    return store.get(this.key, { maxBytes: maxCurrentBytes(maxConfigBytes) }, signal);
  }

  /** An object too large to be read still has to be replaced, on the condition that it is still the same. */
  async #versionOnly(cause: StoreError, signal: AbortSignal): Promise<Known> {
    const unread = { metadata: undefined, fencingToken: 0, isSealedAsNow: false };
    for await (const { key, version } of this.#options.store.list(
      this.#options.kongVersion,
      signal,
    )) {
      if (key === this.key) return { kind: "present", version, ...unread };
    }
    throw cause;
  }

  async #trusted(
    object: StoredObject,
  ): Promise<{ readonly metadata: SnapshotMetadata | undefined; readonly fencingToken: number }> {
    const { log } = this.#options;
    const fencingToken = fencingTokenOf(object.metadata);
    try {
      const sighting = await sightCurrent(object, this.name, this.#options);
      if (sighting.kind === "sealed") {
        log.debug(
          { err: sighting.why },
          "saved snapshot is sealed for others, known by its metadata",
        );
      }
      return { metadata: metadataOf(sighting), fencingToken };
    } catch (error) {
      if (!(error instanceof SnapshotError)) throw error;
      if (error.code === "SNAPSHOT_UNKNOWN_FORMAT") throw error;
      log.error({ err: error }, "saved snapshot is unusable and will be replaced");
      // Each Kong version has tokens of its own.
      const isNoneOfOurs =
        error.code === "SNAPSHOT_UNSIGNED" || error.code === "SNAPSHOT_WRONG_VERSION";
      return { metadata: undefined, fencingToken: isNoneOfOurs ? 0 : fencingToken };
    }
  }
}
