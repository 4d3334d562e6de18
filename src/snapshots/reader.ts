/** Reads the newest good snapshot of one Kong version, the current one or, where that cannot be used, one of the history; or of the nearest older version. */

import type { Log } from "../core/log.ts";
import { type KongVersion, parseKongVersion } from "../kong/version.ts";
import { type Key, type Store, StoreError, type Version } from "../store/port.ts";
import { isPassedOver, SnapshotError, type SnapshotErrorCode } from "./errors.ts";
import { History, type HistoryEntry } from "./history.ts";
import { currentKey, versionOfSnapshotKey } from "./layout.ts";
import { olderVersions, type VersionMatch } from "./order.ts";
import {
  maxCurrentBytes,
  metadataOf,
  opened,
  type Sighting,
  type SightingOptions,
  sightCurrent,
} from "./sighting.ts";
import type {
  Found,
  FoundSnapshot,
  OnProgress,
  SnapshotMetadata,
  SnapshotOrigin,
} from "./snapshot.ts";

/** What a reader may ask of a snapshot beyond that it is whole. */
export interface Demands {
  /** A Kong must have loaded it before it was saved; absent: not. */
  readonly requireRehearsed?: boolean;
}

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

export interface NearestReaderOptions extends SnapshotReaderOptions {
  readonly match: VersionMatch;
}

/**
 * As SnapshotReader. Another version stands in only where nothing at all is saved for the wanted one,
 * which is logged as a warning: what is there, but damaged, is an error, for the older version's
 * exporter may have stopped long ago. The snapshot says for which version it was saved.
 */
export class NearestReader {
  readonly #options: NearestReaderOptions;
  readonly #exact: SnapshotReader;

  constructor(options: NearestReaderOptions) {
    this.#options = options;
    this.#exact = new SnapshotReader(options);
  }

  /** The wanted version's current object with its store, for messages. */
  get name(): string {
    return this.#exact.name;
  }

  async latest(signal: AbortSignal, onProgress?: OnProgress): Promise<FoundSnapshot> {
    return this.#nearest((reader) => reader.latest(signal, onProgress), signal);
  }

  /** A `seen` that belongs to another version's object counts as changed. */
  async refresh(seen: Version | undefined, signal: AbortSignal): Promise<Found | undefined> {
    return this.#nearest((reader) => reader.refresh(seen, signal), signal);
  }

  /** What `read` gives from the first reader for which it does not reject with SNAPSHOT_MISSING. */
  async #nearest<T>(read: (reader: SnapshotReader) => Promise<T>, signal: AbortSignal): Promise<T> {
    const { kongVersion, log } = this.#options;
    let missing: unknown;
    try {
      return await read(this.#exact);
    } catch (error) {
      if (!isSnapshotMissing(error)) throw error;
      missing = error;
    }
    for (const version of await this.#candidates(signal)) {
      try {
        const found = await read(new SnapshotReader({ ...this.#options, kongVersion: version }));
        // What was seen before was said before.
        if (found !== undefined) {
          log.warn(
            { kongVersion, usedVersion: version },
            "no snapshot for this Kong version, that of the nearest older one is used",
          );
        }
        return found;
      } catch (error) {
        if (!isSnapshotMissing(error)) throw error;
      }
    }
    throw missing;
  }

  /** None where the store does not tell which there are. */
  async #candidates(signal: AbortSignal): Promise<readonly KongVersion[]> {
    const { store, kongVersion, match } = this.#options;
    if (match === "exact") return [];
    try {
      const folders = await savedVersions(store, Number.POSITIVE_INFINITY, signal);
      const versions = folders.map(parseKongVersion).filter((version) => version !== undefined);
      return olderVersions(kongVersion, versions, match);
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

/** Throws SNAPSHOT_NOT_REHEARSED. `metadata` are the snapshot's, `name` is the object with its store, for the message. */
export function checkDemands(
  metadata: SnapshotMetadata | undefined,
  { requireRehearsed = false }: Demands,
  name: string,
): void {
  if (!requireRehearsed || metadata?.rehearsed === true) return;
  throw new SnapshotError(
    "SNAPSHOT_NOT_REHEARSED",
    `${name} was not rehearsed: no Kong is known to have loaded it before it was saved`,
    {
      hint: "Give its exporter a Kong to rehearse with (KONG_FALLBACK_REHEARSAL_URL), or set KONG_FALLBACK_REQUIRE_REHEARSED=off here.",
    },
  );
}

/** How many versions a message names. */
const MAX_NAMED = 10;

/** SNAPSHOT_MISSING. It names the versions that are there: a wrong prefix or version is the usual reason, unless this version's history is. */
export async function missingSnapshot(
  store: Store,
  kongVersion: KongVersion,
  cause: unknown,
  signal: AbortSignal,
): Promise<SnapshotError> {
  let found: readonly string[] = [];
  try {
    found = await savedVersions(store, MAX_NAMED, signal);
  } catch {
    // Listing is a courtesy: a policy may well forbid it.
    signal.throwIfAborted();
  }
  if (found.includes(kongVersion)) {
    return new SnapshotError(
      "SNAPSHOT_MISSING",
      `the current snapshot for Kong ${kongVersion} in ${store.url} is gone, its history is there`,
      {
        cause,
        hint: "Restore one of those that kong-fallback snapshots list shows. An exporter that starts saves a new one.",
      },
    );
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

/** The first `limit` folders that hold a current config or a history, in the order of the store. Rejects with StoreError. */
export async function savedVersions(
  store: Store,
  limit: number,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const found = new Set<string>();
  for await (const { key } of store.list("", signal)) {
    const version = versionOfSnapshotKey(key);
    if (version !== undefined) found.add(version);
    if (found.size >= limit) break;
  }
  return [...found];
}

function isSnapshotMissing(error: unknown): boolean {
  return error instanceof SnapshotError && error.code === "SNAPSHOT_MISSING";
}
