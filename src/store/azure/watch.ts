/** Runs requests of the SDK so that they end when their caller wants it, or when nothing moves any more. */

import type { StoreError } from "../port.ts";

/** What a request is told, and tells. */
export interface Watched {
  /** Aborts with whatever ends the request. */
  readonly signal: AbortSignal;
  /** Something moved: the time of silence begins anew. */
  readonly moved: () => void;
}

/** What ends a request besides its caller. */
export interface Endings {
  readonly silent: () => StoreError;
  readonly closed: () => StoreError;
}

/** The requests of one store. */
export class Watch {
  readonly #timeoutMs: number;
  readonly #inFlight = new Map<AbortController, () => StoreError>();
  #closed = false;

  /** `timeoutMs`: longest silence. */
  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs;
  }

  /**
   * Rejects as `work` does; with `signal.reason` at once when the signal aborts, for the SDK heeds one
   * only now and then while it gets a token; as `endings` say after too long a silence, and once closed.
   */
  async run<T>(
    signal: AbortSignal,
    endings: Endings,
    work: (watched: Watched) => Promise<T>,
  ): Promise<T> {
    if (this.#closed) throw endings.closed();
    signal.throwIfAborted();
    const gate = new AbortController();
    const ended = new Promise<never>((_, reject) => {
      gate.signal.addEventListener("abort", () => reject(gate.signal.reason), { once: true });
    });
    const stop = () => gate.abort(signal.reason);
    signal.addEventListener("abort", stop, { once: true });
    const watchdog = setTimeout(() => gate.abort(endings.silent()), this.#timeoutMs);
    this.#inFlight.set(gate, endings.closed);
    try {
      const moved = () => void watchdog.refresh();
      return await Promise.race([work({ signal: gate.signal, moved }), ended]);
    } finally {
      clearTimeout(watchdog);
      signal.removeEventListener("abort", stop);
      this.#inFlight.delete(gate);
    }
  }

  /** What is under way rejects, as does whatever is begun later. Idempotent. */
  close(): void {
    this.#closed = true;
    for (const [gate, closed] of this.#inFlight) gate.abort(closed());
  }
}
