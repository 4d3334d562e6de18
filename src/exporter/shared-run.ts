/** One piece of work for several who wait for it: it goes on as long as one of them does. */

export class SharedRun<T> {
  readonly #over = new AbortController();
  readonly #result: Promise<T>;
  #waiters = 0;

  /** Begins at once. `work` should end soon when its signal aborts. */
  constructor(work: (signal: AbortSignal) => Promise<T>) {
    this.#result = work(this.#over.signal);
    // Nobody may be left to hear of it.
    this.#result.catch(() => {});
  }

  /** Whether nobody waits any more, though somebody did: it is not to be joined. */
  get isAbandoned(): boolean {
    return this.#over.signal.aborted;
  }

  /** Resolves or rejects as the work does; earlier, with `signal.reason`, where the signal aborts. */
  async wait(signal: AbortSignal): Promise<T> {
    signal.throwIfAborted();
    this.#waiters += 1;
    let leave: (() => void) | undefined;
    try {
      return await new Promise<T>((resolve, reject) => {
        leave = () => reject(signal.reason);
        signal.addEventListener("abort", leave, { once: true });
        this.#result.then(resolve, reject);
      });
    } finally {
      if (leave !== undefined) signal.removeEventListener("abort", leave);
      this.#waiters -= 1;
      if (this.#waiters === 0) this.#over.abort();
    }
  }

  /** Resolves once the work is over, however it ended. */
  async ended(): Promise<void> {
    await this.#result.catch(() => {});
  }
}
