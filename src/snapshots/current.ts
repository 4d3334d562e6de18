/** The current object of one Kong version as exporters see it: what lies there now, and the write that replaces just that. */

import type { Clock } from "../core/clock.ts";
import type { Log } from "../core/log.ts";
import type { Key, ObjectHead, Precondition, Store, StoredObject, Version } from "../store/port.ts";
import { isNotFound, isPassedOver, SnapshotError } from "./errors.ts";
import { currentKey } from "./layout.ts";
import { encodeMetadata, fencingTokenOf } from "./metadata.ts";
import {
  maxCurrentBytes,
  metadataOf,
  type Sighting,
  type SightingOptions,
  sightCurrent,
  vouchForCurrent,
} from "./sighting.ts";
import type { NewSnapshot, SnapshotMetadata } from "./snapshot.ts";
import { blanksOf, newWriteId, WRITE_ID } from "./write-id.ts";

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
      /** When this writer saw this very object first, by its monotonic clock, milliseconds. */
      readonly seenAtMs: number;
    };

export interface CurrentObjectOptions extends SightingOptions {
  readonly store: Store;
  readonly log: Log;
  /** Whether each write is known, by trial, to make a version that none had before; absent: not known. Asked at each write. */
  readonly makesFreshVersions?: () => boolean;
  /** Absent: nothing counts as received after a look. */
  readonly clock?: Pick<Clock, "monotonicMs">;
}

export class CurrentObject {
  readonly key: Key;
  readonly #options: CurrentObjectOptions;
  /** The object seen last. */
  #seen: { readonly version: Version; readonly atMs: number } | undefined;

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
    const { kongVersion, log } = this.#options;
    let head: ObjectHead | undefined;
    try {
      const object = await this.#get(signal);
      head = object;
      const sighting = await sightCurrent(object, this.name, this.#options);
      if (sighting.kind === "sealed") {
        const { why: err } = sighting;
        log.debug({ err }, "saved snapshot is sealed for others, known by its metadata");
      }
      return this.#present(head, metadataOf(sighting));
    } catch (error) {
      if (isNotFound(error)) return { kind: "absent" };
      if (!isPassedOver(error)) throw error;
      log.error({ err: error, kongVersion }, "saved snapshot is unusable and will be replaced");
    }
    if (head !== undefined) return this.#present(head, undefined);
    // One too large to be read still has to be replaced, on the condition that it is still the same.
    head = await this.#head(signal);
    if (head === undefined) return { kind: "absent" };
    const wasReplaced = head.bytes <= maxCurrentBytes(this.#options.maxConfigBytes);
    return wasReplaced ? this.look(signal) : this.#present(head, undefined);
  }

  /** This version lies there now. What is seen again was there all along: no version comes back. */
  saw(version: Version): number {
    if (this.#seen?.version !== version) {
      const atMs = this.#options.clock?.monotonicMs() ?? Number.POSITIVE_INFINITY;
      this.#seen = { version, atMs };
    }
    return this.#seen.atMs;
  }

  /** Of what lies there; undefined where nothing does. Throws StoreError. */
  async version(signal: AbortSignal): Promise<Version | undefined> {
    return (await this.#head(signal))?.version;
  }

  /** Of what lies there, see Known; 0 where nothing does. Its body is not looked at. Throws as `look`. */
  async fencingToken(signal: AbortSignal): Promise<number> {
    const head = await this.#head(signal);
    return head === undefined ? 0 : this.#tokenOf(head);
  }

  /** What our keys show of it. Throws SnapshotError, StoreError. */
  async sight(signal: AbortSignal): Promise<Sighting> {
    return sightCurrent(await this.#get(signal), this.name, this.#options);
  }

  /**
   * Replaces `known` and nothing else, unless `conditional` is false, by an object of a version that
   * none had before. The write id sees to that where metadata count; where only the body does, or it is not
   * known which, so does encryption, which never gives the same twice, or do the blanks after the config,
   * which stand for the write id. Throws StoreError.
   */
  async replace(
    known: Known,
    { config, metadata }: NewSnapshot,
    conditional: boolean,
    signal: AbortSignal,
  ): Promise<Known> {
    const writeId = newWriteId();
    const when: Precondition =
      known.kind === "absent" ? { ifAbsent: true } : { ifVersion: known.version };
    const { seal, store, makesFreshVersions } = this.#options;
    const needsBlanks =
      !seal.encrypts && known.kind === "present" && makesFreshVersions?.() !== true;
    const sealed = await seal.close(
      needsBlanks ? Buffer.concat([config, blanksOf(writeId)]) : config,
      { ...encodeMetadata(metadata), [WRITE_ID]: writeId },
    );
    const { version } = await store.put(
      this.key,
      sealed.body,
      {
        metadata: sealed.metadata,
        contentType: "application/json",
        ...(conditional ? { when } : {}),
      },
      signal,
    );
    const { fencingToken } = metadata;
    const seenAtMs = this.saw(version);
    return { kind: "present", version, metadata, fencingToken, isSealedAsNow: true, seenAtMs };
  }

  #get(signal: AbortSignal): Promise<StoredObject> {
    const { store, maxConfigBytes } = this.#options;
    return store.get(this.key, { maxBytes: maxCurrentBytes(maxConfigBytes) }, signal);
  }

  async #head(signal: AbortSignal): Promise<ObjectHead | undefined> {
    try {
      return await this.#options.store.head(this.key, signal);
    } catch (error) {
      if (!isNotFound(error)) throw error;
      return undefined;
    }
  }

  #present(head: ObjectHead, metadata: SnapshotMetadata | undefined): Known {
    return {
      kind: "present",
      version: head.version,
      metadata,
      fencingToken: this.#tokenOf(head),
      isSealedAsNow: this.#options.seal.isUpToDate(head.metadata),
      seenAtMs: this.saw(head.version),
    };
  }

  #tokenOf(head: ObjectHead): number {
    try {
      vouchForCurrent(head, this.name, this.#options);
    } catch (error) {
      if (!(error instanceof SnapshotError)) throw error;
      if (error.code === "SNAPSHOT_UNKNOWN_FORMAT") throw error;
      // Each Kong version has tokens of its own.
      if (error.code === "SNAPSHOT_UNSIGNED" || error.code === "SNAPSHOT_WRONG_VERSION") return 0;
    }
    return fencingTokenOf(head.metadata);
  }
}
