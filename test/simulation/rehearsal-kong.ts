/** The Kong in which one exporter rehearses: it takes its time, refuses some configs, and is away at times. */

import {
  RehearsalError,
  type RehearsalResult,
  type Rehearser,
} from "../../src/exporter/rehearsal.ts";
import type { ControlPlane } from "./control-plane.ts";
import type { Machine } from "./machine.ts";

const MAX_LOAD_MS = 2_000;
const TIMEOUT_MS = 5_000;

export class RehearsalKong implements Rehearser {
  isAway = false;
  readonly #controlPlane: ControlPlane;
  readonly #machine: Machine;
  readonly #random: () => number;

  constructor(controlPlane: ControlPlane, machine: Machine, random: () => number) {
    this.#controlPlane = controlPlane;
    this.#machine = machine;
    this.#random = random;
  }

  async rehearse(config: Uint8Array, signal: AbortSignal): Promise<RehearsalResult> {
    const loadMs = this.isAway ? TIMEOUT_MS : this.#random() * MAX_LOAD_MS;
    await this.#machine.sleep(loadMs, signal);
    if (this.isAway) throw new RehearsalError("REHEARSAL_UNAVAILABLE", "no answer");
    return this.#controlPlane.isFaulty(config)
      ? { kind: "refused", reasons: ["a plugin that is not there"] }
      : { kind: "passed" };
  }
}
