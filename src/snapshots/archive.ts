/** The saved configs of one Kong version: reads them verified, and never lets the backup move backwards. */

import type { Log } from "../core/log.ts";
import type { KongVersion } from "../kong/version.ts";
import {
  type ObjectInfo,
  type Precondition,
  type Store,
  type StoredObject,
  StoreError,
  type Version,
} from "../store/port.ts";
import { SnapshotError } from "./errors.ts";
import { currentKey, versionOfCurrentKey } from "./layout.ts";
import { encodeMetadata } from "./metadata.ts";
import { isSameConfig } from "./newest.ts";
import type { Snapshot, SnapshotMetadata } from "./snapshot.ts";
import { supersedes } from "./succession.ts";
import { verifySnapshot } from "./verify.ts";

/** A snapshot that is about to be saved always has metadata. */
export type NewSnapshot = Snapshot & { readonly metadata: SnapshotMetadata };

export type SaveOutcome =
  | { readonly kind: "saved"; readonly info: ObjectInfo }
  /** The store holds this very config already. */
  | { readonly kind: "unchanged" }
  /** What lies there is newer, and somebody else's; it was left alone. */
  | { readonly kind: "stale"; readonly stored: SnapshotMetadata };

/** What is known to lie in the store; undefined content: unreadable, to be replaced. */
type Known =
  | { readonly kind: "absent" }
  | {
      readonly kind: "present";
      readonly version: Version;
      readonly metadata: SnapshotMetadata | undefined;
    };

export interface ArchiveOptions {
  readonly store: Store;
  readonly kongVersion: KongVersion;
  /** Longest config accepted from the store, bytes. */
  readonly maxConfigBytes: number;
  readonly log: Log;
}

/** How often a save starts over because somebody else wrote in between. */
const MAX_CONFLICTS = 5;

export class Archive {
  readonly #options: ArchiveOptions;
  readonly #key: string;
  /** Undefined until read, and again whenever it proved outdated. */
  #known: Known | undefined;

  constructor(options: ArchiveOptions) {
    this.#options = options;
    this.#key = currentKey(options.kongVersion);
  }

  /** The current object with its store, for messages. */
  get name(): string {
    return `${this.#options.store.url}/${this.#key}`;
  }

  /**
   * The current snapshot, verified. SnapshotError if there is none or it cannot be trusted;
   * StoreError if the store does not answer. No retry inside.
   */
  async latest(
    signal: AbortSignal,
    onProgress?: (receivedBytes: number, totalBytes: number | undefined) => void,
  ): Promise<Snapshot> {
    const { store, kongVersion, maxConfigBytes } = this.#options;
    const options = { maxBytes: maxConfigBytes, ...(onProgress ? { onProgress } : {}) };
    const object = await this.#present(store.get(this.#key, options, signal), signal);
    return verifySnapshot(object, kongVersion, this.name);
  }

  /**
   * The current snapshot, verified, and the version of its object, to be given as `seen` next time;
   * undefined if the object still has version `seen`, which spares moving it. Errors as `latest`:
   * an object that cannot be trusted is read, and refused, each time.
   */
  async refresh(
    seen: Version | undefined,
    signal: AbortSignal,
  ): Promise<{ readonly snapshot: Snapshot; readonly version: Version } | undefined> {
    const { store, kongVersion, maxConfigBytes } = this.#options;
    const options = { maxBytes: maxConfigBytes };
    const reading =
      seen === undefined
        ? store.get(this.#key, options, signal)
        : store.getIfChanged(this.#key, seen, options, signal);
    const object = await this.#present(reading, signal);
    if (object === undefined) return undefined;
    const snapshot = verifySnapshot(object, kongVersion, this.name);
    return { snapshot, version: object.version };
  }

  /**
   * Reads what lies in the store, so that the first save knows what it replaces. The metadata of a
   * good snapshot; undefined if there is none, or none that can be used, which is logged.
   */
  async recall(signal: AbortSignal): Promise<SnapshotMetadata | undefined> {
    this.#known = await this.#read(signal);
    return this.#known.kind === "present" ? this.#known.metadata : undefined;
  }

  /** Whether the config with this hash is known to be the saved one. Kong's hash tells: the bytes of one config differ from frame to frame. */
  holds(configHash: string | undefined): boolean {
    return (
      configHash !== undefined &&
      this.#known?.kind === "present" &&
      this.#known.metadata?.configHash === configHash
    );
  }

  /**
   * Makes `snapshot` the current one, if it may replace what lies there. The write is conditional on
   * what was last read; where somebody else wrote in between, it reads again and decides anew. With
   * `conditional: false`, for stores that do not honour preconditions, it reads before each write
   * instead, which narrows the race but does not close it. Throws StoreError; no retry inside.
   */
  async save(
    snapshot: NewSnapshot,
    options: { readonly conditional: boolean },
    signal: AbortSignal,
  ): Promise<SaveOutcome> {
    if (!options.conditional) this.#known = undefined;
    for (let conflicts = 0; ; conflicts += 1) {
      this.#known ??= await this.#read(signal);
      const stored = this.#known.kind === "present" ? this.#known.metadata : undefined;
      if (stored !== undefined) {
        if (isSameConfig(stored, snapshot.metadata)) return { kind: "unchanged" };
        if (!supersedes(snapshot.metadata, stored)) return { kind: "stale", stored };
      }
      try {
        return await this.#put(snapshot, this.#known, options.conditional, signal);
      } catch (error) {
        // Whatever failed, the write may have happened: only a fresh read tells what lies there now.
        this.#known = undefined;
        const lostRace = error instanceof StoreError && error.code === "STORE_PRECONDITION_FAILED";
        if (!lostRace || conflicts >= MAX_CONFLICTS) throw error;
      }
    }
  }

  async #put(
    { config, metadata }: NewSnapshot,
    known: Known,
    conditional: boolean,
    signal: AbortSignal,
  ): Promise<SaveOutcome> {
    const when: Precondition =
      known.kind === "absent" ? { ifAbsent: true } : { ifVersion: known.version };
    const info = await this.#options.store.put(
      this.#key,
      config,
      {
        metadata: encodeMetadata(metadata),
        contentType: "application/json",
        ...(conditional ? { when } : {}),
      },
      signal,
    );
    this.#known = { kind: "present", version: info.version, metadata };
    return { kind: "saved", info };
  }

