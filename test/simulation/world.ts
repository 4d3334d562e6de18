/** One world by its number: exporters, a store, a control plane, a time of faults, and a time in which all must come right. */

import type { Log } from "../../src/core/log.ts";
import { Archive } from "../../src/snapshots/archive.ts";
import { currentKey } from "../../src/snapshots/layout.ts";
import { PLAIN_SEAL } from "../../src/snapshots/seal/open.ts";
import type { Key, Store } from "../../src/store/port.ts";
import { V391 } from "../fakes/config.ts";
import { seededRandom } from "../fakes/seeded-random.ts";
import { Checker } from "./checker.ts";
import { ControlPlane } from "./control-plane.ts";
import { ExporterProcess, MAX_CONFIG_BYTES } from "./exporter-process.ts";
import { Faults } from "./faults.ts";
import { Machine } from "./machine.ts";
import { takeOverGlobals } from "./machine-globals.ts";
import { Schedule } from "./schedule.ts";
import { SourcePath } from "./source-path.ts";
import { StorePath } from "./store-path.ts";

/** Clocks of exporters differ by as much, either way. */
const MAX_WALL_SKEW_MS = 60_000;
/** Two percent apart, at the most. */
const MAX_DRIFT = 0.01;

export interface WorldOptions {
  readonly seed: number;
  /** As a fresh store that all share. */
  readonly store: Store;
  /** Whether to keep a trace. */
  readonly isTraced?: boolean;
}

export class World implements Disposable {
  readonly schedule: Schedule;
  readonly faults: Faults;
  readonly controlPlane: ControlPlane;
  readonly checker: Checker;
  readonly trace: string[] = [];
  /** The newest process of each exporter. */
  readonly exporters: ExporterProcess[] = [];
  readonly random: () => number;
  readonly #options: WorldOptions;
  readonly #globals: Disposable;
  readonly #retention: { readonly maxCount?: number };
  #machines = 0;

  constructor(options: WorldOptions) {
    this.#options = options;
    this.random = seededRandom(options.seed);
    this.schedule = new Schedule(this.random);
    this.faults = new Faults(this.schedule, (text) => this.note(text));
    this.controlPlane = new ControlPlane(this.schedule, 1 + Math.floor(this.random() * 3));
    this.checker = new Checker(this.controlPlane);
    this.#retention = this.random() < 0.5 ? { maxCount: 3 } : {};
    this.#globals = takeOverGlobals(this.schedule);
  }

  /** From the lower bound up to the upper one. */
  between(low: number, high: number): number {
    return low + this.random() * (high - low);
  }

  note(text: () => string): void {
    if (!this.#options.isTraced) return;
    this.trace.push(`${(this.schedule.nowMs / 1000).toFixed(3).padStart(9)}  ${text()}`);
  }

  /** A new process of the exporter at this place. */
  start(place: number): void {
    this.#machines += 1;
    const id = `exporter-${place + 1}`;
    const { schedule, faults, controlPlane } = this;
    const machine = new Machine({
      name: `${id}/${this.#machines}`,
      schedule,
      rate: 1 + this.between(-MAX_DRIFT, MAX_DRIFT),
      skewMs: this.between(-MAX_WALL_SKEW_MS, MAX_WALL_SKEW_MS),
    });
    const saying = { failures: 0 };
    const log = this.#log(machine, saying);
    let told = 0;
    const onPut = (key: Key) => {
      const warned = key === currentKey(V391) && saying.failures > told;
      if (key === currentKey(V391)) told = saying.failures;
      return () => this.#happened(key, machine, warned);
    };
    const { store } = this.#options;
    const path = new StorePath({ store, machine, schedule, faults, onPut });
    const source = new SourcePath({ controlPlane, machine, schedule, faults });
    this.note(() => `${machine.name}: started`);
    schedule.running = machine;
    this.exporters[place] = new ExporterProcess({
      ...{ id, machine, path, source, log },
      retention: this.#retention,
      random: this.random,
      onLeadership: (leadership) => {
        this.note(() => `${machine.name}: ${JSON.stringify(leadership)}`);
        this.#judge(() => this.checker.told(leadership));
      },
    });
    schedule.running = undefined;
  }

  change(): void {
    const change = this.controlPlane.change();
    const index = this.controlPlane.changes.length - 1;
    this.note(() => `control plane: change ${index} to ${change.name}`);
  }

  /** Lets time pass; throws Violation, and whatever an exporter ended with. */
  async pass(ms: number): Promise<void> {
    await this.schedule.pass(ms, () => {
      this.#judge(() => this.checker.holders(this.exporters));
      for (const { ended } of this.exporters) if (ended?.error !== undefined) throw ended.error;
      if (this.#broken !== undefined) throw this.#broken.error;
    });
  }

  /** Another client of the store. */
  get reader(): Archive {
    const { store } = this.#options;
    const log = { debug: ignore, info: ignore, warn: ignore, error: ignore };
    return new Archive({
      store,
      kongVersion: V391,
      seal: PLAIN_SEAL,
      maxConfigBytes: MAX_CONFIG_BYTES,
      log,
    });
  }

  [Symbol.dispose](): void {
    for (const { machine } of this.exporters) machine.isDead = true;
    this.#globals[Symbol.dispose]();
  }

  /** What an exporter is in the midst of must not swallow it. */
  #broken: { readonly error: unknown } | undefined;

  #judge(check: () => void): void {
    try {
      check();
    } catch (error) {
      this.#broken ??= { error };
    }
  }

  async #happened(key: Key, machine: Machine, warned: boolean): Promise<void> {
    if (key !== currentKey(V391)) {
      this.checker.kept(key);
      return;
    }
    const { signal } = new AbortController();
    const object = await this.#options.store.get(key, { maxBytes: MAX_CONFIG_BYTES }, signal);
    this.note(() => {
      const { metadata } = object;
      const index = this.controlPlane.changeOf(
        metadata["config-hash"],
        Number(metadata["control-plane-timestamp"]),
      );
      return `${machine.name}: config.json is change ${index} under token ${metadata["fencing-token"]}`;
    });
    this.#judge(() => this.checker.wrote(object, machine.name, warned));
    const found = await this.reader.latest(signal);
    if (found.origin.kind !== "current") this.#judge(() => assertCurrent(found.origin.kind));
  }

  #log(machine: Machine, saying: { failures: number }): Log {
    const say = (level: string) => (fields: object, message: string) => {
      if (message.startsWith("snapshot not kept in the history")) saying.failures += 1;
      this.note(() => {
        const code = "err" in fields ? ` ${String(fields.err)}` : "";
        return `${machine.name}: ${level} ${message}${code}`;
      });
    };
    return { debug: ignore, info: say("info"), warn: say("warn"), error: say("error") };
  }
}

function ignore(): void {}

function assertCurrent(kind: string): void {
  if (kind !== "current") throw new Error(`a reader had to take one of the ${kind}`);
}
