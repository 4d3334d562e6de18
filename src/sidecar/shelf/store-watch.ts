/** Follows what lies in the store for one Kong version, and puts what is new there on the shelf. */

import type { Clock } from "../../core/clock.ts";
import { ServiceError } from "../../core/errors.ts";
import { FailureNews } from "../../core/failure-news.ts";
import type { Log } from "../../core/log.ts";
import type { KongVersion } from "../../kong/version.ts";
import { otherCluster, SnapshotError } from "../../snapshots/errors.ts";
import { isBetter, isNewer, isOfAnotherCluster, isSameConfig } from "../../snapshots/order.ts";
import type { SnapshotReader } from "../../snapshots/reader.ts";
import {
  describeBare,
  type FoundSnapshot,
  type SnapshotMetadata,
} from "../../snapshots/snapshot.ts";
import type { Version } from "../../store/port.ts";
import type { Shelf } from "./shelf.ts";

export interface StoreWatchOptions {
  readonly reader: Pick<SnapshotReader, "name" | "refresh">;
  readonly kongVersion: KongVersion;
  readonly shelf: Shelf;
  readonly clock: Clock;
  readonly log: Log;
}

export class StoreWatch {
  readonly #options: StoreWatchOptions;
  #seen: Version | undefined;
  /** It is known what lay there, or that nothing did: anything else was put there since. */
  #hasLooked = false;
  #missing: SnapshotError | undefined;
  /** What was seen last, where that is another cluster's. */
  #foreign: SnapshotMetadata | undefined;
  /** Of all that lay there while we watched. */
  #newest: SnapshotMetadata | undefined;
  readonly #failures: FailureNews;

  constructor(options: StoreWatchOptions) {
    this.#options = options;
    this.#failures = new FailureNews(options.clock);
  }

  /** Says what else lies in the store, if nothing for this Kong version did at the last look. */
  get missing(): SnapshotError | undefined {
    return this.#missing;
  }

  /**
   * Looks once. What the shelf has stays if nothing new, nothing newer or nothing good lies there.
   * Resolves to whether the store answered as it should; that it holds nothing is no fault of its.
   * Rejects with `signal.reason`, or for a bug.
   *
   * A snapshot without metadata, copied into the bucket by hand, has no age. If it lies there at the
   * first look, everything else is newer. If it comes while we watch, somebody put it there on
   * purpose, now: it is the newest, until the next config comes.
   */
  async look(signal: AbortSignal): Promise<boolean> {
    const { reader } = this.#options;
    this.#missing = undefined;
    try {
      const fresh = await reader.refresh(this.#seen, signal);
      if (fresh !== undefined) {
        const { metadata } = fresh.snapshot;
        const isForeign = metadata && isOfAnotherCluster(metadata, this.#options.shelf.clusterId);
        this.#foreign = isForeign ? metadata : undefined;
        if (this.#foreign === undefined) await this.#offer(fresh.snapshot);
        this.#seen = fresh.version;
      }
      this.#refuseForeign();
      return this.#answered();
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof ServiceError)) throw error;
      if (error instanceof SnapshotError) {
        if (error.code === "SNAPSHOT_MISSING") {
          this.#missing = error;
          return this.#answered();
        }
        this.#hasLooked = true;
      }
      this.#report(error);
      return false;
    }
  }

  /** Throws SNAPSHOT_OTHER_CLUSTER. */
  #refuseForeign(): void {
    const { reader, shelf } = this.#options;
    if (this.#foreign === undefined) return;
    throw otherCluster(reader.name, this.#foreign.clusterId, shelf.clusterId);
  }

  #answered(): true {
    const { reader, log } = this.#options;
    this.#hasLooked = true;
    if (this.#failures.end()) log.info({ key: reader.name }, "store answers again");
    return true;
  }

  async #offer({ config, metadata, kongVersion: savedFor }: FoundSnapshot): Promise<void> {
    const { reader, kongVersion, shelf, log } = this.#options;
    const described = metadata ?? describeBare(config, savedFor, this.#putAt());
    const { configHash, bytes, exportedAt, exporterId } = described;
    const isTaken = await shelf.offer(
      { config, metadata: described, wanted: kongVersion },
      "store",
    );
    const before = this.#newest;
    if (before === undefined || !isBetter(kongVersion, before, described)) this.#newest = described;
    // That another version's stands in now was said by the reader.
    const isOlder = before?.kongVersion === savedFor && isNewer(before, described);
    if (isOlder && !isTaken && !isSameConfig(before, described)) {
      log.warn(
        { key: reader.name, kongVersion, configHash, exportedAt },
        "store holds an older snapshot than before, somebody may have put it back; the newer one is served",
      );
    } else if (!isTaken) {
      log.debug({ key: reader.name, configHash }, "snapshot in the store is not newer");
    } else if (metadata === undefined) {
      log.warn(
        { key: reader.name, kongVersion, bytes },
        "snapshot taken from the store carries no metadata, e.g. after a copy by hand; its digest and Kong version are not checked",
      );
    } else {
      log.info(
        { key: reader.name, kongVersion, configHash, bytes, exportedAt, exporterId },
        "snapshot taken from the store",
      );
    }
  }

  /** When what lies there was put there, if it was while we watched: later than all we have, whatever the clocks say. */
  #putAt(): Date | undefined {
    const { shelf, kongVersion, clock } = this.#options;
    if (!this.#hasLooked) return undefined;
    const newest = shelf.confirmedAt(kongVersion)?.getTime() ?? 0;
    return new Date(Math.max(clock.now().getTime(), newest + 1));
  }

  #report(error: ServiceError): void {
    const { kongVersion, log } = this.#options;
    if (!this.#failures.isNews(error.message)) return;
    const fields = { err: error, kongVersion };
    if (error.retryable)
      log.warn(fields, "store not read, will try again; what is there is served");
    else
      log.error(fields, "store gives no snapshot, an operator must act; what is there is served");
  }
}
