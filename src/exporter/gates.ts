/** Port to what a config must pass before it becomes current in a store, and the row of gates of one store. */

import type { EntityCounts } from "../kong/entity-counts.ts";
import type { GateName } from "./metrics.ts";
import type { ReceivedConfig } from "./received-config.ts";

/** A config that is about to become current in one store. */
export interface Candidate {
  readonly config: ReceivedConfig;
  /** Whether this very config is known to be current there, whoever made it so. */
  readonly isCurrent: boolean;
  /** Whether it is, and is known to have been rehearsed. */
  readonly isRehearsed: boolean;
  /** Of what is current there, or of the newest good one where that is damaged; undefined where there is none, it is this config, or no guard wants to know. */
  readonly currentCounts: EntityCounts | undefined;
}

/** `reasons`: sentences for people, the weightiest first; no values of the config. */
export type GateAnswer =
  | { readonly kind: "pass"; readonly rehearsed?: boolean }
  | { readonly kind: "held"; readonly reasons: readonly string[] };

export interface Gate {
  readonly name: GateName;
  /** To be asked before every save, repeated ones too. Rejects with ServiceError where it cannot tell now. */
  examine(candidate: Candidate, signal: AbortSignal): Promise<GateAnswer>;
}

export interface HeldConfig {
  readonly id: string;
  readonly by: GateName;
  readonly reasons: readonly string[];
}

/** What all gates together say. */
export type Decision =
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
export class Gates {
  readonly #gates: readonly Gate[];
  #held: HeldConfig | undefined;

  /** Asked in this order, the next one only where none before holds the config. */
  constructor(gates: readonly Gate[]) {
    this.#gates = gates;
  }

  /** The last that was held back, with the reasons of its last trial; undefined once another config, or this one, passed. */
  get held(): HeldConfig | undefined {
    return this.#held;
  }

  /**
   * All gates are asked about a config that is current, too, but none holds it back: there would be
   * nothing better to keep, and `snapshots restore` has the last word. Rejects as `Gate.examine`.
   */
  async decide(candidate: Candidate, signal: AbortSignal): Promise<Decision> {
    const { id } = candidate.config;
    let rehearsed = false;
    for (const gate of this.#gates) {
      const answer = await gate.examine(candidate, signal);
      if (answer.kind === "pass") {
        rehearsed ||= answer.rehearsed === true;
      } else if (!candidate.isCurrent) {
        const isNew = this.#held?.id !== id || this.#held.by !== gate.name;
        this.#held = { id, by: gate.name, reasons: answer.reasons };
        return { kind: "held", held: this.#held, isNew };
      }
    }
    const cleared = this.#held;
    this.#held = undefined;
    return { kind: "pass", rehearsed, cleared };
  }
}
