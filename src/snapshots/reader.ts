/** Reads the newest good snapshot of a Kong version: the current one or, where that cannot be used, one of the history; where nothing at all is saved, that of the nearest older version. */

import type { Log } from "../core/log.ts";
import type { KongVersion } from "../kong/version.ts";
import { type Key, type Store, StoreError, type Version } from "../store/port.ts";
import { isNotFound, isPassedOver, SnapshotError, type SnapshotErrorCode } from "./errors.ts";
import { History, type HistoryEntry } from "./history.ts";
import { currentKey, parseSnapshotKey } from "./layout.ts";
import { isNewer, isSameConfig, olderVersions, type VersionMatch } from "./order.ts";
import { replacedHashOf } from "./restored.ts";
import {
  maxCurrentBytes,
  metadataOf,
  opened,
  type Sighting,
  type SightingOptions,
  sightCurrent,
} from "./sighting.ts";
import {
  type Found,
  type FoundSnapshot,
  type OnProgress,
  type SnapshotMetadata,
  type SnapshotOrigin,
  sha256,
} from "./snapshot.ts";

/** What a reader may ask of a snapshot beyond that it is whole. */
export interface Demands {
  /** A Kong must have loaded it before it was saved; absent: not. */
  readonly requireRehearsed?: boolean;
}

export interface SnapshotReader {
  /** What is read, with its store, for messages. */
  readonly name: string;
  /** The newest good snapshot, verified. Rejects with a ServiceError: `retryable` where the store may yet answer. */
  latest(signal: AbortSignal, onProgress?: OnProgress): Promise<FoundSnapshot>;
  /**
   * As `latest`, and the version of what lies there, to be given as `seen` next time; undefined where
   * the same still lies there, which spares moving it.
   */
  refresh(seen: Version | undefined, signal: AbortSignal): Promise<Found | undefined>;
  /**
   * Those of the history that are older than `than`, which was read here, and hold another config, the
   * newest first: not what was held back, nor what an operator replaced by `than`. What cannot be used is
   * passed over, with a warning. Rejects with StoreError.
   */
  earlier(than: FoundSnapshot, signal: AbortSignal): AsyncIterable<FoundSnapshot>;
}

export interface StoreReaderOptions extends SightingOptions, Demands {
  readonly store: Store;
  readonly log: Log;
  /** Which other versions may stand in; absent: none. */
  readonly match?: VersionMatch;
}

/** What readers find, though none of our keys may open it. */
export type FoundSighting = Sighting & {
  readonly origin: SnapshotOrigin;
  /** Under which it lay. */
  readonly kongVersion: KongVersion;
  readonly version: Version;
};

/**
 * No retry inside. Rejects with SnapshotError if nothing usable lies there, with StoreError if the store
 * does not answer.
 *
 * Another version stands in only where nothing at all is saved for the wanted one, which is logged as a
 * warning: what is there, but damaged, is an error, for the older version's exporter may have stopped
 * long ago. The snapshot says for which version it was saved.
 */
export class StoreReader implements SnapshotReader {
  /** The wanted version's current object with its store, for messages. */
  readonly name: string;
  readonly #options: StoreReaderOptions;
  readonly #wanted: VersionReader;
  readonly #standIns = new Map<KongVersion, VersionReader>();
  /** What a stand-in gave last. Where stores tell contents apart by the body, an object of the wanted version may have the same. */
  #givenByStandIn: Version | undefined;

  constructor(options: StoreReaderOptions) {
    this.#options = options;
    this.#wanted = new VersionReader(options);
    this.name = this.#wanted.name;
  }

  /**
   * The current snapshot, verified. Where the current object is damaged, empty, too long or gone, not
   * signed or rehearsed as it must be, or sealed for others, the newest good one of the history that was
   * not held back, which is logged as an error. It does not take its place where the current one is of
   * an unknown format or another Kong version.
   */
  async latest(signal: AbortSignal, onProgress?: OnProgress): Promise<FoundSnapshot> {
    const found = await this.#find({ seen: undefined, wants: "open", onProgress }, signal);
    if (found === undefined) throw new TypeError("unchanged, though nothing was seen before");
    return snapshotOf(found);
  }

  /** Where nothing usable lies, the current one is looked at, and refused, each time. */
  async refresh(seen: Version | undefined, signal: AbortSignal): Promise<Found | undefined> {
    const found = await this.#find({ seen, wants: "open" }, signal);
    return found && { snapshot: snapshotOf(found), version: found.version };
  }

  /** As `refresh`, but one that none of our keys opens will do. */
  async sight(seen: Version | undefined, signal: AbortSignal): Promise<FoundSighting | undefined> {
    return this.#find({ seen, wants: "any" }, signal);
  }

  earlier(than: FoundSnapshot, signal: AbortSignal): AsyncIterable<FoundSnapshot> {
    const { kongVersion, metadata, config } = than;
    const isWanted = kongVersion === this.#options.kongVersion;
    const reader = isWanted ? this.#wanted : this.#standIn(kongVersion);
    return reader.earlier(metadata, sha256(config), signal);
  }

