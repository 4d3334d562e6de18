/** Reads the newest good snapshot of one Kong version: the current one, or, where that cannot be used, one of the history. */

import type { Log } from "../core/log.ts";
import type { KongVersion } from "../kong/version.ts";
import { type Key, type Store, StoreError, type Version } from "../store/port.ts";
import { maxObjectBytes } from "./current.ts";
import { isPassedOver, SnapshotError } from "./errors.ts";
import { History, type HistoryEntry } from "./history.ts";
import { currentKey } from "./layout.ts";
import { missingSnapshot } from "./missing.ts";
import type { Found, FoundSnapshot, OnProgress } from "./snapshot.ts";
import { verifySnapshot } from "./verify.ts";

export interface SnapshotReaderOptions {
  readonly store: Store;
  readonly kongVersion: KongVersion;
  /** Longest config accepted from the store, bytes. */
  readonly maxConfigBytes: number;
  readonly log: Log;
}

/** No retry inside. Rejects with SnapshotError if nothing usable lies there, with StoreError if the store does not answer. */
export class SnapshotReader {
  readonly #options: SnapshotReaderOptions;
  readonly #key: Key;
  readonly #history: History;

  constructor(options: SnapshotReaderOptions) {
    this.#options = options;
    this.#key = currentKey(options.kongVersion);
    this.#history = new History(options);
  }

  /** The current object with its store, for messages. */
  get name(): string {
    return `${this.#options.store.url}/${this.#key}`;
  }

  /**
   * The current snapshot, verified. Where the current object is damaged, empty, too long or gone, the
   * newest good one of the history that was not held back, which is logged as an error. It does not
   * take its place where the current one is of an unknown format or another Kong version.
   */
  async latest(signal: AbortSignal, onProgress?: OnProgress): Promise<FoundSnapshot> {
    const found = await this.#find(undefined, signal, onProgress);
    if (found === undefined) throw new TypeError("unchanged, though nothing was seen before");
    return found.snapshot;
  }

  /**
   * As `latest`, and the version of what lies there, to be given as `seen` next time; undefined where
   * the same still lies there, which spares moving it. Where nothing usable does, it is looked at, and
   * refused, each time.
   */
  async refresh(seen: Version | undefined, signal: AbortSignal): Promise<Found | undefined> {
    return this.#find(seen, signal);
  }

  async #find(
    seen: Version | undefined,
    signal: AbortSignal,
    onProgress?: OnProgress,
  ): Promise<Found | undefined> {
    const { store, kongVersion, maxConfigBytes } = this.#options;
    const maxBytes = maxObjectBytes(maxConfigBytes);
    const options = { maxBytes, ...(onProgress ? { onProgress } : {}) };
    let version: Version | undefined;
    try {
      const object = await (seen === undefined
        ? store.get(this.#key, options, signal)
        : store.getIfChanged(this.#key, seen, options, signal));
      if (object === undefined) return undefined;
      version = object.version;
      const snapshot = verifySnapshot(object, kongVersion, this.name);
      return { snapshot: { ...snapshot, kongVersion, origin: { kind: "current" } }, version };
    } catch (error) {
      if (!mayBeReplaced(error)) throw error;
      return this.#fromHistory(error, { current: version, seen }, signal);
    }
  }

  /** `why`: what is wrong with the current one. */
  async #fromHistory(
    why: SnapshotError | StoreError,
    {
      current,
      seen,
    }: { readonly current: Version | undefined; readonly seen: Version | undefined },
    signal: AbortSignal,
  ): Promise<Found | undefined> {
    const { kongVersion, log, store } = this.#options;
    for (const entry of await this.#entries(signal)) {
      if (entry.held) continue;
      if (entry.version === seen) return undefined;
      try {
        const { config, metadata } = await this.#history.read(entry.id, signal);
        log.error(
          { err: why, kongVersion, id: entry.id, exportedAt: metadata.exportedAt },
          "current snapshot cannot be used, the newest good one of the history is used instead",
        );
        return {
          snapshot: { config, metadata, kongVersion, origin: { kind: "history", id: entry.id } },
          version: current ?? entry.version,
        };
      } catch (error) {
        if (!isPassedOver(error)) throw error;
        log.warn({ err: error, id: entry.id }, "snapshot of the history cannot be used");
      }
    }
    if (isMissing(why)) throw await missingSnapshot(store, kongVersion, why, signal);
    throw why;
  }

  /** None where the store does not tell: a policy may forbid listing, and then what is wrong with the current one says more. */
  async #entries(signal: AbortSignal): Promise<readonly HistoryEntry[]> {
    try {
      return await this.#history.list(signal);
    } catch (error) {
      if (!(error instanceof StoreError) || error.retryable) throw error;
      return [];
    }
  }
}

function mayBeReplaced(error: unknown): error is SnapshotError | StoreError {
  if (error instanceof SnapshotError) return error.code === "SNAPSHOT_CORRUPT";
  return isMissing(error) || (error instanceof StoreError && error.code === "STORE_TOO_LARGE");
}

function isMissing(error: unknown): boolean {
  return error instanceof StoreError && error.code === "STORE_NOT_FOUND";
}
