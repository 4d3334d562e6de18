/** Runs requests of the SDK so that they end when their caller wants it, or when nothing moves any more. */

import { InFlight } from "../in-flight.ts";
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
  readonly #inFlight = new InFlight();

  /** `timeoutMs`: longest silence. */
  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs;
  }

  /** As InFlight.run; also rejects as `endings` say after too long a silence. */
  async run<T>(
    signal: AbortSignal,
    { silent, closed }: Endings,
    work: (watched: Watched) => Promise<T>,
  ): Promise<T> {
    const gate = new AbortController();
    const watchdog = setTimeout(() => gate.abort(silent()), this.#timeoutMs);
    try {
      const moved = () => void watchdog.refresh();
      return await this.#inFlight.run(gate, { signal, closed }, () =>
        work({ signal: gate.signal, moved }),
      );
    } finally {
      clearTimeout(watchdog);
    }
  }

  /** See InFlight.close. */
  close(): void {
    this.#inFlight.close();
  }
}
