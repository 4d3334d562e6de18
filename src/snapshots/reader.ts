/** Reads the newest good snapshot of one Kong version: the current one, or, where that cannot be used, one of the history. */

import type { Log } from "../core/log.ts";
import { type Key, type Store, StoreError, type Version } from "../store/port.ts";
import { checkDemands, type Demands } from "./demands.ts";
import { isPassedOver, SnapshotError, type SnapshotErrorCode } from "./errors.ts";
import { History, type HistoryEntry } from "./history.ts";
import { currentKey } from "./layout.ts";
import { missingSnapshot } from "./missing.ts";
import {
  maxCurrentBytes,
  metadataOf,
  opened,
  type Sighting,
  type SightingOptions,
  sightCurrent,
} from "./sighting.ts";
import type { Found, FoundSnapshot, OnProgress, SnapshotOrigin } from "./snapshot.ts";

export interface SnapshotReaderOptions extends SightingOptions, Demands {
  readonly store: Store;
  readonly log: Log;
}

/** What readers find, though none of our keys may open it. */
export type FoundSighting = Sighting & {
  readonly origin: SnapshotOrigin;
  readonly version: Version;
};

/** No retry inside. Rejects with SnapshotError if nothing usable lies there, with StoreError if the store does not answer. */
export class SnapshotReader {
  readonly #options: SnapshotReaderOptions;
  readonly #key: Key;
  readonly #history: History;
  /**
   * Entries of the history that would not do, by id and version: neither they nor our keys change, so
   * each is read, and complained of, once. The version alone is not enough: on S3 it is a digest of the
   * body, and a copy with other metadata has the same.
   */
  readonly #refused = new Map<Accept, Set<string>>();

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
   * The current snapshot, verified. Where the current object is damaged, empty, too long or gone, not
   * signed or rehearsed as it must be, or sealed for others, the newest good one of the history that was
   * not held back, which is logged as an error. It does not take its place where the current one is of
   * an unknown format or another Kong version.
   */
  async latest(signal: AbortSignal, onProgress?: OnProgress): Promise<FoundSnapshot> {
    const found = await this.#find(undefined, signal, opened, onProgress);
    if (found === undefined) throw new TypeError("unchanged, though nothing was seen before");
    return this.#snapshotOf(found);
  }

  /**
   * As `latest`, and the version of what lies there, to be given as `seen` next time; undefined where
   * the same still lies there, which spares moving it. Where nothing usable does, it is looked at, and
   * refused, each time.
   */
  async refresh(seen: Version | undefined, signal: AbortSignal): Promise<Found | undefined> {
    const found = await this.#find(seen, signal, opened);
    return found && { snapshot: this.#snapshotOf(found), version: found.version };
  }

  /** As `refresh`, but one that none of our keys opens will do. */
  async sight(seen: Version | undefined, signal: AbortSignal): Promise<FoundSighting | undefined> {
    return this.#find(seen, signal, ANY);
  }

  #snapshotOf(found: FoundSighting): FoundSnapshot {
    const { kongVersion } = this.#options;
    return { ...opened(found), kongVersion, origin: found.origin };
  }

  async #find(
    seen: Version | undefined,
    signal: AbortSignal,
    accept: Accept,
    onProgress?: OnProgress,
  ): Promise<FoundSighting | undefined> {
    const { store, maxConfigBytes } = this.#options;
    const maxBytes = maxCurrentBytes(maxConfigBytes);
    const options = { maxBytes, ...(onProgress ? { onProgress } : {}) };
    let version: Version | undefined;
    try {
      const object = await (seen === undefined
        ? store.get(this.#key, options, signal)
        : store.getIfChanged(this.#key, seen, options, signal));
      if (object === undefined) return undefined;
      version = object.version;
      const sighting = await sightCurrent(object, this.name, this.#options);
      accept(sighting);
      checkDemands(metadataOf(sighting), this.#options, this.name);
      return { ...sighting, origin: { kind: "current" }, version };
    } catch (error) {
      if (!mayBeReplaced(error)) throw error;
      return this.#fromHistory(error, { current: version, seen, accept }, signal);
    }
  }

  /** `why`: what is wrong with the current one. */
  async #fromHistory(
    why: SnapshotError | StoreError,
    { current, seen, accept }: HistorySearch,
    signal: AbortSignal,
  ): Promise<FoundSighting | undefined> {
    const { kongVersion, log, store } = this.#options;
    const refused = this.#refused.get(accept) ?? new Set();
    this.#refused.set(accept, refused);
    let complaints = 0;
    for (const { id, held, version } of await this.#entries(signal)) {
      const entry = `${id} ${version}`;
      if (held || refused.has(entry)) continue;
      if (version === seen) return undefined;
      try {
        const sighting = await this.#history.sight(id, signal);
        accept(sighting);
        checkDemands(sighting.metadata, this.#options, `snapshot ${id}`);
        const { exportedAt } = sighting.metadata;
        log.error(
          { err: why, kongVersion, id, exportedAt },
          "current snapshot cannot be used, the newest good one of the history is used instead",
        );
        return { ...sighting, origin: { kind: "history", id }, version: current ?? version };
      } catch (error) {
        if (!isPassedOver(error)) throw error;
        refused.add(entry);
        complaints += 1;
        // With the wrong keys it is the whole history.
        if (complaints <= MAX_COMPLAINTS) {
          log.warn({ err: error, id }, "snapshot of the history cannot be used");
        }
      }
    }
    if (complaints > MAX_COMPLAINTS) {
      log.warn({ count: complaints }, "nothing in the history can be used");
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

/** Entries of the history that are complained of one by one, when many are looked at in a row. */
const MAX_COMPLAINTS = 3;

/** Throws SnapshotError for what will not do. */
type Accept = (sighting: Sighting) => unknown;
const ANY: Accept = () => {};

interface HistorySearch {
  /** Version of the current object; undefined where it was not read. */
  readonly current: Version | undefined;
  readonly seen: Version | undefined;
  readonly accept: Accept;
}

const REPLACEABLE: ReadonlySet<SnapshotErrorCode> = new Set([
  "SNAPSHOT_CORRUPT",
  "SNAPSHOT_UNSIGNED",
  "SNAPSHOT_SEALED",
  "SNAPSHOT_NOT_REHEARSED",
]);

function mayBeReplaced(error: unknown): error is SnapshotError | StoreError {
  if (error instanceof SnapshotError) return REPLACEABLE.has(error.code);
  return isMissing(error) || (error instanceof StoreError && error.code === "STORE_TOO_LARGE");
}

function isMissing(error: unknown): boolean {
  return error instanceof StoreError && error.code === "STORE_NOT_FOUND";
}