  async #read(signal: AbortSignal): Promise<Known> {
    const { store, kongVersion, maxConfigBytes, log } = this.#options;
    try {
      const object = await store.get(this.#key, { maxBytes: maxConfigBytes }, signal);
      return { kind: "present", version: object.version, metadata: this.#trusted(object) };
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      if (error.code === "STORE_NOT_FOUND") return { kind: "absent" };
      if (error.code !== "STORE_TOO_LARGE") throw error;
      log.error({ err: error, kongVersion }, "saved snapshot is unusable and will be replaced");
      return this.#versionOnly(error, signal);
    }
  }

  /** An object too large to be read still has to be replaced, on the condition that it is still the same. */
  async #versionOnly(cause: StoreError, signal: AbortSignal): Promise<Known> {
    for await (const info of this.#options.store.list(this.#options.kongVersion, signal)) {
      if (info.key === this.#key) {
        return { kind: "present", version: info.version, metadata: undefined };
      }
    }
    throw cause;
  }

  #trusted(object: StoredObject): SnapshotMetadata | undefined {
    try {
      return verifySnapshot(object, this.#options.kongVersion, this.name).metadata;
    } catch (error) {
      if (!(error instanceof SnapshotError)) throw error;
      // Nothing written by a newer program is ever replaced by an older one.
      if (error.code === "SNAPSHOT_UNKNOWN_FORMAT") throw error;
      this.#options.log.error({ err: error }, "saved snapshot is unusable and will be replaced");
      return undefined;
    }
  }

  /** What `reading` gives; SNAPSHOT_MISSING where it finds no object. */
  async #present<T>(reading: Promise<T>, signal: AbortSignal): Promise<T> {
    try {
      return await reading;
    } catch (error) {
      if (!(error instanceof StoreError) || error.code !== "STORE_NOT_FOUND") throw error;
      throw await this.#missing(error, signal);
    }
  }

  /** Names the versions that are there: a wrong prefix or version is the usual reason. */
  async #missing(cause: StoreError, signal: AbortSignal): Promise<SnapshotError> {
    const { store, kongVersion } = this.#options;
    const found: string[] = [];
    try {
      for await (const { key } of store.list("", signal)) {
        const version = versionOfCurrentKey(key);
        if (version !== undefined) found.push(version);
        if (found.length >= 10) break;
      }
    } catch {
      // Listing is a courtesy: a policy may well forbid it.
      signal.throwIfAborted();
    }
    return new SnapshotError(
      "SNAPSHOT_MISSING",
      `no snapshot for Kong ${kongVersion} in ${store.url}${found.length === 0 ? "" : `; there are some for ${found.join(", ")}`}`,
      {
        cause,
        hint:
          found.length === 0
            ? "Check the storage URL's prefix, and that an exporter runs with this KONG_VERSION."
            : "Set KONG_VERSION to the data plane's exact version, or run an exporter for this one.",
      },
    );
  }
}
