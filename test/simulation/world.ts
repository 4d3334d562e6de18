/** One world by its number: exporters, stores, a control plane, a watching reader, a time of faults, and a time in which all must come right. */

import type { Log } from "../../src/core/log.ts";
import { Rehearsal } from "../../src/exporter/rehearsal.ts";
import { PLAIN_SEAL } from "../../src/snapshots/seal/seal.ts";
import type { Key, Store } from "../../src/store/port.ts";
import { CLUSTER_1, CLUSTER_2 } from "../fakes/config.ts";
import { seededRandom } from "../fakes/seeded-random.ts";
import { type Change, ControlPlane } from "./control-plane.ts";
import { ExporterProcess } from "./exporter-process.ts";
import { Faults } from "./faults.ts";
import { Machine } from "./machine.ts";
import { Operator } from "./operator.ts";
import { RehearsalKong } from "./rehearsal-kong.ts";
import { Schedule } from "./schedule.ts";
import { Seat } from "./seat.ts";
import { CURRENT, Site } from "./site.ts";
import { SourcePath } from "./source-path.ts";
import { StorePath } from "./store-path.ts";
import { timeless } from "./timeless-seal.ts";
import { tracingLog, withoutIds } from "./tracing-log.ts";
import type { Seals, Variant } from "./variant.ts";
import { astrayMs } from "./wall-clock.ts";
import { Watcher } from "./watcher.ts";

/** Where clocks are looked after, those of exporters and readers differ by as much, either way. */
const MAX_WALL_SKEW_MS = 60_000;
/** Two percent apart, at the most. */
const MAX_DRIFT = 0.01;

export interface WorldOptions {
  readonly seed: number;
  /** Fresh ones, which all share. */
  readonly stores: readonly Store[];
  readonly variant?: Variant;
  /** Whether to keep a trace. */
  readonly isTraced?: boolean;
}

export class World implements Disposable {
  readonly schedule: Schedule;
  readonly faults: Faults;
  readonly controlPlane: ControlPlane;
  readonly sites: readonly Site[];
  readonly watcher: Watcher;
  /** One to each store, if the variant has any. */
  readonly operators: readonly Operator[];
  /** Of the watching reader, one to each store. */
  readonly watcherPaths: readonly StorePath[];
  readonly trace: string[] = [];
  /** The newest process of each exporter. */
  readonly exporters: ExporterProcess[] = [];
  readonly random: () => number;
  readonly variant: Variant;
  /** Whether nobody looks after the clocks: they are days off, are set, and come back. */
  readonly isAstray: boolean;
  readonly #options: WorldOptions;
  readonly #seals: Seals;
  readonly #retention: { readonly maxCount?: number };
  /** Of another Kong cluster. */
  readonly #strangers: ControlPlane;
  #stranger: ExporterProcess | undefined;
  #machines = 0;
  #broken: { readonly error: unknown } | undefined;