  async #find(search: Search, signal: AbortSignal): Promise<FoundSighting | undefined> {
    const { store, kongVersion, match = "exact", log } = this.#options;
    const isOfStandIn = search.seen !== undefined && search.seen === this.#givenByStandIn;
    try {
      const ofWanted = isOfStandIn ? { ...search, seen: undefined } : search;
      const found = await this.#wanted.find(ofWanted, signal);
      this.#givenByStandIn = undefined;
      return found;
    } catch (cause) {
      if (!isNotFound(cause)) throw cause;
      const saved = await this.#savedVersions(signal);
      for (const version of olderVersions(kongVersion, [...saved.keys()], match)) {
        const found = await this.#tryStandIn(version, search, signal);
        if (found === "missing") continue;
        // What was seen before was said before.
        if (found === undefined) return undefined;
        log.warn(
          { kongVersion, usedVersion: version },
          "no snapshot for this Kong version, that of the nearest older one is used",
        );
        this.#givenByStandIn = found.version;
        return found;
      }
      throw nothingSaved(store, kongVersion, saved, cause);
    }
  }

  async #tryStandIn(
    kongVersion: KongVersion,
    search: Search,
    signal: AbortSignal,
  ): Promise<FoundSighting | undefined | "missing"> {
    try {
      return await this.#standIn(kongVersion).find(search, signal);
    } catch (error) {
      if (!isNotFound(error)) throw error;
      return "missing";
    }
  }

  #standIn(kongVersion: KongVersion): VersionReader {
    const reader =
      this.#standIns.get(kongVersion) ?? new VersionReader({ ...this.#options, kongVersion });
    this.#standIns.set(kongVersion, reader);
    return reader;
  }

  /** None where the store does not tell which there are: for the message alone they are a courtesy, and a policy may forbid listing. */
  async #savedVersions(signal: AbortSignal): Promise<SavedVersions> {
    const { store, match = "exact" } = this.#options;
    const limit = match === "exact" ? MAX_NAMED : Number.POSITIVE_INFINITY;
    try {
      return await savedVersions(store, limit, signal);
    } catch (error) {
      if (!(error instanceof StoreError) || (error.retryable && match !== "exact")) throw error;
      return new Map();
    }
  }
}

interface Search {
  readonly seen: Version | undefined;
  /** Whether our keys must open it. */
  readonly wants: "open" | "any";
  readonly onProgress?: OnProgress | undefined;
}

/** The newest good snapshot saved for one Kong version. */
class VersionReader {
  readonly name: string;
  readonly #options: StoreReaderOptions;
  readonly #key: Key;
  readonly #history: History;
  /**
   * Entries of the history that would not do, by id and version: neither they nor our keys change, so
   * each is read, and complained of, once. The version alone is not enough: on S3 it is a digest of the
   * body, and a copy with other metadata has the same.
   */
  readonly #refused = { open: new Set<string>(), any: new Set<string>() };

  constructor(options: StoreReaderOptions) {
    this.#options = options;
    this.#key = currentKey(options.kongVersion);
    this.#history = new History(options);
    this.name = `${options.store.url}/${this.#key}`;
  }

