/** The variants of the world that are lived through, and how often; `SIMULATION_SEEDS` scales them as the plain one. */

import { quickSeals } from "../fakes/quick-seals.ts";
import { roles } from "../fakes/seals.ts";
import { leaseElection } from "./lease-api.ts";
import { type ManyOptions, SEEDS_SCALE } from "./many.ts";

export interface LivedVariant {
  readonly name: string;
  readonly seeds: number;
  readonly options: ManyOptions;
}

const seals = quickSeals();
const gates = { guard: true, rehearsal: true };

export const VARIANTS: readonly LivedVariant[] = [
  lived("sealed objects", 200, { variant: { seals } }),
  lived("objects sealed by age itself", 4, { variant: { seals: await roles() } }),
  lived("gates", 60, { variant: { gates } }),
  lived("somebody who writes to the bucket", 150, { variant: { seals, gates, isHostile: true } }),
  lived("machines that are suspended", 100, { variant: { suspends: true } }),
  lived("an operator", 100, { variant: { hasOperator: true } }),
  lived("an exporter of another cluster", 60, { variant: { hasStranger: true } }),
  lived("two stores", 50, { stores: 2 }),
  lived("three stores, sealed, with gates", 20, { stores: 3, variant: { seals, gates } }),
  lived("leases in Kubernetes", 60, { variant: { election: leaseElection } }),
];

function lived(name: string, seeds: number, options: ManyOptions): LivedVariant {
  return { name, seeds: Math.ceil(seeds * SEEDS_SCALE), options };
}
