/** Where data planes wait until they may try the control plane: they are called in the order they came, or all at once. */

/** `first`: it was called alone, as the one that had waited longest. */
export type Call = "first" | "all";

export class WaitingRoom {
  readonly #waiting = new Set<(call: Call) => void>();

  get size(): number {
    return this.#waiting.size;
  }

  /** Resolves when called. Rejects with `signal.reason`. */
  async wait(signal: AbortSignal): Promise<Call> {
    signal.throwIfAborted();
    return new Promise<Call>((resolve, reject) => {
      const called = (call: Call): void => {
        this.#waiting.delete(called);
        signal.removeEventListener("abort", leave);
        resolve(call);
      };
      const leave = (): void => {
        this.#waiting.delete(called);
        reject(signal.reason);
      };
      this.#waiting.add(called);
      signal.addEventListener("abort", leave, { once: true });
    });
  }

  /** The one that has waited longest; false where nobody waits. */
  callFirst(): boolean {
    const [called] = this.#waiting;
    called?.("first");
    return called !== undefined;
  }

  callAll(): void {
    for (const called of [...this.#waiting]) called("all");
  }
}
