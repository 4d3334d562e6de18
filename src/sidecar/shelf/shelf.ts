/** What can be served now: per Kong version the best snapshot, wherever it was found, in the form in which data planes get it. */

import { constants } from "node:buffer";
import { countEntities, type EntityCounts } from "../../kong/entity-counts.ts";
import { configuredPlugins } from "../../kong/plugins.ts";
import { decodeReconfigure, encodeReconfigure } from "../../kong/reconfigure.ts";
import type { KongVersion } from "../../kong/version.ts";
import { isBetter, isOfAnotherCluster, isSameConfig } from "../../snapshots/order.ts";
import { type NewSnapshot, type SnapshotMetadata, takenAt } from "../../snapshots/snapshot.ts";

/** Where a config was found: passing by from the control plane, on the local disk, in the store. */
export type Origin = "memory" | "disk" | "store";

/** A verified snapshot as it was found. */
export interface Offer extends NewSnapshot {
  /** Kong version that it is to be served for; absent: the one that it was saved for. */
  readonly wanted?: KongVersion;
  /** See Servable; absent: it was. */
  readonly isMeasured?: boolean;
}

/** A verified snapshot, ready to be sent. The config itself is kept only in the compressed frame. */
export interface Servable {
  /** One binary message, gzip of a `reconfigure`; never to be written to. */
  readonly frame: Uint8Array;
  /** The hash a data plane reports once it has the config; undefined: it computes one itself. */
  readonly configHash: string | undefined;
  /** Names of the enabled plugins. */
  readonly plugins: ReadonlySet<string>;
  /** That it is served for. Its metadata tell for which one it was saved, which may be an older one. */
  readonly kongVersion: KongVersion;
  /** Length of the config, not compressed. */
  readonly bytes: number;
  /** Seconds since 1970, by the control plane's clock. */
  readonly controlPlaneTimestamp: number | undefined;
  /** Undefined where nobody knows, as after a copy by hand. */
  readonly takenAt: Date | undefined;
  readonly origin: Origin;
  readonly metadata: SnapshotMetadata;
  readonly counts: EntityCounts;
  /** Whether there was anything for the guard to measure it by when it was taken. */
  readonly isMeasured: boolean;
}

/** A config that passed by, and is not given in an outage: it lost too much of the one that is. */
export interface HeldBack {
  readonly metadata: SnapshotMetadata;
  /** Sentences for people, the weightiest first. */
  readonly reasons: readonly string[];
}

export interface ShelfGuard {
  /** Why `fresh` may not take the place of `current`; none: it may. */
  readonly examine: (fresh: EntityCounts, current: EntityCounts) => readonly string[];
  /** Told of each config that is held back, once; and with undefined that none is any more. Must not throw. */
  readonly onHeld: (version: KongVersion, held: HeldBack | undefined) => void;
}

/** Data planes name their version themselves: this many are kept in memory, not more. */
export const MAX_VERSIONS = 32;

/** Finer than a control plane's timestamps. */
const LATER_SECONDS = 0.001;

/** Must not throw. */
export type NewerListener = (version: KongVersion, servable: Servable) => void;

interface Entry {
  readonly servable: Servable;
  /** Of the newest snapshot of this config: the control plane may have come back to it since. */
  readonly age: SnapshotMetadata;
  /** As in Servable, or since. */
  readonly isMeasured: boolean;
}

/** Takes everything. */
const NO_GUARD: ShelfGuard = { examine: () => [], onHeld: () => {} };

export class Shelf {
  readonly #guard: ShelfGuard;
  readonly #entries = new Map<KongVersion, Entry>();
  readonly #held = new Map<KongVersion, HeldBack>();
  readonly #listeners = new Set<NewerListener>();
  #clusterId: string | undefined;

  constructor(guard = NO_GUARD) {
    this.#guard = guard;
  }

  /**
   * The newest of those saved for this version, else of those for the nearest version that stands in
   * for it. The same object as long as both are the same, the config and the version it was saved for.
   */
  newest(version: KongVersion): Servable | undefined {
    return this.#entries.get(version)?.servable;
  }

  /** Of the control plane, as far as its configs that passed by, now or before a restart, say. */
  get clusterId(): string | undefined {
    return this.#clusterId;
  }

