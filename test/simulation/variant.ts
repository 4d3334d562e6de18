/** What a world has beyond one store, plain objects, no gates and nobody who means harm. */

import type { LeaseElectionOptions } from "../../src/election/lease-election.ts";
import type { Election } from "../../src/election/port.ts";
import type { Seal } from "../../src/snapshots/seal/seal.ts";
import type { StorePath } from "./store-path.ts";

/** Of those who write, and of those who read. */
export interface Seals {
  readonly exporter: Seal;
  readonly reader: Seal;
}

/** Each that is true is in force. */
export interface Gates {
  readonly guard: boolean;
  readonly rehearsal: boolean;
}

export interface Variant {
  readonly seals?: Seals;
  /** Somebody who writes to the bucket as he likes. */
  readonly isHostile?: boolean;
  /** Some configs are such that a gate holds them back, whether or not it is in force. */
  readonly gates?: Gates;
  /** Where the lease does not lie in the store itself: `path` leads to another one. */
  readonly election?: (options: LeaseElectionOptions, path: StorePath) => Election;
  /** Nearly every change of the control plane is back to the config before. */
  readonly flickers?: boolean;
  /** Machines are suspended now and then. Whoever holds the lease does not hear of it, so there may be two for a while. */
  readonly suspends?: boolean;
  /** Somebody who looks after the stores meanwhile, see Operator. A lease that he deletes may have two holders for a moment. */
  readonly hasOperator?: boolean;
  /** Nobody looks after what lies in the store while nothing changes. */
  readonly isNeglected?: boolean;
  /** An exporter of another Kong cluster uses the same stores, from when they hold a config. */
  readonly hasStranger?: boolean;
  /** Whether the watching reader takes whatever it finds. */
  readonly isForgetful?: boolean;
}
