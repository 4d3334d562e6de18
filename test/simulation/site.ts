/** One store of a world with what is judged there, and a reader that looks after every write. */

import { Archive } from "../../src/snapshots/archive.ts";
import { currentKey } from "../../src/snapshots/layout.ts";
import type { Seal } from "../../src/snapshots/seal/seal.ts";
import { metadataOf, type Sighting, sightCurrent } from "../../src/snapshots/sighting.ts";
import type { SnapshotMetadata } from "../../src/snapshots/snapshot.ts";
import { type Key, type Store, type StoredObject, StoreError } from "../../src/store/port.ts";
import { V391 } from "../fakes/config.ts";
import { Checker } from "./checker.ts";
import type { ControlPlane } from "./control-plane.ts";
import { MAX_CONFIG_BYTES } from "./seat.ts";
import { SharedStore } from "./shared-store.ts";
import type { Seals } from "./variant.ts";
import { Violation } from "./violation.ts";

export const CURRENT: Key = currentKey(V391);

const always = new AbortController().signal;

export class Site {
  readonly store: Store;
  /** Where leases lie if not in the store: versions of an API server never come back. */
  readonly leases: Store = new SharedStore({ versions: "generation" });
  readonly checker: Checker;
  /** All that ever lay there as `config.json`. */
  readonly past: StoredObject[] = [];
  /** Everybody is cut off from it. */
  isDown = false;
  readonly #seals: Seals;

  constructor(store: Store, controlPlane: ControlPlane, seals: Seals) {
    this.store = store;
    this.checker = new Checker(controlPlane);
    this.#seals = seals;
  }

  /** What lies there, written just now by an exporter, as a reader sees it. Throws Violation. */
  async written(machine: string, warned: boolean): Promise<SnapshotMetadata | undefined> {
    const object = await this.#current();
    if (object === undefined) throw new Violation("nothing lies where an exporter wrote");
    this.past.push(object);
    const sighting = await sight(object, this.#seals.reader).catch((cause: unknown) => {
      throw new Violation("a reader cannot use what an exporter wrote", { cause });
    });
    if (sighting.kind === "sealed") throw new Violation("a reader cannot open what was written");
    const { metadata } = sighting.snapshot;
    this.checker.wrote(metadata, machine, warned);
    const { origin } = await this.reader.latest(always);
    if (origin.kind !== "current") throw new Violation(`a reader took one of the ${origin.kind}`);
    return metadata;
  }

  /** Somebody else put there what lies there now. */
  async meddled(): Promise<void> {
    this.checker.meddled(await this.#seen());
  }

  /** An operator restored what lies there now. */
  async restored(): Promise<void> {
    this.checker.restored(await this.#seen());
  }

  /** Another client of the store. */
  get reader(): Archive {
    return new Archive({
      store: this.store,
      kongVersion: V391,
      seal: this.#seals.reader,
      maxConfigBytes: MAX_CONFIG_BYTES,
      log: { debug: ignore, info: ignore, warn: ignore, error: ignore },
    });
  }

  /** As exporters see it; undefined for nothing that counts. */
  async #seen(): Promise<SnapshotMetadata | undefined> {
    const object = await this.#current();
    const sighting = object && (await sight(object, this.#seals.exporter).catch(() => undefined));
    return sighting && metadataOf(sighting);
  }

  async #current(): Promise<StoredObject | undefined> {
    try {
      return await this.store.get(CURRENT, { maxBytes: MAX_CONFIG_BYTES }, always);
    } catch (error) {
      if (error instanceof StoreError && error.code === "STORE_NOT_FOUND") return undefined;
      throw error;
    }
  }
}

function sight(object: StoredObject, seal: Seal): Promise<Sighting> {
  return sightCurrent(object, "config.json", {
    seal,
    kongVersion: V391,
    maxConfigBytes: MAX_CONFIG_BYTES,
  });
}

function ignore(): void {}
