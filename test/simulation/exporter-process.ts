/** One exporter as a process: the real one, wired as `export` wires it, on a machine of its own. */

import type { Log } from "../../src/core/log.ts";
import { Exporter } from "../../src/exporter/exporter.ts";
import { V391 } from "../fakes/config.ts";
import type { Machine } from "./machine.ts";
import type { RehearsalKong } from "./rehearsal-kong.ts";
import type { Seat } from "./seat.ts";
import type { SourcePath } from "./source-path.ts";

const SHUTDOWN_MS = 10_000;

export interface ExporterProcessOptions {
  readonly id: string;
  readonly machine: Machine;
  /** One for each store. */
  readonly seats: readonly Seat[];
  readonly source: SourcePath;
  readonly kong: RehearsalKong;
  readonly random: () => number;
  readonly log: Log;
}

export class ExporterProcess {
  readonly machine: Machine;
  readonly seats: readonly Seat[];
  readonly source: SourcePath;
  readonly kong: RehearsalKong;
  /** Set once it has ended by itself; `error` is a bug. */
  ended: { readonly error: unknown } | undefined;
  isStopping = false;
  readonly #stop = new AbortController();
  readonly #deadline = new AbortController();

  constructor(options: ExporterProcessOptions) {
    const { id, machine, seats, source, kong, random, log } = options;
    this.machine = machine;
    this.seats = seats;
    this.source = source;
    this.kong = kong;
    const exporter = new Exporter({
      writers: seats.map(({ writer }) => writer),
      exporterId: id,
      kongVersion: V391,
      hashCheckMaxBytes: 0,
      metrics: {
        ...{ connected: () => {}, received: () => {}, rejected: () => {}, saved: () => {} },
        ...{ confirmed: () => {}, withheld: () => {} },
      },
      ...{ source, clock: machine, random, log },
    });
    exporter.run(this.#stop.signal, this.#deadline.signal).then(
      () => this.#end(undefined),
      (error: unknown) => this.#end(error),
    );
  }

  get isRunning(): boolean {
    return this.ended === undefined && !this.machine.isDead;
  }

  /** As SIGTERM does. */
  terminate(): void {
    this.isStopping = true;
    this.#stop.abort(new Error("SIGTERM"));
    this.machine.after(SHUTDOWN_MS, () => this.#deadline.abort(new Error("deadline")));
  }

  /** Everything can be reached again. */
  mend(): void {
    for (const { path, leasePath } of this.seats) {
      path.cut = undefined;
      leasePath.cut = undefined;
    }
    this.source.mend();
    this.kong.isAway = false;
  }

  #end(error: unknown): void {
    this.ended = { error };
    for (const seat of this.seats) seat.leadership = undefined;
  }
}
