/** A store that nobody waits for longer than a deadline, even where a system call of its driver hangs. */

import type { Clock } from "../core/clock.ts";
import { raced, within } from "../core/waiting.ts";
import type {
  GetOptions,
  Key,
  ListedObject,
  ObjectHead,
  ObjectInfo,
  PutOptions,
  Store,
  StoredObject,
  Version,
} from "./port.ts";
import { StoreError } from "./port.ts";

export interface ReadDeadlineOptions {
  /** Longest silence within one read, milliseconds. */
  readonly ms: number;
  readonly clock: Clock;
}

/**
 * For a command that somebody waits for. A read that brings nothing for `ms` rejects with
 * STORE_UNAVAILABLE, and so does every call from then on, so that a dead store costs the wait once.
 * A write, whose progress cannot be seen, ends with the store's own deadline or the signal: what
 * became of it then is unknown.
 */
export class ReadDeadlineStore implements Store {
  readonly url: string;
  readonly #store: Store;
  readonly #options: ReadDeadlineOptions;
  #isGivenUp = false;
  /** Calls that the store has not answered, though their caller may have left. */
  #underWay = 0;

  /** `store` is disposed of with this one. */
  constructor(store: Store, options: ReadDeadlineOptions) {
    this.url = store.url;
    this.#store = store;
    this.#options = options;
  }

  get(key: Key, options: GetOptions, signal: AbortSignal): Promise<StoredObject> {
    return this.#read(signal, (both, moved) =>
      this.#store.get(key, withProgress(options, moved), both),
    );
  }

  getIfChanged(
    key: Key,
    than: Version,
    options: GetOptions,
    signal: AbortSignal,
  ): Promise<StoredObject | undefined> {
    return this.#read(signal, (both, moved) =>
      this.#store.getIfChanged(key, than, withProgress(options, moved), both),
    );
  }

  head(key: Key, signal: AbortSignal): Promise<ObjectHead> {
    return this.#read(signal, (both) => this.#store.head(key, both));
  }

  put(key: Key, body: Uint8Array, options: PutOptions, signal: AbortSignal): Promise<ObjectInfo> {
    return this.#write(signal, () => this.#store.put(key, body, options, signal));
  }

  async *list(prefix: Key | "", signal: AbortSignal): AsyncIterable<ListedObject> {
    const objects = this.#store.list(prefix, signal)[Symbol.asyncIterator]();
    let isWaiting = false;
    try {
      for (;;) {
        isWaiting = true;
        const next = await this.#read(signal, () => objects.next());
        isWaiting = false;
        if (next.done === true) return;
        yield next.value;
      }
    } finally {
      // A generator that hangs would answer never.
      if (!isWaiting) await objects.return?.();
    }
  }

  delete(key: Key, signal: AbortSignal): Promise<void> {
    return this.#write(signal, () => this.#store.delete(key, signal));
  }

  /** Does not wait for the store where a call to it still hangs. */
  async [Symbol.asyncDispose](): Promise<void> {
    const closed = this.#store[Symbol.asyncDispose]();
    if (this.#underWay === 0) await closed;
    else closed.then(undefined, () => {});
  }

  async #read<T>(
    signal: AbortSignal,
    read: (signal: AbortSignal, moved: () => void) => Promise<T>,
  ): Promise<T> {
    this.#throwIfGivenUp();
    const late = () => {
      this.#isGivenUp = true;
      return this.#silent();
    };
    return within({ ...this.#options, late }, signal, (both, moved) =>
      this.#counted(read(both, moved)),
    );
  }

  async #write<T>(signal: AbortSignal, write: () => Promise<T>): Promise<T> {
    this.#throwIfGivenUp();
    return raced(signal, this.#counted(write()));
  }

  async #counted<T>(call: Promise<T>): Promise<T> {
    this.#underWay += 1;
    try {
      return await call;
    } finally {
      this.#underWay -= 1;
    }
  }

  #throwIfGivenUp(): void {
    if (this.#isGivenUp) throw this.#silent();
  }

  #silent(): StoreError {
    return new StoreError(
      "STORE_UNAVAILABLE",
      `${this.url} gave no answer within ${this.#options.ms / 1000} s`,
      {
        hint: "See whether its disk or server hangs; if it is only slow, raise KONG_FALLBACK_READ_TIMEOUT.",
      },
    );
  }
}

function withProgress(options: GetOptions, moved: () => void): GetOptions {
  return {
    ...options,
    onProgress: (receivedBytes, totalBytes) => {
      moved();
      options.onProgress?.(receivedBytes, totalBytes);
    },
  };
}
