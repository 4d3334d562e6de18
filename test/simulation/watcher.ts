/** A reader with a memory, as `serve` is one: it looks at all stores again and again, and takes what is newer than what it has. */

import type { Log } from "../../src/core/log.ts";
import { Shelf } from "../../src/sidecar/shelf/shelf.ts";
import { StoreWatch } from "../../src/sidecar/shelf/store-watch.ts";
import { type SnapshotReader, StoreReader } from "../../src/snapshots/reader.ts";
import { ReplicaReader } from "../../src/snapshots/replicas.ts";
import { isRestored } from "../../src/snapshots/restored.ts";
import type { Seal } from "../../src/snapshots/seal/seal.ts";
import type { SnapshotMetadata } from "../../src/snapshots/snapshot.ts";
import { V391 } from "../fakes/config.ts";
import type { ControlPlane } from "./control-plane.ts";
import type { Machine } from "./machine.ts";
import { Order } from "./order.ts";
import type { Schedule } from "./schedule.ts";
import { MAX_CONFIG_BYTES } from "./seat.ts";
import type { StorePath } from "./store-path.ts";
import type { Variant } from "./variant.ts";
import { Violation } from "./violation.ts";

const LOOK_MS = 5_000;

export interface WatcherOptions {
  /** One to each store. */
  readonly paths: readonly StorePath[];
  readonly seal: Seal;
  readonly machine: Machine;
  readonly controlPlane: ControlPlane;
  readonly schedule: Schedule;
  readonly variant: Variant;
  readonly log: Log;
  readonly note: (text: () => string) => void;
  /** Takes what was thrown: a Violation, or a bug. */
  readonly onBroken: (error: unknown) => void;
}

export class Watcher {
  readonly machine: Machine;
  readonly #options: WatcherOptions;
  readonly #order: Order;
  readonly #reader: SnapshotReader;
  #shelf: Shelf;
  /** Moves to an older config that was written, rightly, after somebody had put away the newer one: under a higher token. */
  misled = 0;

  constructor(options: WatcherOptions) {
    this.#options = options;
    this.machine = options.machine;
    this.#order = new Order(options.controlPlane);
    this.#reader = openReader(options);
    this.#shelf = this.#newShelf();
    this.#run().catch(options.onBroken);
  }

  /** Throws Violation, if it does not have the newest config. */
  settled(): void {
    if (this.#order.current?.configHash === this.#options.controlPlane.newestHash) return;
    throw new Violation("the watching reader does not have the newest config");
  }

  async #run(): Promise<never> {
    const { machine, variant } = this.#options;
    const { signal } = new AbortController();
    let watch = this.#watch();
    for (;;) {
      await watch.look(signal);
      await machine.sleep(LOOK_MS, signal);
      if (variant.isForgetful) {
        this.#shelf = this.#newShelf();
        watch = this.#watch();
      }
    }
  }

  #watch(): StoreWatch {
    const { machine: clock, log } = this.#options;
    const reader = this.#reader;
    return new StoreWatch({ reader, kongVersion: V391, shelf: this.#shelf, clock, log });
  }

  #newShelf(): Shelf {
    const { onBroken, schedule } = this.#options;
    const shelf = new TimelessShelf(schedule);
    shelf.onNewer((_, { metadata }) => {
      try {
        this.#took(metadata);
      } catch (error) {
        onBroken(error);
      }
    });
    return shelf;
  }

  #took(metadata: SnapshotMetadata): void {
    const { controlPlane, note, variant } = this.#options;
    const { current, highest } = this.#order;
    const index = this.#order.indexOf(metadata);
    note(() => `reader: has change ${index} under token ${metadata.fencingToken}`);
    if (controlPlane.isBad(metadata.configHash)) {
      throw new Violation("a reader took a config that a gate refuses");
    }
    if (isRestored(metadata)) {
      this.#order.restart(metadata);
      return;
    }
    if (this.#order.step(metadata) !== "backwards") return;
    if (!variant.isHostile || metadata.fencingToken <= (current?.fencingToken ?? 0)) {
      throw new Violation(`a reader that had change ${highest} took change ${index}`);
    }
    this.misled += 1;
    this.#order.restart(metadata);
  }
}

function openReader(options: WatcherOptions): SnapshotReader {
  const { paths, seal, variant, machine: clock, log } = options;
  const requireRehearsed = variant.gates?.rehearsal === true;
  const common = { seal, kongVersion: V391, maxConfigBytes: MAX_CONFIG_BYTES, log };
  const readers = paths.map((store) => new StoreReader({ ...common, store, requireRehearsed }));
  const [only, ...others] = readers;
  if (only !== undefined && others.length === 0) return only;
  return new ReplicaReader({ readers, kongVersion: V391, clock, log });
}

/** No time passes while it packs. */
class TimelessShelf extends Shelf {
  readonly #schedule: Schedule;

  constructor(schedule: Schedule) {
    super();
    this.#schedule = schedule;
  }

  override offer(...args: Parameters<Shelf["offer"]>): Promise<boolean> {
    return this.#schedule.hold(super.offer(...args));
  }
}
