/** The configs of one Kong version that were saved, or held back, one object each: written once, never overwritten. */

import {
  type Key,
  type ObjectHead,
  type Store,
  type StoredObject,
  StoreError,
  type Version,
} from "../store/port.ts";
import { isNotFound, isPassedOver, SnapshotError } from "./errors.ts";
import { packConfig } from "./history-body.ts";
import {
  HISTORY_SUFFIX,
  type HistoryId,
  historyHash,
  historyId,
  historyPrefix,
  parseHistoryId,
} from "./layout.ts";
import { encodeMetadata, HELD } from "./metadata.ts";
import type { SealedObject } from "./seal/seal.ts";
import {
  maxKeptBytes,
  metadataOf,
  opened,
  type Sighting,
  type SightingOptions,
  sightKept,
  vouchForKept,
} from "./sighting.ts";
import type { NewSnapshot, SnapshotMetadata } from "./snapshot.ts";

/** What the name of an entry and the store's list tell about it. */
export interface HistoryEntry extends HistoryId {
  /** Length of the object: the compressed config, sealed or not. */
  readonly bytes: number;
  readonly version: Version;
  /** When it was written, by the store's clock, where that tells. */
  readonly putAt: Date | undefined;
}

export type KeptSnapshot = NewSnapshot & {
  /** Why it was held back; undefined for one that was made current. */
  readonly held: string | undefined;
};

/** An entry as far as our keys open it; see `History.sight`. */
export type KeptSighting = Sighting & {
  readonly metadata: SnapshotMetadata;
  readonly held: string | undefined;
};

export interface RemoveReport {
  readonly removed: readonly string[];
  readonly failed: readonly { readonly id: string; readonly error: StoreError }[];
}

export interface HistoryOptions extends SightingOptions {
  readonly store: Store;
}

/** Twice what KONG_FALLBACK_HISTORY_MAX_COUNT allows: more were not written by exporters, and would take all memory. */
const MAX_ENTRIES = 100_000;
const MAX_HELD_CHARACTERS = 200;
/** How often adding starts over because somebody else took the name. */
const MAX_CONFLICTS = 5;

/** Every method rejects with StoreError where the store does; no retry inside. */
export class History {
  readonly #options: HistoryOptions;
  readonly #prefix: Key;
  /** The entry last written, or read before one like it was to be: it is known to be good, and sealed as now. */
  #intact:
    | { readonly id: string; readonly version: Version; readonly isRehearsed: boolean }
    | undefined;

  constructor(options: HistoryOptions) {
    this.#options = options;
    this.#prefix = historyPrefix(options.kongVersion);
  }

