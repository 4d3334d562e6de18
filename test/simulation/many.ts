/** Many worlds one after the other, and what was seen in them. */

import type { Key } from "../../src/store/port.ts";
import { type Life, type LifeOptions, live } from "./run.ts";
import { SharedStore } from "./shared-store.ts";

/** `SEED=1234 npx vitest run test/simulation` lives that world alone, and prints all that happens in it. */
export const SEED = process.env["SEED"] === undefined ? undefined : Number(process.env["SEED"]);

/** `SIMULATION_SEEDS=100000` for a longer run. Of the worlds one half has versions like generations, the other like S3's. */
export const SEEDS = Number(process.env["SIMULATION_SEEDS"] ?? 2_000);

/** How many kinds of faults there are: six that befall an exporter, three a read, and five a write. */
export const FAULT_KINDS = 14;

export interface Totals {
  worlds: number;
  events: number;
  nodesApart: number;
  unheardReturns: number;
  readonly faults: Map<string, number>;
}

export interface ManyOptions extends Omit<LifeOptions, "seed" | "store"> {
  /** Key at which the store ignores conditions. */
  readonly unconditional?: Key;
}

/** The world of an even seed has versions like generations, of an odd one like S3's. */
export function liveIn(
  seed: number,
  { unconditional, ...options }: ManyOptions = {},
): Promise<Life> {
  const versions = seed % 2 === 0 ? "generation" : "digest";
  const store = new SharedStore({ versions, ...(unconditional && { unconditional }) });
  return live({ ...options, seed, store });
}

export class SeedFailed extends Error {
  override readonly name = "SeedFailed";
}

/** Throws SeedFailed, which names the seed and has its trace, for the first world in which a promise is broken. */
export async function liveThrough(
  seeds: Iterable<number>,
  options: ManyOptions = {},
): Promise<Totals> {
  const faults = new Map<string, number>();
  const totals = { worlds: 0, events: 0, nodesApart: 0, unheardReturns: 0, faults };
  for (const seed of seeds) {
    const life = await liveIn(seed, options);
    if (life.broken !== undefined) {
      const { trace } = await liveIn(seed, { ...options, isTraced: true });
      const end = trace.slice(-40).join("\n");
      throw new SeedFailed(`seed ${seed}: ${life.broken}\n${end}`, { cause: life.broken });
    }
    totals.worlds += 1;
    totals.events += life.events;
    totals.nodesApart += life.nodesApart;
    totals.unheardReturns += life.unheardReturns;
    for (const [kind, count] of life.faults) faults.set(kind, (faults.get(kind) ?? 0) + count);
  }
  return totals;
}

export function* seedsFrom(first: number, step: number, last: number): Iterable<number> {
  for (let seed = first; seed <= last; seed += step) yield seed;
}

/** For people, on stderr. */
export function report(what: string, totals: Totals): void {
  const faults = [...totals.faults].sort(([a], [b]) => (a < b ? -1 : 1));
  const lines = [
    `${what}: ${totals.worlds} seeds, ${totals.events} events; faults injected:`,
    ...faults.map(([kind, count]) => `${String(count).padStart(9)}  ${kind}`),
    `limits met (docs/format.md, "Clocks"): nodes of the control plane apart ${totals.nodesApart}, unheard returns ${totals.unheardReturns}`,
  ];
  process.stderr.write(`${lines.join("\n")}\n`);
}