  constructor(options: WorldOptions) {
    const { seed, stores, variant = {} } = options;
    this.#options = options;
    this.variant = variant;
    this.random = seededRandom(seed);
    this.schedule = new Schedule(this.random);
    this.faults = new Faults(this.schedule, (text) => this.note(text));
    this.controlPlane = new ControlPlane(this.schedule, 1 + Math.floor(this.random() * 3), {
      flickers: variant.flickers === true,
      // Nothing orders several stores then but the exporters' own clocks.
      isUndated: stores.length === 1 && this.random() < 0.1,
      ...(variant.hasStranger ? { clusterId: CLUSTER_1 } : {}),
    });
    this.#strangers = new ControlPlane(this.schedule, 1, {
      ...{ flickers: false, isUndated: false, clusterId: CLUSTER_2 },
    });
    this.isAstray = this.random() < 0.5;
    for (const { clock } of this.controlPlane.nodes) {
      if (this.isAstray && this.random() < 0.5) clock.set(astrayMs(this.random));
    }
    const seals = variant.seals ?? { exporter: PLAIN_SEAL, reader: PLAIN_SEAL };
    this.#seals = {
      exporter: timeless(seals.exporter, this.schedule),
      reader: timeless(seals.reader, this.schedule),
    };
    this.sites = stores.map((store) => new Site(store, this.controlPlane, this.#seals));
    this.#retention = this.random() < 0.5 ? { maxCount: 3 } : {};
    this.operators = variant.hasOperator ? this.sites.map((site) => this.#operator(site)) : [];
    const machine = this.#machine("reader");
    this.watcherPaths = this.sites.map((site) => this.#path(site.store, machine));
    this.watcher = this.#watcher(machine);
  }

  /** From the lower bound up to the upper one. */
  between(low: number, high: number): number {
    return low + this.random() * (high - low);
  }

  note(text: () => string): void {
    if (!this.#options.isTraced) return;
    const seconds = (this.schedule.nowMs / 1000).toFixed(3).padStart(9);
    this.trace.push(`${seconds}  ${withoutIds(text())}`);
  }

  /** A new process of the exporter at this place. */
  start(place: number): void {
    this.exporters[place] = this.#process(`exporter-${place + 1}`, this.controlPlane);
  }

  /** The exporter of another cluster, once the stores hold the config of the one that they are for. */
  meetStranger(): void {
    if (this.#stranger !== undefined || !this.sites.every(({ checker }) => checker.hasKept)) return;
    this.#strangers.change();
    this.#stranger = this.#process("stranger", this.#strangers);
  }

  #process(id: string, controlPlane: ControlPlane): ExporterProcess {
    this.#machines += 1;
    const { schedule, faults, random } = this;
    const machine = this.#machine(`${id}/${this.#machines}`);
    const log = this.#log(machine);
    const source = new SourcePath({ controlPlane, machine, schedule, faults });
    const kong = new RehearsalKong(controlPlane, machine, random);
    const metrics = { rehearsed: () => {} };
    const rehearsal = new Rehearsal({ rehearser: kong, mode: "required", log, metrics });
    const gates = this.variant.gates?.rehearsal ? [rehearsal] : [];
    this.note(() => `${machine.name}: started`);
    const seats = this.sites.map((site) => this.#seat({ id, machine, gates, site }));
    return new ExporterProcess({ id, machine, seats, source, kong, random, log });
  }

  change(): void {
    const { controlPlane, random, sites, variant } = this;
    // Before, the guard has nothing to measure by.
    const isGuarded = variant.gates !== undefined && sites.every(({ checker }) => checker.hasKept);
    const isBad = isGuarded && random() < 0.4;
    if (isBad) this.changeToNew(random() < 0.5 ? "empty" : "faulty");
    else this.#changed(controlPlane.change());
  }

  /** See ControlPlane. */
  changeToNew(kind: "good" | "empty" | "faulty"): void {
    this.#changed(this.controlPlane.changeToNew(kind));
  }

  /** Lets time pass; throws Violation, and whatever an exporter ended with. */
  async pass(ms: number): Promise<void> {
    const { hasOperator, suspends } = this.variant;
    const mayBeTwo = hasOperator === true || suspends === true;
    await this.schedule.pass(ms, () => {
      // Nobody promises one holder where a lease is deleted under it, or its clock stands still.
      for (const [index, { checker }] of mayBeTwo ? [] : this.sites.entries()) {
        this.judge(() => checker.holders(this.seatsAt(index)));
      }
      const processes = [...this.exporters, ...(this.#stranger ? [this.#stranger] : [])];
      for (const { ended } of processes) if (ended?.error !== undefined) throw ended.error;
      if (this.#broken !== undefined) throw this.#broken.error;
    });
  }

  /** Throws Violation, if anything has not come right yet. */
  settled(): void {
    for (const [index, { checker }] of this.sites.entries()) checker.settled(this.seatsAt(index));
    this.watcher.settled();
  }

  seatsAt(site: number): readonly Seat[] {
    return this.exporters.flatMap(({ isRunning, seats }) => {
      const seat = seats[site];
      return isRunning && seat !== undefined ? [seat] : [];
    });
  }

  /** What an exporter is in the midst of must not swallow it. */
  judge(check: () => void): void {
    try {
      check();
    } catch (error) {
      this.#broke(error);
    }
  }

  #broke(error: unknown): void {
    this.#broken ??= { error };
  }

  [Symbol.dispose](): void {
    for (const { machine } of this.exporters) machine.isDead = true;
    if (this.#stranger !== undefined) this.#stranger.machine.isDead = true;
  }

  #changed({ name }: Change): void {
    this.note(() => `control plane: change ${this.controlPlane.changes.length - 1} to ${name}`);
  }

  #machine(name: string): Machine {
    return new Machine({
      name,
      schedule: this.schedule,
      rate: 1 + this.between(-MAX_DRIFT, MAX_DRIFT),
      skewMs:
        this.isAstray && this.random() < 0.5
          ? astrayMs(this.random)
          : this.between(-MAX_WALL_SKEW_MS, MAX_WALL_SKEW_MS),
    });
  }

  #path(store: Store, machine: Machine, onPut = NOTHING_PUT): StorePath {
    const { schedule, faults } = this;
    return new StorePath({ store, machine, schedule, faults, onPut });
  }

  #seat(part: SeatPart): Seat {
    const { machine, site } = part;
    const saying = { failures: 0 };
    let told = 0;
    const onPut = (key: Key) => {
      const warned = key === CURRENT && saying.failures > told;
      if (key === CURRENT) told = saying.failures;
      return () => this.#happened(key, site, machine, warned);
    };
    const path = this.#path(site.store, machine, onPut);
    const isApart = this.variant.election !== undefined;
    return new Seat({
      ...{ ...part, path, variant: this.variant, random: this.random },
      leasePath: isApart ? this.#path(site.leases, machine) : path,
      seal: this.#seals.exporter,
      retention: this.#retention,
      log: this.#log(machine, saying),
      onLeadership: (leadership) => {
        this.note(() => `${machine.name}: ${site.store.url} ${JSON.stringify(leadership)}`);
        this.judge(() => site.checker.told(leadership));
      },
    });
  }

  #operator(site: Site): Operator {
    const machine = this.#machine("operator");
    const onPut = (key: Key) => async () => {
      if (key === CURRENT) await site.restored();
      else site.checker.kept(key);
    };
    return new Operator({
      ...{ site, machine, random: this.random, log: this.#log(machine) },
      path: this.#path(site.store, machine, onPut),
      seal: this.#seals.exporter,
      onBug: (error) => this.#broke(error),
    });
  }

  #watcher(machine: Machine): Watcher {
    const { controlPlane, schedule, variant } = this;
    return new Watcher({
      ...{ machine, controlPlane, schedule, variant },
      paths: this.watcherPaths,
      seal: this.#seals.reader,
      log: this.#log(machine),
      note: (text) => this.note(text),
      onBroken: (error) => this.#broke(error),
    });
  }

  async #happened(key: Key, site: Site, machine: Machine, warned: boolean): Promise<void> {
    if (key !== CURRENT) return site.checker.kept(key);
    try {
      const metadata = await site.written(machine.name, warned);
      this.note(() => {
        const index = metadata && this.controlPlane.changeOf(metadata);
        const what = `config.json in ${site.store.url} is change ${index} under token ${metadata?.fencingToken}`;
        return `${machine.name}: ${what}`;
      });
    } catch (error) {
      this.#broke(error);
    }
  }

  #log({ name }: Machine, saying = { failures: 0 }): Log {
    return tracingLog(name, (text) => this.note(text), saying);
  }
}

interface SeatPart {
  readonly machine: Machine;
  readonly id: string;
  readonly gates: readonly Rehearsal[];
  readonly site: Site;
}

const NOTHING_PUT: (key: Key) => () => Promise<void> = () => async () => {};
