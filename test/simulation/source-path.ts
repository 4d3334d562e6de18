/** One machine's way to the control plane: sessions with a node taken at random, which a partition breaks or silences. */

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
  #refresh = (): void => {};
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

  /** A session that still stands goes on with what it has missed. */
  mend(): void {
    this.#isCut = false;
    this.#refresh();
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
    const send = (): void => {
      const update = node.newest;
      if (update === undefined) return;
      schedule.plan(faults.latencyMs(), machine, "message", () => {
        if (this.#isCut) return;
        // Messages of one connection come in their order.
        arrived = { kind: "config", update: node.newest ?? update };
        wake();
      });
    };
    this.#refresh = send;
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
      this.#refresh = () => {};
      this.#end = () => {};
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
