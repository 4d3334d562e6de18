/** The saved configs of one Kong version: reads them verified, and never lets the backup move backwards. */

import type { Clock } from "../core/clock.ts";
import { ServiceError } from "../core/errors.ts";
import { StoreError, type Version } from "../store/port.ts";
import { CurrentObject, type Known } from "./current.ts";
import { isNotFound, isPassedOver } from "./errors.ts";
import { History, type RemoveReport } from "./history.ts";
import { historyHash } from "./layout.ts";
import {
  decideSave,
  isSettled,
  type Provenance,
  type Refusal,
  stampedAfter,
  UNKNOWN_PROVENANCE,
  type WriteRule,
} from "./order.ts";
import {
  type FoundSighting,
  missingSnapshot,
  StoreReader,
  type StoreReaderOptions,
} from "./reader.ts";
import { beyondRetention, type Removal, type RetentionPolicy, timesOf } from "./retention.ts";
import { metadataOf, type Sighting } from "./sighting.ts";
import type {
  Found,
  FoundSnapshot,
  NewSnapshot,
  OnProgress,
  SnapshotMetadata,
} from "./snapshot.ts";

/** How the archive is to write. */
export interface WriteOptions {
  /** Whether the store honours preconditions. */
  readonly conditional: boolean;
  /** How the snapshot came after others; absent: nobody knows. */
  readonly provenance?: Provenance;
}

export type SaveOutcome =
  | { readonly kind: "saved"; readonly rule: WriteRule; readonly metadata: SnapshotMetadata }
  /** The store holds this very config already, under this token. */
  | { readonly kind: "unchanged" }
  | Refusal;

export interface ArchiveOptions extends StoreReaderOptions {
  /** Whether what is saved is kept in the history, too; absent: not. Readers look there all the same. */
  readonly keepHistory?: boolean;
  /** See CurrentObjectOptions. */
  readonly makesFreshVersions?: () => boolean;
  /** See CurrentObjectOptions. */
  readonly clock?: Pick<Clock, "monotonicMs">;
}

/** How often a save starts over because somebody else wrote in between. */
const MAX_CONFLICTS = 5;

/**
 * One writer's, or one reader's, view. Why the backup never moves backwards: docs/format.md,
 * "Who may write". Methods that write are called one at a time.
 */
export class Archive {
  readonly history: History;
  readonly #options: ArchiveOptions;
  readonly #current: CurrentObject;
  readonly #reader: StoreReader;
  /** Undefined until read, and again whenever it proved outdated. */
  #known: Known | undefined;
  /** The object that a write of ours was to replace which may still happen; it never does once another is there. */
  #inDoubt: Version | undefined;
  /** Tokens under which we wrote, or tried to. */
  readonly #tokens = new Set<number>();
  /** Of what we wrote last, or tried to. */
  #written: SnapshotMetadata | undefined;
  /** Whether what is known to be current is known to be in the history. */
  #isKept = false;
  /** What we wrote last, or tried to, until it is in the history: if it is sealed for others, we cannot read it back. */
  #unkept: NewSnapshot | undefined;

  constructor(options: ArchiveOptions) {
    this.#options = options;
    this.history = new History(options);
    this.#current = new CurrentObject(options);
    this.#reader = new StoreReader(options);
  }

  /** The current object with its store, for messages. */
  get name(): string {
    return this.#current.name;
  }

  /** Whether what was saved last is in the history too, or none is kept. */
  get isKept(): boolean {
    return this.#isKept || this.#options.keepHistory !== true;
  }

  /** See StoreReader.latest. */
  latest(signal: AbortSignal, onProgress?: OnProgress): Promise<FoundSnapshot> {
    return this.#reader.latest(signal, onProgress);
  }

  /** See StoreReader.refresh. */
  refresh(seen: Version | undefined, signal: AbortSignal): Promise<Found | undefined> {
    return this.#reader.refresh(seen, signal);
  }

  /** See StoreReader.sight. */
  async sight(seen: Version | undefined, signal: AbortSignal): Promise<FoundSighting | undefined> {
    const found = await this.#reader.sight(seen, signal);
    if (found !== undefined) this.#current.saw(found.version);
    return found;
  }

  /**
   * The current snapshot, verified; nothing of the history in its place. One that none of our keys
   * opens will do. SnapshotError: SNAPSHOT_MISSING where there is none; StoreError.
   */
  async sightCurrent(signal: AbortSignal): Promise<Sighting> {
    try {
      return await this.#current.sight(signal);
    } catch (error) {
      if (!isNotFound(error)) throw error;
      const { store, kongVersion } = this.#options;
      throw await missingSnapshot(store, kongVersion, error, signal);
    }
  }

