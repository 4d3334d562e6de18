/** What can be served now: per Kong version the best snapshot, wherever it was found, in the form in which data planes get it. */

import { constants } from "node:buffer";
import { configuredPlugins } from "../../kong/plugins.ts";
import { decodeReconfigure, encodeReconfigure } from "../../kong/reconfigure.ts";
import type { KongVersion } from "../../kong/version.ts";
import { isBetter, isSameConfig } from "../../snapshots/order.ts";
import { type NewSnapshot, type SnapshotMetadata, takenAt } from "../../snapshots/snapshot.ts";

/** Where a config was found: passing by from the control plane, on the local disk, in the store. */
export type Origin = "memory" | "disk" | "store";

/** A verified snapshot as it was found. */
export interface Offer extends NewSnapshot {
  /** Kong version that it is to be served for; absent: the one that it was saved for. */
  readonly wanted?: KongVersion;
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
   * Takes a verified snapshot if it is better than what is there and another one. What passes by
   * from the control plane is newer than all that was there before, whatever the clocks say: where
   * they contradict, its times are moved up, so that it stays the newer one after a restart, too.
   * Resolves to whether it did, when the listeners have been called. `frame`: see `packSnapshot`.
   */
  async offer(offer: Offer, origin: Origin, frame?: Uint8Array): Promise<boolean> {
    const { wanted = offer.metadata.kongVersion } = offer;
    const current = (): SnapshotMetadata =>
      origin === "memory" ? this.#asNewest(wanted, offer.metadata) : offer.metadata;
    if (!this.#takes(wanted, current())) return false;
    const packed = await packSnapshot(offer, origin, frame);
    // Packing takes time: a better one may have come meanwhile.
    const metadata = current();
    if (!this.#takes(wanted, metadata)) return false;
    const { controlPlaneTimestamp } = metadata;
    const servable = { ...packed, controlPlaneTimestamp, takenAt: takenAt(metadata), metadata };
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

/** `frame`: the message the config came in, to be sent again as it is; absent: one is made. */
export async function packSnapshot(
  { config, metadata, wanted = metadata.kongVersion }: Offer,
  origin: Origin,
  frame?: Uint8Array,
): Promise<Servable> {
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
  };
}

/** The snapshot itself, its config unpacked anew: use it and let it go. */
export async function unpackSnapshot({ frame, metadata }: Servable): Promise<NewSnapshot> {
  // It was within the limit when it was packed; only what stands around the config may be longer.
  const { configTable } = await decodeReconfigure(frame, { maxConfigBytes: constants.MAX_LENGTH });
  return { config: configTable, metadata };
}
