/** What must hold in one store of every world, whatever goes wrong there. */

import type { Leadership } from "../../src/election/port.ts";
import { historyHash } from "../../src/snapshots/layout.ts";
import { replacedHashOf } from "../../src/snapshots/restored.ts";
import type { SnapshotMetadata } from "../../src/snapshots/snapshot.ts";
import type { ControlPlane } from "./control-plane.ts";
import { Order } from "./order.ts";
import type { Seat } from "./seat.ts";
import { Violation } from "./violation.ts";

export class Checker {
  readonly #controlPlane: ControlPlane;
  readonly #order: Order;
  /** Hashes, as the names of the history have them, that were ever there. */
  readonly #kept = new Set<string>();
  /** Machine that wrote under each token. */
  readonly #writers = new Map<number, string>();
  /** What an operator replaced by what lies there, as the names of the history have it. */
  #overruled: string | undefined;
  #newestToken = 0;
  #token = 0;
  nodesApart = 0;
  unheardReturns = 0;

  constructor(controlPlane: ControlPlane) {
    this.#controlPlane = controlPlane;
    this.#order = new Order(controlPlane);
  }

  get current(): SnapshotMetadata | undefined {
    return this.#order.current;
  }

  /** Whether the history has a config that was current. */
  get hasKept(): boolean {
    return this.#kept.size > 0;
  }

  /** An entry of the history was written, under this key. */
  kept(key: string): void {
    const [, hash] = /-([0-9a-f]{12})\.json\.gz$/.exec(key) ?? [];
    if (hash !== undefined) this.#kept.add(hash);
  }

  /** An exporter on this machine wrote `config.json`; `warned`: it had said that the one before is not in the history. */
  wrote(metadata: SnapshotMetadata | undefined, machine: string, warned: boolean): void {
    if (metadata === undefined) throw new Violation("an object without metadata");
    if (this.#controlPlane.isBad(metadata.configHash)) {
      throw new Violation("a config that a gate refuses became current");
    }
    const replaced = this.current;
    this.#checkOrder(metadata);
    this.#checkToken(metadata, machine);
    if (this.#overruled === historyHash(metadata)) {
      throw new Violation("an exporter put back what an operator had replaced");
    }
    this.#overruled = undefined;
    if (!warned) this.#checkHistory(replaced);
  }

  /** An operator restored this in the place of another one. */
  restored(metadata: SnapshotMetadata | undefined): void {
    this.meddled(metadata);
    this.#overruled = metadata && replacedHashOf(metadata);
  }

  /** Somebody else put this there, as exporters see it: what they write is measured by it. Undefined for nothing that counts. */
  meddled(metadata: SnapshotMetadata | undefined): void {
    this.#order.restart(metadata);
    this.#token = metadata?.fencingToken ?? 0;
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
  holders(seats: readonly Seat[]): void {
    const holders = seats.filter(({ isActiveHolder }) => isActiveHolder);
    if (holders.length <= 1) return;
    const names = holders.map(({ machine }) => machine.name).join(" and ");
    throw new Violation(`holders at one time: ${names}`);
  }

  /** Some time after nothing goes wrong any more. */
  settled(seats: readonly Seat[]): void {
    const { newestHash } = this.#controlPlane;
    const { current } = this;
    if (current?.configHash !== newestHash) {
      throw new Violation("the newest config is not the current one");
    }
    const holders = seats.filter(({ isActiveHolder }) => isActiveHolder);
    if (holders.length !== 1) throw new Violation(`${holders.length} holders`);
    const leadership = holders[0]?.leadership;
    if (leadership?.kind !== "holder" || leadership.token !== current?.fencingToken) {
      throw new Violation("the current config is not under the holder's token");
    }
    this.#checkHistory(current);
  }

  #checkHistory(metadata: SnapshotMetadata | undefined): void {
    const hash = metadata?.configHash?.slice(0, 12);
    if (hash === undefined || this.#kept.has(hash)) return;
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

  #checkOrder(metadata: SnapshotMetadata): void {
    const before = this.#order.highest;
    const step = this.#order.step(metadata);
    if (step === "backwards") {
      const index = this.#order.indexOf(metadata);
      throw new Violation(`config of change ${index} after that of change ${before}`);
    }
    if (step === "nodes apart") this.nodesApart += 1;
    if (step === "unheard return") this.unheardReturns += 1;
  }
}
