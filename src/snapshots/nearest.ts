/** Reads the snapshot of the wanted Kong version, or, where there is none, of the nearest older one. */

import { type KongVersion, parseKongVersion } from "../kong/version.ts";
import { StoreError, type Version } from "../store/port.ts";
import { SnapshotError } from "./errors.ts";
import { savedVersions } from "./missing.ts";
import { SnapshotReader, type SnapshotReaderOptions } from "./reader.ts";
import type { Found, FoundSnapshot, OnProgress } from "./snapshot.ts";
import { olderVersions, type VersionMatch } from "./version-match.ts";

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
      if (!isMissing(error)) throw error;
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
        if (!isMissing(error)) throw error;
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

function isMissing(error: unknown): boolean {
  return error instanceof SnapshotError && error.code === "SNAPSHOT_MISSING";
}
