/** Whether what a reader sees goes backwards, by the order of the control plane's changes. */

import type { SnapshotMetadata } from "../../src/snapshots/snapshot.ts";
import type { ControlPlane } from "./control-plane.ts";
import { Violation } from "./violation.ts";

/** "nodes apart": to a config that a node of the control plane still served a moment before; "unheard return": from one that had come again unnoticed to one made before it came again (docs/format.md, "Clocks"). Nothing else is promised there. */
export type Step = "onward" | "nodes apart" | "unheard return" | "backwards";

export class Order {
  readonly #controlPlane: ControlPlane;
  #highest = 0;
  #current: SnapshotMetadata | undefined;

  constructor(controlPlane: ControlPlane) {
    this.#controlPlane = controlPlane;
  }

  get current(): SnapshotMetadata | undefined {
    return this.#current;
  }

  /** Of the newest change seen. */
  get highest(): number {
    return this.#highest;
  }

  /** Throws Violation for a config that the control plane never made. */
  step(metadata: SnapshotMetadata): Step {
    const index = this.indexOf(metadata);
    const step = this.#judge(index, metadata);
    this.#current = metadata;
    this.#highest = Math.max(this.#highest, index);
    return step;
  }

  /** From here on. */
  restart(metadata: SnapshotMetadata | undefined): void {
    this.#current = metadata;
    this.#highest = metadata === undefined ? 0 : this.indexOf(metadata);
  }

  /** Of the change that led to it. Throws as `step`. */
  indexOf(metadata: SnapshotMetadata): number {
    const index = this.#controlPlane.changeOf(metadata);
    if (index === undefined) throw new Violation(`nobody made ${metadata.configHash}`);
    return index;
  }

  #judge(index: number, { configHash }: SnapshotMetadata): Step {
    const { changes, spreadMs } = this.#controlPlane;
    // Written once more, by one who received it at an earlier change to it.
    if (configHash !== undefined && configHash === this.#current?.configHash) return "onward";
    if (index < this.#highest) {
      const seenAtMs = changes[this.#highest]?.atMs ?? 0;
      const outdatedAtMs = changes[index + 1]?.atMs ?? 0;
      const isApart = spreadMs > 0 && seenAtMs - outdatedAtMs <= spreadMs;
      return isApart ? "nodes apart" : "backwards";
    }
    const before = this.#controlPlane.newestWith(this.#current?.configHash);
    return this.#controlPlane.newestWith(configHash) < before ? "unheard return" : "onward";
  }
}
