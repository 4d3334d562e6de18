/** One machine's way to the control plane: sessions with a node taken at random, which a partition breaks or silences. */

import type { ConfigUpdate } from "../../src/kong/reconfigure.ts";
import { type ConfigSource, SourceError, type SourceEvent } from "../../src/source/port.ts";
import type { ControlPlane } from "./control-plane.ts";
import type { Faults } from "./faults.ts";
import type { Machine } from "./machine.ts";
import type { Schedule } from "./schedule.ts";

/** Silence for longer than this ends a session. */
const SILENCE_LIMIT_MS = 45_000;
const CONNECT_TIMEOUT_MS = 5_000;

export interface SourcePathOptions {
  readonly controlPlane: ControlPlane;
  readonly machine: Machine;
  readonly schedule: Schedule;
  readonly faults: Faults;
}

export class SourcePath implements ConfigSource {
  readonly name = "control-plane:8005";
  readonly #options: SourcePathOptions;
  #isCut = false;
  /** Of the session under way. */
  #goOn = (): void => {};
  #end = (_afterMs: number): void => {};

  constructor(options: SourcePathOptions) {
    this.#options = options;
  }

  acknowledge(): void {}

  /** "refused" ends a session at once; "silent" lets it find out by itself. */
  cut(how: "refused" | "silent"): void {
    this.#isCut = true;
    this.#end(how === "refused" ? 1 : SILENCE_LIMIT_MS);
  }

  /** Ends the session under way; the next may be with another node. */
  lose(): void {
    this.#end(1);
  }

  /** A session that still stands goes on with all that was on its way. */
  mend(): void {
    this.#isCut = false;
    this.#goOn();
  }

  async *watch(signal: AbortSignal): AsyncIterable<SourceEvent> {
    const { controlPlane, faults, machine, schedule } = this.#options;
    await machine.sleep(this.#isCut ? CONNECT_TIMEOUT_MS : faults.latencyMs(), signal);
    if (this.#isCut) throw new SourceError("SOURCE_UNREACHABLE", "no answer");
    const node = controlPlane.nodes[Math.floor(schedule.random() * controlPlane.nodes.length)];
    if (node === undefined) throw new Error("a control plane has nodes");
    let arrived: SourceEvent | undefined;
    let failure: SourceError | undefined;
    let wake = (): void => {};
    /** Messages of one connection come in their order, each as it was when it was sent. */
    const onTheirWay: ConfigUpdate[] = [];
    const arrive = (): void => {
      const update = this.#isCut ? undefined : onTheirWay.shift();
      if (update === undefined) return;
      arrived = { kind: "config", update };
      wake();
    };
    const send = (): void => {
      if (node.newest === undefined) return;
      onTheirWay.push(node.newest);
      schedule.plan(faults.latencyMs(), machine, "message", arrive);
    };
    this.#goOn = () => {
      for (const _ of onTheirWay) schedule.plan(faults.latencyMs(), machine, "message", arrive);
    };
    this.#end = (afterMs) => {
      machine.after(afterMs, () => {
        if (!this.#isCut && afterMs > 1) return;
        failure = new SourceError("SOURCE_LOST", "silence");
        wake();
      });
    };
    const onAbort = (): void => wake();
    signal.addEventListener("abort", onAbort, { once: true });
    node.watchers.add(send);
    try {
      yield { kind: "connected" };
      send();
      for (;;) {
        signal.throwIfAborted();
        if (failure !== undefined) throw failure;
        const event = arrived;
        arrived = undefined;
        if (event !== undefined) yield event;
        else {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      }
    } finally {
      node.watchers.delete(send);
      signal.removeEventListener("abort", onAbort);
      this.#goOn = () => {};
      this.#end = () => {};
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
