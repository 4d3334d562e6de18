/** A ConfigSource played by a test: it emits what it is told and breaks when it is told. */

import type { ConfigUpdate } from "../../src/kong/reconfigure.ts";
import type { ConfigSource, SourceEvent } from "../../src/source/port.ts";

export class ScriptedSource implements ConfigSource {
  readonly name = "control-plane:8005 as 3.9.1";
  /** Hashes it was told are saved, in order. */
  readonly acknowledged: string[] = [];
  /** How many sessions were begun. */
  sessions = 0;
  readonly #waiting: (SourceEvent | Error)[] = [];
  #wake: (() => void) | undefined;

  /** Emits the event in the current or next session; an Error ends the session with it. */
  emit(event: SourceEvent | Error): void {
    this.#waiting.push(event);
    this.#wake?.();
  }

  emitConfig(update: ConfigUpdate): void {
    this.emit({ kind: "config", update });
  }

  acknowledge(configHash: string): void {
    this.acknowledged.push(configHash);
  }

  async *watch(signal: AbortSignal): AsyncIterable<SourceEvent> {
    this.sessions += 1;
    for (;;) {
      signal.throwIfAborted();
      const next = this.#waiting.shift();
      if (next instanceof Error) throw next;
      if (next !== undefined) {
        yield next;
        continue;
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        signal.onabort = () => resolve();
      });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
