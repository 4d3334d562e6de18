/** Wakes a loop that has nothing to do when there is something again. */

export class Bell {
  #wake: (() => void) | undefined;

  /** Nothing happens if nobody waits. */
  ring(): void {
    this.#wake?.();
  }

  /** Resolves at the next ring. For one at a time. Rejects with `signal.reason`. */
  async wait(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    await new Promise<void>((resolve, reject) => {
      const stop = (): void => reject(signal.reason);
      signal.addEventListener("abort", stop, { once: true });
      this.#wake = () => {
        signal.removeEventListener("abort", stop);
        resolve();
      };
    });
  }
}