  /** The newest first, by their names. Objects that are not of the history are left out. STORE_MISCONFIGURED for an absurd number of them. */
  async list(signal: AbortSignal): Promise<readonly HistoryEntry[]> {
    const entries: HistoryEntry[] = [];
    const listing = this.#options.store.list(this.#prefix, signal);
    for await (const { key, bytes, version, putAt } of listing) {
      const name = key.slice(this.#prefix.length + 1);
      if (!name.endsWith(HISTORY_SUFFIX)) continue;
      const parsed = parseHistoryId(name.slice(0, -HISTORY_SUFFIX.length));
      if (parsed !== undefined) entries.push({ ...parsed, bytes, version, putAt });
      if (entries.length > MAX_ENTRIES) throw overfull(this.#name());
    }
    // Stores list in ascending order of the key, which begins with the time.
    return entries.reverse();
  }

  /**
   * The config with this id, verified. SnapshotError: SNAPSHOT_MISSING, with the ids most like it in
   * the hint; SNAPSHOT_CORRUPT also where it lies under a name that is not its own.
   */
  async read(id: string, signal: AbortSignal): Promise<KeptSnapshot> {
    const sighting = await this.sight(id, signal);
    const { metadata, held } = sighting;
    return { ...opened(sighting), metadata, held };
  }

  /** As `read`, but of one that none of our keys opens the metadata alone. */
  async sight(id: string, signal: AbortSignal): Promise<KeptSighting> {
    return this.#sightObject(await this.#parse(id, signal), await this.#get(id, signal));
  }

  /** What its metadata say, vouched for as by `sight`; its body is not looked at. */
  async metadata(id: string, signal: AbortSignal): Promise<SnapshotMetadata> {
    const parsed = await this.#parse(id, signal);
    const head = await this.#found(id, this.#options.store.head(this.#key(id), signal), signal);
    const name = this.#name(id);
    return checkName(parsed, head, vouchForKept(head, name, this.#options), name);
  }

  /**
   * Keeps `snapshot` and resolves to its id. Nothing is written where the newest entry, of those held
   * back or of the others, is this config already, so it may be repeated; unless that entry cannot be
   * used, was sealed with other keys, or was not rehearsed and `snapshot` was. `held`: why it was held
   * back; what is not printable ASCII is replaced, and what goes beyond 200 characters cut off.
   *
   * The time in the id is `exportedAt`, but always later than that of the newest entry: the order of
   * names is that of writing, whatever the clocks say. SNAPSHOT_CORRUPT where no time is left. Without
   * `conditional`, where preconditions are not honoured, two exporters may overwrite each other's entry.
   */
  async add(
    snapshot: NewSnapshot,
    { held, conditional }: { readonly held?: string | undefined; readonly conditional: boolean },
    signal: AbortSignal,
  ): Promise<string> {
    const { exportedAt } = snapshot.metadata;
    const isHeld = held !== undefined;
    const hash = historyHash(snapshot.metadata);
    let sealed: SealedObject | undefined;
    for (let conflicts = 0; ; conflicts += 1) {
      const entries = await this.list(signal);
      const latest = entries.find((entry) => entry.held === isHeld);
      if (latest?.hash === hash && !(await this.#isSurpassed(latest, snapshot, signal))) {
        return latest.id;
      }
      sealed ??= await this.#options.seal.close(await packConfig(snapshot.config), {
        ...encodeMetadata(snapshot.metadata),
        ...(isHeld ? { [HELD]: plain(held) } : {}),
      });
      const earliestMs = (entries[0]?.at.getTime() ?? -1) + 1;
      const at = new Date(Math.max(exportedAt.getTime(), earliestMs));
      const { id } = historyId(at, hash, isHeld);
      if (parseHistoryId(id) === undefined) throw atEndOfTime(this.#name(entries[0]?.id));
      try {
        const options = {
          metadata: sealed.metadata,
          contentType: "application/gzip",
          ...(conditional ? { when: { ifAbsent: true } as const } : {}),
        };
        const { version } = await this.#options.store.put(
          this.#key(id),
          sealed.body,
          options,
          signal,
        );
        this.#intact = { id, version, isRehearsed: snapshot.metadata.rehearsed === true };
        return id;
      } catch (error) {
        const isTaken = error instanceof StoreError && error.code === "STORE_PRECONDITION_FAILED";
        if (!isTaken || conflicts >= MAX_CONFLICTS) throw error;
      }
    }
  }

  /**
   * Deletes one after the other, in this order; one that is gone already counts as removed, one that
   * fails does not stop the rest. Throws SNAPSHOT_MISSING, before it deletes any, for what is no id.
   */
  async remove(ids: readonly string[], signal: AbortSignal): Promise<RemoveReport> {
    const removed: string[] = [];
    const failed: { readonly id: string; readonly error: StoreError }[] = [];
    for (const id of ids) await this.#parse(id, signal);
    for (const id of ids) {
      try {
        await this.#options.store.delete(this.#key(id), signal);
        removed.push(id);
      } catch (error) {
        if (!(error instanceof StoreError)) throw error;
        failed.push({ id, error });
      }
    }
    return { removed, failed };
  }

  async #sightObject(id: HistoryId, object: StoredObject): Promise<KeptSighting> {
    const name = this.#name(id.id);
    const sighting = await sightKept(object, name, this.#options);
    const metadata = checkName(id, object, metadataOf(sighting), name);
    return { ...sighting, metadata, held: object.metadata[HELD] };
  }

  async #isSurpassed(
    entry: HistoryEntry,
    { metadata }: NewSnapshot,
    signal: AbortSignal,
  ): Promise<boolean> {
    const { id, version } = entry;
    if (this.#intact?.id !== id || this.#intact.version !== version) {
      try {
        const object = await this.#get(id, signal);
        if (!this.#options.seal.isUpToDate(object.metadata)) return true;
        const kept = await this.#sightObject(entry, object);
        this.#intact = { id, version, isRehearsed: kept.metadata.rehearsed === true };
      } catch (error) {
        if (isPassedOver(error)) return true;
        throw error;
      }
    }
    return metadata.rehearsed === true && !this.#intact.isRehearsed;
  }

  /** Of an entry, or of the history, with its store, for messages. */
  #name(id?: string): string {
    return `${this.#options.store.url}/${id === undefined ? this.#prefix : this.#key(id)}`;
  }

  #key(id: string): Key {
    return `${this.#prefix}/${id}${HISTORY_SUFFIX}`;
  }

  #get(id: string, signal: AbortSignal): Promise<StoredObject> {
    const { store, maxConfigBytes } = this.#options;
    const options = { maxBytes: maxKeptBytes(maxConfigBytes) };
    return this.#found(id, store.get(this.#key(id), options, signal), signal);
  }

