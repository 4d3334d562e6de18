/** The hash a data plane reports in its pings: the only sign of what it runs. */

import { EMPTY_CONFIG_HASH, isConfigHash } from "../../kong/config-parts.ts";

export class ReportedHash {
  #value: string | undefined;
  readonly #listeners = new Set<() => void>();

  /** 32 zeros: it runs no config. Undefined before the first ping, and where it reports no hash. */
  get value(): string | undefined {
    return this.#value;
  }

  /** Whether it is known to run a config. */
  get isConfigured(): boolean {
    return isConfigHash(this.#value);
  }

  /** A ping came. A data plane up to 3.5 may report its lack of a config by an empty payload. */
  report(payload: Uint8Array): void {
    const text = Buffer.from(payload).toString("latin1");
    this.#value = text === "" ? EMPTY_CONFIG_HASH : text.match(/^[0-9a-f]{32}$/)?.[0];
    for (const listener of [...this.#listeners]) listener();
  }

  /** Resolves once a ping's hash `matches`, or already does. Rejects with `signal.reason`. */
  async until(matches: (hash: string) => boolean, signal: AbortSignal): Promise<void> {
    const isReached = (): boolean => this.#value !== undefined && matches(this.#value);
    signal.throwIfAborted();
    if (isReached()) return;
    await new Promise<void>((resolve, reject) => {
      const finish = (): void => {
        this.#listeners.delete(look);
        signal.removeEventListener("abort", stop);
      };
      const look = (): void => {
        if (!isReached()) return;
        finish();
        resolve();
      };
      const stop = (): void => {
        finish();
        reject(signal.reason);
      };
      this.#listeners.add(look);
      signal.addEventListener("abort", stop, { once: true });
    });
  }
}