  /**
   * Reads what lies in the store, so that the first save knows what it replaces. The metadata of a
   * good snapshot; undefined if there is none, or none that can be used, which is logged.
   */
  async recall(signal: AbortSignal): Promise<SnapshotMetadata | undefined> {
    const known = await this.#look(signal);
    return known.kind === "present" ? known.metadata : undefined;
  }

  /**
   * Whether the good snapshot that is known to be current still lies there, by its version: its body is
   * not looked at. Where it does not, and where none is known, what comes next reads anew. Throws StoreError.
   */
  async isIntact(signal: AbortSignal): Promise<boolean> {
    const known = this.#known;
    if (known?.kind !== "present" || known.metadata === undefined) return false;
    if ((await this.#current.version(signal)) === known.version) return true;
    this.#known = undefined;
    return false;
  }

  /**
   * The highest fencing token that the store has seen with a snapshot, 0 if none: where its tokens go
   * on from. It is that of the current snapshot, or of the newest of the history where that is gone or
   * its metadata are. No body is looked at, but none is believed that is not signed as it must be.
   * Rejects with SNAPSHOT_UNKNOWN_FORMAT, StoreError.
   */
  async highestToken(signal: AbortSignal): Promise<number> {
    const current = await this.#current.fencingToken(signal);
    if (current > 0) return current;
    for (const { id } of await this.history.list(signal)) {
      try {
        return (await this.history.metadata(id, signal)).fencingToken;
      } catch (error) {
        if (!isPassedOver(error)) throw error;
      }
    }
    return 0;
  }

  /**
   * Whether nothing has to be done for the config with this hash: it is known to be the saved one,
   * under this token, rehearsed where `rehearsed` says so, and in the history. Kong's hash tells: the
   * bytes of one config differ from frame to frame.
   */
  holds(configHash: string | undefined, fencingToken = 0, rehearsed = false): boolean {
    const known = this.#known;
    return (
      configHash !== undefined &&
      known?.kind === "present" &&
      known.metadata?.configHash === configHash &&
      (!rehearsed || known.metadata.rehearsed === true) &&
      isSettled(known, fencingToken, this.#inDoubt) &&
      this.isKept
    );
  }

  /**
   * Makes `snapshot` the current one, if it may replace what lies there. The write is conditional on
   * what was last read; where somebody else wrote in between, it reads again and decides anew. With
   * `conditional: false`, for stores that do not honour preconditions, it reads before each write
   * instead, which narrows the race but does not close it. Throws StoreError; no retry inside.
   *
   * The same config under a lower token is written again, for a write of the exporter before may
   * still be on its way. A history that cannot be written is logged, and fails nothing: what is
   * missing there is added by the next save, be it of the same config.
   */
  async save(
    snapshot: NewSnapshot,
    options: WriteOptions,
    signal: AbortSignal,
  ): Promise<SaveOutcome> {
    if (!options.conditional) this.#known = undefined;
    for (let conflicts = 0; ; conflicts += 1) {
      const known = this.#known ?? (await this.#look(signal));
      const { provenance = UNKNOWN_PROVENANCE } = options;
      const decision = decideSave(snapshot.metadata, known, provenance, {
        inDoubt: this.#inDoubt,
        tokens: this.#tokens,
      });
      if (decision.kind !== "write" && decision.kind !== "unchanged") {
        // It may be another one by the next time. What an operator put there is looked after until then.
        if (decision.kind !== "overruled") this.#known = undefined;
        return decision;
      }
      // What is about to be replaced may be missing there, if its writer died in between.
      const same = decision.kind === "unchanged" ? snapshot : undefined;
      await this.#tryHistory(() => this.ensureInHistory(options, signal, same), signal);
      if (decision.kind === "unchanged") return decision;
      try {
        // What lies there may be older than what we wrote: somebody may have put it back, or damaged it.
        const metadata = stampedAfter(decision.metadata, this.#written);
        const made = { ...snapshot, metadata };
        await this.#replace(known, made, options, signal);
        await this.#tryHistory(() => this.#keep(made, options, signal), signal);
        return { kind: "saved", rule: decision.rule, metadata };
      } catch (error) {
        if (!isLostRace(error) || conflicts >= MAX_CONFLICTS) throw error;
      }
    }
  }

  /**
   * Adds the current snapshot to the history, if that is kept and it is missing there. `save` does so
   * by itself, before it replaces what another one saved. Where none of our keys opens it, what we
   * wrote ourselves, or `same`, a snapshot of the same config, is added in its place; without, it
   * cannot be added, which is logged once. Rejects with SnapshotError, StoreError.
   */
  async ensureInHistory(
    options: WriteOptions,
    signal: AbortSignal,
    same?: NewSnapshot,
  ): Promise<void> {
    if (this.isKept) return;
    const known = this.#known ?? (await this.#look(signal));
    // Nothing is there, or nothing that anybody could vouch for.
    if (known.kind === "absent" || known.metadata === undefined) return;
    const newest = (await this.history.list(signal)).find(({ held }) => !held);
    if (newest?.hash !== historyHash(known.metadata)) {
      await this.#addCurrent(options, signal, same);
    }
    this.#isKept = true;
    this.#unkept = undefined;
  }

  /** What is beyond `policy`, the oldest first, at a time that somebody vouches for. Rejects as `recall`. */
  async planPrune(
    policy: RetentionPolicy,
    now: Date,
    signal: AbortSignal,
  ): Promise<readonly Removal[]> {
    const currentHash = await this.#currentHash(signal);
    const entries = await this.history.list(signal);
    return beyondRetention(entries, policy, { currentHash, times: { names: now, store: now } });
  }

  /** Removes from the history what is beyond `policy`, one by one, the oldest first; see timesOf. Needs no lease: whoever else prunes removes the same ones. Rejects as `recall`. */
  async prune(policy: RetentionPolicy, now: Date, signal: AbortSignal): Promise<RemoveReport> {
    const currentHash = await this.#currentHash(signal);
    const entries = await this.history.list(signal);
    const times = timesOf(entries, now);
    const removals = beyondRetention(entries, policy, { currentHash, times });
    return this.history.remove(
      removals.map(({ entry }) => entry.id),
      signal,
    );
  }

  async #currentHash(signal: AbortSignal): Promise<string | undefined> {
    const known = this.#known ?? (await this.#look(signal));
    const metadata = known.kind === "present" ? known.metadata : undefined;
    return metadata && historyHash(metadata);
  }

  async #addCurrent(
    options: WriteOptions,
    signal: AbortSignal,
    same: NewSnapshot | undefined,
  ): Promise<void> {
    const sighting = await this.#current.sight(signal);
    const metadata = metadataOf(sighting);
    if (metadata === undefined) return;
    if (sighting.kind === "open") {
      const { config } = sighting.snapshot;
      await this.history.add({ config, metadata }, options, signal);
      return;
    }
    // What lies there now may be another one than we know of.
    const hash = historyHash(metadata);
    const inHand = [same, this.#unkept].find((it) => it && historyHash(it.metadata) === hash);
    if (inHand !== undefined) {
      await this.history.add(inHand, options, signal);
      return;
    }
    const { kongVersion, log } = this.#options;
    log.warn(
      { err: sighting.why, kongVersion },
      "current snapshot is missing from the history, and cannot be added: it is sealed for others",
    );
  }

  async #keep(snapshot: NewSnapshot, options: WriteOptions, signal: AbortSignal): Promise<void> {
    if (this.#options.keepHistory !== true) return;
    await this.history.add(snapshot, options, signal);
    this.#isKept = true;
    this.#unkept = undefined;
  }

  async #look(signal: AbortSignal): Promise<Known> {
    this.#isKept = false;
    this.#known = await this.#current.look(signal);
    return this.#known;
  }

  async #replace(
    known: Known,
    snapshot: NewSnapshot,
    { conditional }: WriteOptions,
    signal: AbortSignal,
  ): Promise<void> {
    this.#isKept = false;
    this.#written = snapshot.metadata;
    this.#tokens.add(snapshot.metadata.fencingToken);
    if (this.#options.keepHistory === true) this.#unkept = snapshot;
    try {
      this.#known = await this.#current.replace(known, snapshot, conditional, signal);
    } catch (error) {
      // Whatever failed, the write may have happened: only a fresh read tells what lies there now.
      this.#known = undefined;
      if (known.kind === "present") this.#inDoubt = known.version;
      throw error;
    }
  }

  /** A history that fails must not keep a good config from being saved, nor one that was from being reported so. */
  async #tryHistory(job: () => Promise<void>, signal: AbortSignal): Promise<void> {
    try {
      await job();
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof ServiceError)) throw error;
      this.#options.log.error(
        { err: error, kongVersion: this.#options.kongVersion },
        "snapshot not kept in the history, the next save will try again",
      );
    }
  }
}

/** This write did not happen: another one was first. */
function isLostRace(error: unknown): boolean {
  return error instanceof StoreError && error.code === "STORE_PRECONDITION_FAILED";
}
