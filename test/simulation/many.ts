/** Many worlds one after the other, and what was seen in them. */

import type { Key } from "../../src/store/port.ts";
import { type Life, live } from "./run.ts";
import { SharedStore } from "./shared-store.ts";
import { Violation } from "./violation.ts";
import type { WorldOptions } from "./world.ts";

/** `SEED=1234 npx vitest run test/simulation` lives that world alone, and prints all that happens in it. */
export const SEED = process.env["SEED"] === undefined ? undefined : Number(process.env["SEED"]);

const STANDARD_SEEDS = 2_000;

/** `SIMULATION_SEEDS=100000` for a longer run. Of the worlds one half has versions like generations, the other like S3's. */
export const SEEDS = Number(process.env["SIMULATION_SEEDS"] ?? STANDARD_SEEDS);

/** By how much the variants are to be lived through more often than they are as a rule. */
export const SEEDS_SCALE = SEEDS / STANDARD_SEEDS;

export interface Totals {
  worlds: number;
  events: number;
  nodesApart: number;
  unheardReturns: number;
  misled: number;
  readonly faults: Map<string, number>;
}

export interface ManyOptions extends Omit<WorldOptions, "seed" | "stores"> {
  /** 1 if absent. */
  readonly stores?: number;
  /** Key at which the stores ignore conditions. */
  readonly unconditional?: Key;
}

/** The first store of an even seed has versions like generations, that of an odd one like S3's, and so in turn. */
export function liveIn(
  seed: number,
  { unconditional, stores: count = 1, ...options }: ManyOptions = {},
): Promise<Life> {
  const stores = Array.from({ length: count }, (_, index) => {
    const versions = (seed + index) % 2 === 0 ? "generation" : "digest";
    const url = `memory://${index + 1}`;
    return new SharedStore({ url, versions, ...(unconditional && { unconditional }) });
  });
  return live({ ...options, seed, stores });
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
  const totals = { worlds: 0, events: 0, nodesApart: 0, unheardReturns: 0, misled: 0, faults };
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
    totals.misled += life.misled;
    for (const [kind, count] of life.faults) faults.set(kind, (faults.get(kind) ?? 0) + count);
  }
  return totals;
}

/** Resolves to what is broken, as `expected` has it, in the first of so many worlds in which anything like that is; undefined where nothing is. */
export async function firstBroken(
  expected: RegExp,
  options: ManyOptions = {},
  seeds = 500,
): Promise<string | undefined> {
  for (const seed of seedsFrom(1, 1, seeds)) {
    const { broken } = await liveIn(seed, options);
    if (broken === undefined) continue;
    if (!(broken instanceof Violation)) throw broken;
    if (expected.test(broken.message)) return `seed ${seed}: ${broken.message}`;
  }
  return undefined;
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
    `limits met (docs/format.md): nodes of the control plane apart ${totals.nodesApart}, unheard returns ${totals.unheardReturns}, readers misled ${totals.misled}`,
  ];
  process.stderr.write(`${lines.join("\n")}\n`);
}
