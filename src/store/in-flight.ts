/** The requests of one store that are under way: each ends at once when its caller wants it, or with the store. */

import type { StoreError } from "./port.ts";

export interface Endings {
  /** The caller's. */
  readonly signal: AbortSignal;
  /** What a request rejects with once the store is closed. */
  readonly closed: () => StoreError;
}

export class InFlight {
  readonly #gates = new Map<AbortController, Endings["closed"]>();
  #isClosed = false;

  /**
   * Rejects as `work` does, and as soon as `gate` aborts with its reason: that of `signal`, what `closed`
   * gives, or the caller's own. An SDK heeds a signal only now and then, e.g. not while it looks for
   * credentials, and leaves listeners on it: so `work` is given the gate's, which no other request has.
   */
  async run<T>(
    gate: AbortController,
    { signal, closed }: Endings,
    work: () => Promise<T>,
  ): Promise<T> {
    if (this.#isClosed) throw closed();
    signal.throwIfAborted();
    const ended = new Promise<never>((_, reject) => {
      gate.signal.addEventListener("abort", () => reject(gate.signal.reason), { once: true });
    });
    const stop = () => gate.abort(signal.reason);
    signal.addEventListener("abort", stop, { once: true });
    this.#gates.set(gate, closed);
    try {
      return await Promise.race([work(), ended]);
    } finally {
      signal.removeEventListener("abort", stop);
      this.#gates.delete(gate);
    }
  }

  /** What is under way rejects, as does whatever is begun later. Idempotent. */
  close(): void {
    this.#isClosed = true;
    for (const [gate, closed] of this.#gates) gate.abort(closed());
  }
}
