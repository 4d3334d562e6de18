/** What can be served now: per Kong version the best snapshot, wherever it was found. */

import type { KongVersion } from "../../kong/version.ts";
import { isBetter, isSameConfig } from "../../snapshots/order.ts";
import { type SnapshotMetadata, takenAt } from "../../snapshots/snapshot.ts";
import { type Offer, type Origin, packSnapshot, type Servable } from "./payload.ts";

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

  /**
   * The newest of those saved for this version, else of those for the nearest version that stands in
   * for it. The same object as long as both are the same, the config and the version it was saved for.
   */
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
   * Takes a verified snapshot if it is better than what is there and another one. Resolves to
   * whether it did, when the listeners have been called. `frame`: see `packSnapshot`.
   */
  async offer(offer: Offer, origin: Origin, frame?: Uint8Array): Promise<boolean> {
    const { metadata, wanted = metadata.kongVersion } = offer;
    if (!this.#takes(wanted, metadata)) return false;
    const servable = await packSnapshot(offer, origin, frame);
    // Packing takes time: a better one may have come meanwhile.
    if (!this.#takes(wanted, metadata)) return false;
    this.#entries.set(wanted, { servable, age: metadata });
    for (const listener of [...this.#listeners]) listener(wanted, servable);
    return true;
  }

  /** Calls `listener` for each config taken from now on, until the function it returns is called. */
  onNewer(listener: NewerListener): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  #takes(wanted: KongVersion, fresh: SnapshotMetadata): boolean {
    const entry = this.#entries.get(wanted);
    if (entry === undefined) return this.#entries.size < MAX_VERSIONS;
    if (!isBetter(wanted, fresh, entry.age)) return false;
    const { metadata } = entry.servable;
    if (fresh.kongVersion !== metadata.kongVersion || !isSameConfig(fresh, metadata)) return true;
    this.#entries.set(wanted, { ...entry, age: fresh });
    return false;
  }
}