  /** What the control plane sent last, where that is not what would be given in an outage. */
  held(version: KongVersion): HeldBack | undefined {
    return this.#held.get(version);
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
   * Takes a verified snapshot if it is better than what is there and another one. What passes by
   * from the control plane is newer than all that was there before, whatever the clocks say: where
   * they contradict, its times are moved up, so that it stays the newer one after a restart, too.
   * But what the guard would hold back is not taken until it is found saved: an exporter let it pass,
   * or an operator. Nor does it stay if it was taken while there was nothing to measure it by.
   * What another cluster's control plane made makes room for it.
   * Resolves to whether it did, when the listeners have been called. `frame`: see `packSnapshot`.
   */
  async offer(offer: Offer, origin: Origin, frame?: Uint8Array): Promise<boolean> {
    const { wanted = offer.metadata.kongVersion } = offer;
    this.#learn(offer.metadata.clusterId, origin);
    let counted: EntityCounts | undefined;
    const count = (): EntityCounts => {
      counted ??= countsOf(offer);
      return counted;
    };
    if (this.#judge(wanted, offer, origin, count) === undefined) return false;
    const packed = await packSnapshot(offer, origin, frame);
    // Packing takes time: a better one may have come meanwhile.
    const metadata = this.#judge(wanted, offer, origin, count);
    if (metadata === undefined) return false;
    const { controlPlaneTimestamp } = metadata;
    const isMeasured =
      origin === "memory" ? this.#entries.get(wanted)?.isMeasured === true : packed.isMeasured;
    const timed = { metadata, controlPlaneTimestamp, takenAt: takenAt(metadata) };
    const servable = { ...packed, ...timed, isMeasured };
    this.#entries.set(wanted, { servable, age: metadata, isMeasured });
    const held = this.#held.get(wanted);
    if (held !== undefined && isSameConfig(held.metadata, metadata)) this.#hold(wanted, undefined);
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

  /** Whose data planes are served. What lies in the store may be anybody's; what was kept on the disk passed by, or lay there first. */
  #learn(clusterId: string | undefined, origin: Origin): void {
    if (clusterId === undefined || clusterId === this.#clusterId || origin === "store") return;
    if (origin === "disk" && this.#clusterId !== undefined) return;
    this.#clusterId = clusterId;
    for (const [version, { servable }] of this.#entries) {
      if (!isOfAnotherCluster(servable.metadata, clusterId)) continue;
      this.#entries.delete(version);
      this.#held.delete(version);
    }
  }

  /** With which metadata it is to be taken; undefined if it is not. */
  #judge(
    wanted: KongVersion,
    { metadata: fresh }: Offer,
    origin: Origin,
    count: () => EntityCounts,
  ): SnapshotMetadata | undefined {
    const entry = this.#entries.get(wanted);
    if (entry === undefined) return this.#entries.size < MAX_VERSIONS ? fresh : undefined;
    const { servable } = entry;
    const isSame = isSameConfig(fresh, servable.metadata);
    const held = this.#held.get(wanted);
    if (origin === "memory") {
      const reasons = isSame ? [] : this.#guard.examine(count(), servable.counts);
      this.#hold(wanted, reasons.length === 0 ? undefined : { metadata: fresh, reasons });
      return reasons.length === 0 ? this.#newer(wanted, this.#asNewest(wanted, fresh)) : undefined;
    }
    if (held !== undefined && isSameConfig(fresh, held.metadata)) {
      return this.#newer(wanted, this.#asNewest(wanted, fresh));
    }
    if (!entry.isMeasured && !isSame) {
      const reasons = this.#guard.examine(servable.counts, count());
      if (reasons.length > 0) {
        this.#hold(wanted, { metadata: servable.metadata, reasons });
        return fresh;
      }
    }
    this.#entries.set(wanted, { ...entry, isMeasured: true });
    return this.#newer(wanted, fresh);
  }

  #hold(wanted: KongVersion, held: HeldBack | undefined): void {
    const before = this.#held.get(wanted);
    if (held === undefined) this.#held.delete(wanted);
    else this.#held.set(wanted, held);
    const isKnown = before && held && isSameConfig(before.metadata, held.metadata);
    if (before !== held && !isKnown) this.#guard.onHeld(wanted, held);
  }

  /** With times later than those of what is there. */
  #asNewest(wanted: KongVersion, fresh: SnapshotMetadata): SnapshotMetadata {
    const age = this.#entries.get(wanted)?.age;
    if (age === undefined || isBetter(wanted, fresh, age)) return fresh;
    const { controlPlaneTimestamp: made } = fresh;
    return {
      ...fresh,
      exportedAt: new Date(Math.max(fresh.exportedAt.getTime(), age.exportedAt.getTime() + 1)),
      controlPlaneTimestamp:
        made && Math.max(made, (age.controlPlaneTimestamp ?? 0) + LATER_SECONDS),
    };
  }

  /** Undefined if it is none, or another copy of what is there, which is as new as that then. */
  #newer(wanted: KongVersion, fresh: SnapshotMetadata): SnapshotMetadata | undefined {
    const entry = this.#entries.get(wanted);
    if (entry === undefined) return fresh;
    if (!isBetter(wanted, fresh, entry.age)) return undefined;
    const { metadata } = entry.servable;
    if (fresh.kongVersion !== metadata.kongVersion || !isSameConfig(fresh, metadata)) return fresh;
    this.#entries.set(wanted, { ...entry, age: fresh });
    return undefined;
  }
}

/** `frame`: the message the config came in, to be sent again as it is; absent: one is made. */
export async function packSnapshot(
  offer: Offer,
  origin: Origin,
  frame?: Uint8Array,
): Promise<Servable> {
  const { config, metadata, wanted = metadata.kongVersion, isMeasured = true } = offer;
  const { configHash, hashes, bytes, controlPlaneTimestamp } = metadata;
  return {
    frame:
      frame ??
      (await encodeReconfigure({
        configTable: config,
        configHash,
        hashes,
        timestamp: controlPlaneTimestamp,
      })),
    configHash,
    plugins: configuredPlugins(config),
    kongVersion: wanted,
    bytes,
    controlPlaneTimestamp,
    takenAt: takenAt(metadata),
    origin,
    metadata,
    counts: countsOf(offer),
    isMeasured,
  };
}

function countsOf({ config, metadata }: Offer): EntityCounts {
  return metadata.entities ?? countEntities(config);
}

/** The snapshot itself, its config unpacked anew: use it and let it go. */
export async function unpackSnapshot({ frame, metadata }: Servable): Promise<NewSnapshot> {
  // It was within the limit when it was packed; only what stands around the config may be longer.
  const { configTable } = await decodeReconfigure(frame, { maxConfigBytes: constants.MAX_LENGTH });
  return { config: configTable, metadata };
}