  async #found<T>(id: string, read: Promise<T>, signal: AbortSignal): Promise<T> {
    try {
      return await read;
    } catch (error) {
      if (!isNotFound(error)) throw error;
      throw await this.#missing(id, signal, error);
    }
  }

  async #parse(id: string, signal: AbortSignal): Promise<HistoryId> {
    const parsed = parseHistoryId(id);
    if (parsed === undefined) throw await this.#missing(id, signal);
    return parsed;
  }

  async #missing(id: string, signal: AbortSignal, cause?: unknown): Promise<SnapshotError> {
    const { store, kongVersion } = this.#options;
    const entries = await this.list(signal);
    const nearest = mostAlike(
      id,
      entries.map((entry) => entry.id),
    );
    const hint =
      nearest.length === 0 ? "The history is empty." : `Did you mean ${nearest.join(" or ")}?`;
    return new SnapshotError(
      "SNAPSHOT_MISSING",
      `there is no snapshot ${JSON.stringify(id.slice(0, 80))} in the history of Kong ${kongVersion} in ${store.url}`,
      { cause, hint },
    );
  }
}

/** The metadata of an entry that has some, and lies under its own name. Throws SNAPSHOT_CORRUPT. */
function checkName(
  { hash, held: isHeld }: HistoryId,
  head: ObjectHead,
  metadata: SnapshotMetadata | undefined,
  name: string,
): SnapshotMetadata {
  if (metadata === undefined) {
    throw new SnapshotError("SNAPSHOT_CORRUPT", `${name} has lost its metadata`, {
      hint: "Copy objects with their metadata, or use another one of the history.",
    });
  }
  if (historyHash(metadata) !== hash || (head.metadata[HELD] !== undefined) !== isHeld) {
    throw new SnapshotError("SNAPSHOT_CORRUPT", `${name} is not the one that its name says`, {
      hint: "It was renamed or overwritten by hand. Use another one of the history.",
    });
  }
  return metadata;
}

/** A value that object metadata can hold. */
function plain(reason: string): string {
  const printable = reason.replace(/[^\x20-\x7e]/g, "?").slice(0, MAX_HELD_CHARACTERS);
  return printable.trim() || "held";
}

/** STORE_MISCONFIGURED. `name` is the history's folder with its store. */
function overfull(name: string): StoreError {
  return new StoreError(
    "STORE_MISCONFIGURED",
    `could not list ${name}: it has more than ${MAX_ENTRIES} entries`,
    { hint: "Find out who writes there: exporters remove what is beyond the history's limits." },
  );
}

/**
 * SNAPSHOT_CORRUPT: names have four digits for the year, and what came after them would sort before all
 * others, unseen. `name` is the newest entry with its store.
 */
function atEndOfTime(name: string): SnapshotError {
  return new SnapshotError("SNAPSHOT_CORRUPT", `no name is left in the history after ${name}`, {
    hint: "No real clock gets that far: find out who wrote that object, and delete it.",
  });
}

/** How many ids a hint names. */
const MAX_HINTED = 3;

/** Those of `ids`, the newest first, that contain `text`, say a hash; else those that begin like it. */
function mostAlike(text: string, ids: readonly string[]): readonly string[] {
  const containing = text === "" ? [] : ids.filter((id) => id.includes(text));
  const alike = ids.toSorted((a, b) => commonStart(text, b) - commonStart(text, a));
  return (containing.length > 0 ? containing : alike).slice(0, MAX_HINTED);
}

function commonStart(a: string, b: string): number {
  let length = 0;
  while (length < a.length && a[length] === b[length]) length += 1;
  return length;
}
