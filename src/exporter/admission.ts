/** What a config must pass before it becomes current in one store, and what is held back because it did not. */

import type { EntityCounts } from "../kong/entity-counts.ts";
import type { Arrival } from "./arrival.ts";
import type { GateName } from "./metrics.ts";

/** A config that is about to become current in one store. */
export interface Candidate {
  readonly arrival: Arrival;
  /** Whether it is known to be current there and to have been rehearsed. */
  readonly isRehearsed: boolean;
  /** Of what is current there, or of the newest good one where that is damaged; undefined where there is none. Rejects with ServiceError. */
  currentCounts(signal: AbortSignal): Promise<EntityCounts | undefined>;
}

/** `reasons`: sentences for people, the weightiest first; no values of the config. */
export type Verdict =
  | { readonly kind: "pass"; readonly rehearsed?: boolean }
  | { readonly kind: "held"; readonly reasons: readonly string[] };

export interface Gate {
  readonly name: GateName;
  /** To be asked before every save, repeated ones too. Rejects with ServiceError where it cannot tell now. */
  examine(candidate: Candidate, signal: AbortSignal): Promise<Verdict>;
}

export interface HeldConfig {
  readonly id: string;
  readonly by: GateName;
  readonly reasons: readonly string[];
}

export type Admitted =
  | {
      readonly kind: "pass";
      readonly rehearsed: boolean;
      /** What was held back until now. */
      readonly cleared: HeldConfig | undefined;
    }
  | {
      readonly kind: "held";
      readonly held: HeldConfig;
      /** Not the one that is held back already, or by another gate: worth an alarm. */
      readonly isNew: boolean;
    };

/** For one Kong version in one store. In memory only: after a restart the same config is held, and is new, again. */
export class Admission {
  readonly #gates: readonly Gate[];
  #held: HeldConfig | undefined;

  /** `gates` are asked in this order, the next one only where none before holds the config. */
  constructor(gates: readonly Gate[]) {
    this.#gates = gates;
  }

  /** The last that was held back, with the reasons of its last trial; undefined once another config, or this one, passed. */
  get held(): HeldConfig | undefined {
    return this.#held;
  }

  /**
   * `isCurrent`: this very config is current, whoever made it so. All gates are asked even then, but
   * none holds it back: there would be nothing better to keep, and `snapshots restore` has the last word.
   */
  async admit(candidate: Candidate, isCurrent: boolean, signal: AbortSignal): Promise<Admitted> {
    const { id } = candidate.arrival;
    let rehearsed = false;
    for (const gate of this.#gates) {
      const verdict = await gate.examine(candidate, signal);
      if (verdict.kind === "pass") {
        rehearsed ||= verdict.rehearsed === true;
      } else if (!isCurrent) {
        const isNew = this.#held?.id !== id || this.#held.by !== gate.name;
        this.#held = { id, by: gate.name, reasons: verdict.reasons };
        return { kind: "held", held: this.#held, isNew };
      }
    }
    const cleared = this.#held;
    this.#held = undefined;
    return { kind: "pass", rehearsed, cleared };
  }
}
