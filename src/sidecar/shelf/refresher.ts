/** Keeps the shelf warm: looks on the local disk once, and into the store again and again, for each Kong version that is wanted. */

import type { Clock } from "../../core/clock.ts";
import { ServiceError } from "../../core/errors.ts";
import type { Log } from "../../core/log.ts";
import { forever, inTime, orAborted, Scope, Slots } from "../../core/waiting.ts";
import type { KongVersion } from "../../kong/version.ts";
import type { NewSnapshot } from "../../snapshots/snapshot.ts";
import { MAX_VERSIONS, type Shelf } from "./shelf.ts";
import { StoreWatch, type StoreWatchOptions } from "./store-watch.ts";

/** As an earlier run of this process kept it. */
export interface KeptSnapshot extends NewSnapshot {
  /** See Servable. */
  readonly isMeasured: boolean;
}

/** What an earlier run of this process kept: a DiskCache. */
export interface DiskReader {
  /** Verified, be it another version's that stands in; undefined if there is nothing. Rejects with a ServiceError. */
  read(version: KongVersion, signal: AbortSignal): Promise<KeptSnapshot | undefined>;
}

export interface RefresherOptions {
  readonly shelf: Shelf;
  /** Undefined: nothing is kept on disk. */
  readonly disk: DiskReader | undefined;
  /** Undefined: there is no store. */
  readonly store: ((version: KongVersion) => StoreWatchOptions["reader"]) | undefined;
  /** Between two looks into the store, milliseconds, give or take a tenth; up to four times that while it fails. */
  readonly refreshMs: number;
  /** How long `firstRound` waits for disk and store, milliseconds. */
  readonly firstRoundMs: number;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  readonly log: Log;
}

const MAX_BACKOFF_FACTOR = 4;
/** More than a healthy disk takes; then the store is asked meanwhile, milliseconds. */
const DISK_MS = 1_000;

export class Refresher {
  /**
   * Resolves when disk and store were tried once for each version wanted before `run`, when the time
   * for that is up, or when `run` ends. Never rejects.
   */
  readonly firstRound: Promise<void>;
  readonly #options: RefresherOptions;
  /** With the end of the first try; resolved where it has not begun. */
  readonly #wanted = new Map<KongVersion, Promise<void>>();
  /** One at a time: a config is in memory uncompressed while it is read. A dead store does not hold up the disk. */
  readonly #diskTurn = new Slots(1);
  readonly #storeTurn = new Slots(1);
  #endFirstRound: () => void = () => {};
  /** Set while running. Resolves after the first try. */
  #begin: ((version: KongVersion) => Promise<void>) | undefined;
  #isFull = false;

  constructor(options: RefresherOptions) {
    this.#options = options;
    this.firstRound = new Promise((resolve) => {
      this.#endFirstRound = resolve;
    });
  }

  /**
   * From now on this version is kept warm. Resolves when disk and store were tried once for it, or
   * when `run` ends; at once before `run`, see `firstRound`. Never rejects. Idempotent. Beyond 32
   * versions nothing happens, which is logged once.
   */
  async want(version: KongVersion): Promise<void> {
    const known = this.#wanted.get(version);
    if (known !== undefined) return known;
    if (this.#wanted.size >= MAX_VERSIONS) {
      if (!this.#isFull) {
        this.#options.log.warn(
          { kongVersion: version, limit: MAX_VERSIONS },
          "too many Kong versions, no snapshot is looked for",
        );
      }
      this.#isFull = true;
      return;
    }
    const tried = this.#begin?.(version) ?? Promise.resolve();
    this.#wanted.set(version, tried);
    return tried;
  }

  /** Resolves once `signal` aborts and nothing is being read any more; rejects only for a bug. */
  async run(signal: AbortSignal): Promise<void> {
    using over = new Scope(signal);
    const lives: Promise<void>[] = [];
    this.#begin = (version) =>
      new Promise((resolve) => {
        const life = orAborted(over.signal, this.#keepWarm(version, resolve, over.signal));
        // A bug in one life ends them all.
        lives.push(life.then(() => {}).finally(resolve));
        life.catch((bug: unknown) => over.end(bug));
      });
    void this.#awaitFirstRound([...this.#wanted.keys()].map(this.#begin), over.signal);
    await orAborted(over.signal, forever(over.signal));
    this.#begin = undefined;
    await Promise.all(lives);
  }

  async #awaitFirstRound(tries: readonly Promise<void>[], over: AbortSignal): Promise<void> {
    const { clock, firstRoundMs } = this.#options;
    await orAborted(
      over,
      inTime(firstRoundMs, clock, over, () => Promise.all(tries)),
    );
    this.#endFirstRound();
  }

  async #keepWarm(version: KongVersion, onTried: () => void, signal: AbortSignal): Promise<void> {
    const { shelf, store, clock, log } = this.#options;
    // A disk that hangs keeps its turn, so that no more calls to it do, and keeps nobody from the store.
    await inTime(DISK_MS, clock, signal, (both) =>
      this.#diskTurn.within(both, () => this.#readDisk(version, signal)),
    );
    const reader = store?.(version);
    const watch = reader && new StoreWatch({ ...this.#options, reader, kongVersion: version });
    for (let failures = 0, isFirst = true; ; isFirst = false) {
      const isWell = !watch || (await this.#storeTurn.within(signal, () => watch.look(signal)));
      if (isFirst) {
        onTried();
        if (shelf.newest(version) === undefined) {
          const err = watch?.missing;
          const fields = { kongVersion: version, served: shelf.versions() };
          log.warn(err === undefined ? fields : { ...fields, err }, NOTHING_THERE);
        }
      }
      if (watch === undefined) return;
      failures = isWell ? 0 : failures + 1;
      await clock.sleep(this.#delayMs(failures), signal);
    }
  }

  async #readDisk(version: KongVersion, signal: AbortSignal): Promise<void> {
    const { disk, shelf, log } = this.#options;
    signal.throwIfAborted();
    try {
      const snapshot = await disk?.read(version, signal);
      if (snapshot === undefined) return;
      if (!(await shelf.offer({ ...snapshot, wanted: version }, "disk"))) return;
      const { configHash, bytes, exportedAt } = snapshot.metadata;
      log.info(
        { kongVersion: version, configHash, bytes, exportedAt },
        "snapshot taken from the local disk",
      );
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof ServiceError)) throw error;
      log.error({ err: error, kongVersion: version }, "snapshot on the local disk is not used");
    }
  }

  #delayMs(failures: number): number {
    const { refreshMs, random } = this.#options;
    const factor = Math.min(2 ** Math.min(failures, 30), MAX_BACKOFF_FACTOR);
    return Math.round(refreshMs * factor * (0.9 + 0.2 * random()));
  }
}

const NOTHING_THERE =
  "no snapshot for this Kong version yet: let an exporter run for it, or connect while the control plane lives";
