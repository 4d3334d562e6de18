/** What must hold in every world, whatever goes wrong there. */

import type { Leadership } from "../../src/election/port.ts";
import { currentKey } from "../../src/snapshots/layout.ts";
import type { SnapshotMetadata } from "../../src/snapshots/snapshot.ts";
import { verifySnapshot } from "../../src/snapshots/verify.ts";
import type { StoredObject } from "../../src/store/port.ts";
import { V391 } from "../fakes/config.ts";
import type { ControlPlane } from "./control-plane.ts";
import type { ExporterProcess } from "./exporter-process.ts";

/** Thrown for a promise that is broken. */
export class Violation extends Error {
  override readonly name = "Violation";
}

export class Checker {
  readonly #controlPlane: ControlPlane;
  /** Hashes, as the names of the history have them, that were ever there. */
  readonly #kept = new Set<string>();
  /** Machine that wrote under each token. */
  readonly #writers = new Map<number, string>();
  #newestToken = 0;
  #token = 0;
  #highest = 0;
  #current: SnapshotMetadata | undefined;
  /** Moves to a config that a node of the control plane still served a moment before: nothing else is promised. */
  nodesApart = 0;
  /** Moves from a config that had come again unnoticed to one made before it came again (docs/format.md, "Clocks"). */
  unheardReturns = 0;

  constructor(controlPlane: ControlPlane) {
    this.#controlPlane = controlPlane;
  }

  get current(): SnapshotMetadata | undefined {
    return this.#current;
  }

  /** An entry of the history was written, under this key. */
  kept(key: string): void {
    const [, hash] = /-([0-9a-f]{12})\.json\.gz$/.exec(key) ?? [];
    if (hash !== undefined) this.#kept.add(hash);
  }

  /** `config.json` was written by this machine; `warned`: which had said that the one before is not in the history. */
  wrote(object: StoredObject, machine: string, warned: boolean): void {
    const { metadata } = verifySnapshot(object, V391, currentKey(V391));
    if (metadata === undefined) throw new Violation("an object without metadata");
    this.#checkOrder(metadata);
    this.#checkToken(metadata, machine);
    this.#checkHistory(warned);
    this.#current = metadata;
  }

  told(leadership: Leadership): void {
    if (leadership.kind === "follower") return;
    const { token } = leadership;
    if (token <= this.#newestToken) {
      throw new Violation(`a holder with token ${token} after one with ${this.#newestToken}`);
    }
    this.#newestToken = token;
  }

  /** Between any two moments. */
  holders(processes: readonly ExporterProcess[]): void {
    const holders = processes.filter(({ isActiveHolder }) => isActiveHolder);
    if (holders.length <= 1) return;
    const names = holders.map(({ machine }) => machine.name).join(" and ");
    throw new Violation(`holders at one time: ${names}`);
  }

  /** Whether `settled` has nothing to say. */
  isSettled(processes: readonly ExporterProcess[]): boolean {
    try {
      this.settled(processes);
      return true;
    } catch (error) {
      if (error instanceof Violation) return false;
      throw error;
    }
  }

  /** Some time after nothing goes wrong any more. */
  settled(processes: readonly ExporterProcess[]): void {
    const { newestHash } = this.#controlPlane;
    if (this.#current?.configHash !== newestHash) {
      throw new Violation("the newest config is not the current one");
    }
    const holders = processes.filter(({ isActiveHolder }) => isActiveHolder);
    if (holders.length !== 1) throw new Violation(`${holders.length} holders`);
    const leadership = holders[0]?.leadership;
    if (leadership?.kind !== "holder" || leadership.token !== this.#current?.fencingToken) {
      throw new Violation("the current config is not under the holder's token");
    }
    this.#checkHistory(false);
  }

  #checkHistory(warned: boolean): void {
    const hash = this.#current?.configHash?.slice(0, 12);
    if (hash === undefined || warned || this.#kept.has(hash)) return;
    throw new Violation(`${hash} was current and is not in the history`);
  }

  #checkToken({ fencingToken }: SnapshotMetadata, machine: string): void {
    if (fencingToken < this.#token) {
      throw new Violation(`token ${fencingToken} after ${this.#token}`);
    }
    this.#token = fencingToken;
    const writer = this.#writers.get(fencingToken);
    if (writer !== undefined && writer !== machine) {
      throw new Violation(`${machine} and ${writer} wrote under token ${fencingToken}`);
    }
    this.#writers.set(fencingToken, machine);
  }

  #checkOrder({ configHash, controlPlaneTimestamp }: SnapshotMetadata): void {
    const { changes, spreadMs } = this.#controlPlane;
    const index = this.#controlPlane.changeOf(configHash, controlPlaneTimestamp);
    if (index === undefined) throw new Violation(`nobody made ${configHash}`);
    if (index < this.#highest) {
      const seenAtMs = changes[this.#highest]?.atMs ?? 0;
      const outdatedAtMs = changes[index + 1]?.atMs ?? 0;
      if (spreadMs === 0 || seenAtMs - outdatedAtMs > spreadMs) {
        throw new Violation(`config of change ${index} after that of change ${this.#highest}`);
      }
      this.nodesApart += 1;
    } else {
      const before = this.#controlPlane.newestWith(this.#current?.configHash);
      if (this.#controlPlane.newestWith(configHash) < before) this.unheardReturns += 1;
    }
    this.#highest = Math.max(this.#highest, index);
  }
}
