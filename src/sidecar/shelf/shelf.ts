/** What can be served now: per Kong version the newest snapshot, wherever it was found. */

import type { KongVersion } from "../../kong/version.ts";
import type { NewSnapshot } from "../../snapshots/archive.ts";
import { isNewer, isSameConfig, takenAt } from "../../snapshots/newest.ts";
import type { SnapshotMetadata } from "../../snapshots/snapshot.ts";
import { type Origin, packSnapshot, type Servable } from "./payload.ts";

/** Data planes name their version themselves: this many are kept in memory, not more. */
export const MAX_VERSIONS = 32;

/** Must not throw. */
export type NewerListener = (version: KongVersion, servable: Servable) => void;

interface Entry {
  readonly servable: Servable;
  /** Of the newest snapshot of this config: the control plane may have come back to it since. */
  readonly age: SnapshotMetadata;
}

export class Shelf {
  readonly #entries = new Map<KongVersion, Entry>();
  readonly #listeners = new Set<NewerListener>();

  /** The same object as long as the config is the same. */
  newest(version: KongVersion): Servable | undefined {
    return this.#entries.get(version)?.servable;
  }

  /** When the newest config was last known to be the control plane's; undefined where nobody knows. */
  confirmedAt(version: KongVersion): Date | undefined {
    const entry = this.#entries.get(version);
    return entry && takenAt(entry.age);
  }

  /** Those for which there is a snapshot, in the order they came. */
  versions(): readonly KongVersion[] {
    return [...this.#entries.keys()];
  }

  /**
   * Takes a verified snapshot if it is newer than what is there and another config. Resolves to
   * whether it did, when the listeners have been called. `frame`: see `packSnapshot`.
   */
  async offer(snapshot: NewSnapshot, origin: Origin, frame?: Uint8Array): Promise<boolean> {
    const { metadata } = snapshot;
    if (!this.#takes(metadata)) return false;
    const servable = await packSnapshot(snapshot, origin, frame);
    // Packing takes time: a newer one may have come meanwhile.
    if (!this.#takes(metadata)) return false;
    this.#entries.set(metadata.kongVersion, { servable, age: metadata });
    for (const listener of [...this.#listeners]) listener(metadata.kongVersion, servable);
    return true;
  }

  /** Calls `listener` for each config taken from now on, until the function it returns is called. */
  onNewer(listener: NewerListener): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  #takes(fresh: SnapshotMetadata): boolean {
    const entry = this.#entries.get(fresh.kongVersion);
    if (entry === undefined) return this.#entries.size < MAX_VERSIONS;
    if (!isNewer(fresh, entry.age)) return false;
    if (!isSameConfig(fresh, entry.servable.metadata)) return true;
    this.#entries.set(fresh.kongVersion, { ...entry, age: fresh });
    return false;
  }
}