  /** Rejects with STORE_NOT_FOUND where nothing was ever made current that is still there. */
  async find(search: Search, signal: AbortSignal): Promise<FoundSighting | undefined> {
    const { store, kongVersion, maxConfigBytes } = this.#options;
    const { seen, wants, onProgress } = search;
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
      this.#check(sighting, wants, this.name);
      return { ...sighting, kongVersion, origin: { kind: "current" }, version };
    } catch (error) {
      if (!mayBeReplaced(error)) throw error;
      return this.#fromHistory(error, version, search, signal);
    }
  }

  /** See SnapshotReader. `than`: undefined where nobody knows its age; then all others count as older. */
  async *earlier(
    than: SnapshotMetadata | undefined,
    digest: string,
    signal: AbortSignal,
  ): AsyncIterable<FoundSnapshot> {
    const { kongVersion, log } = this.#options;
    const replaced = than && replacedHashOf(than);
    for (const { id, held, hash } of await this.#history.list(signal)) {
      if (held || hash === replaced) continue;
      try {
        const sighting = await this.#history.sight(id, signal);
        const { metadata } = sighting;
        if (metadata.sha256 === digest) continue;
        if (than !== undefined && (isSameConfig(metadata, than) || isNewer(metadata, than)))
          continue;
        this.#check(sighting, "open", `snapshot ${id}`);
        yield { ...opened(sighting), kongVersion, origin: { kind: "history", id } };
      } catch (error) {
        if (!isPassedOver(error)) throw error;
        log.warn({ err: error, id }, "snapshot of the history cannot be used");
      }
    }
  }

  /** `why`: what is wrong with the current one; `current`: its version, if it was read. */
  async #fromHistory(
    why: SnapshotError | StoreError,
    current: Version | undefined,
    { seen, wants }: Search,
    signal: AbortSignal,
  ): Promise<FoundSighting | undefined> {
    const { kongVersion, log, store } = this.#options;
    const refused = this.#refused[wants];
    const saved = (await this.#entries(signal)).filter(({ held }) => !held);
    let complaints = 0;
    for (const { id, version } of saved) {
      const entry = `${id} ${version}`;
      if (refused.has(entry)) continue;
      if (version === seen) return undefined;
      try {
        const sighting = await this.#history.sight(id, signal);
        this.#check(sighting, wants, `snapshot ${id}`);
        const { exportedAt } = sighting.metadata;
        log.error(
          { err: why, kongVersion, id, exportedAt },
          "current snapshot cannot be used, the newest good one of the history is used instead",
        );
        const origin = { kind: "history", id } as const;
        return { ...sighting, kongVersion, origin, version: current ?? version };
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
    if (isNotFound(why) && saved.length > 0) throw currentIsGone(store, kongVersion, why);
    throw why;
  }

  #check(sighting: Sighting, wants: Search["wants"], name: string): void {
    if (wants === "open") opened(sighting);
    checkDemands(metadataOf(sighting), this.#options, name);
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

function snapshotOf(found: FoundSighting): FoundSnapshot {
  const { kongVersion, origin } = found;
  return { ...opened(found), kongVersion, origin };
}

/** Entries of the history that are complained of one by one, when many are looked at in a row. */
const MAX_COMPLAINTS = 3;

const REPLACEABLE: ReadonlySet<SnapshotErrorCode> = new Set([
  "SNAPSHOT_CORRUPT",
  "SNAPSHOT_UNSIGNED",
  "SNAPSHOT_SEALED",
  "SNAPSHOT_NOT_REHEARSED",
]);

function mayBeReplaced(error: unknown): error is SnapshotError | StoreError {
  if (error instanceof SnapshotError) return REPLACEABLE.has(error.code);
  return isNotFound(error) || (error instanceof StoreError && error.code === "STORE_TOO_LARGE");
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
  let found: SavedVersions = new Map();
  try {
    found = await savedVersions(store, MAX_NAMED, signal);
  } catch {
    // Listing is a courtesy: a policy may well forbid it.
    signal.throwIfAborted();
  }
  return nothingSaved(store, kongVersion, found, cause);
}

function nothingSaved(
  store: Store,
  kongVersion: KongVersion,
  found: SavedVersions,
  cause: unknown,
): SnapshotError {
  const own = found.get(kongVersion);
  if (own === "saved") return currentIsGone(store, kongVersion, cause);
  if (own === "held") return allHeld(store, kongVersion, cause);
  const saved = [...found].flatMap(([version, what]) => (what === "saved" ? [version] : []));
  const named = saved.slice(0, MAX_NAMED).join(", ");
  return new SnapshotError(
    "SNAPSHOT_MISSING",
    `no snapshot for Kong ${kongVersion} in ${store.url}${named === "" ? "" : `; there are some for ${named}`}`,
    {
      cause,
      hint:
        named === ""
          ? "Check the storage URL's prefix, and that an exporter runs with this KONG_VERSION."
          : "Set KONG_VERSION to the data plane's exact version, or run an exporter for this one.",
    },
  );
}

/** As where the first config that ever came is refused by the rehearsal. */
function allHeld(store: Store, kongVersion: KongVersion, cause: unknown): SnapshotError {
  return new SnapshotError(
    "SNAPSHOT_MISSING",
    `no config for Kong ${kongVersion} has become current in ${store.url}: all that came were held back`,
    {
      cause,
      hint: "kong-fallback status says why; mend the config, or make one of those that kong-fallback snapshots list shows current with kong-fallback snapshots restore.",
    },
  );
}

function currentIsGone(store: Store, kongVersion: KongVersion, cause: unknown): SnapshotError {
  return new SnapshotError(
    "SNAPSHOT_MISSING",
    `the current snapshot for Kong ${kongVersion} in ${store.url} is gone, its history is there`,
    {
      cause,
      hint: "Restore one of those that kong-fallback snapshots list shows. An exporter saves a new one when it starts.",
    },
  );
}

/** Of which versions anything lies in a store: a config that was current at some time, or only such as were held back. */
export type SavedVersions = ReadonlyMap<KongVersion, "saved" | "held">;

/** The first `limit` of them, in the order of the store. Rejects with StoreError. */
export async function savedVersions(
  store: Store,
  limit: number,
  signal: AbortSignal,
): Promise<SavedVersions> {
  const found = new Map<KongVersion, "saved" | "held">();
  for await (const { key } of store.list("", signal)) {
    const parsed = parseSnapshotKey(key);
    if (parsed === undefined) continue;
    const { version, held } = parsed;
    const known = found.get(version);
    if (known === undefined && found.size >= limit) break;
    if (known !== "saved") found.set(version, held ? "held" : "saved");
  }
  return found;
}
