/** One process's way to a store that others use too: it can be cut, swallow an answer, delay a write, and stand still with its process. */

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
} from "../../src/store/port.ts";
import { StoreError } from "../../src/store/port.ts";
import type { Pause } from "./pause.ts";

/** "refused": every call fails at once; "silent": none is ever answered. */
export type Fault = "refused" | "silent";

export class StoreLink implements Store {
  readonly #store: Store;
  readonly #pause: Pause;
  readonly #underWay = new Set<Promise<unknown>>();
  #fault: Fault | undefined;
  #loseAnswer: Fault | undefined;
  #holdWrite: ((write: () => Promise<unknown>) => void) | undefined;
  /** Calls made so far, answered or not. */
  requests = 0;

  /** `store` is not disposed of. */
  constructor(store: Store, pause: Pause) {
    this.#store = store;
    this.#pause = pause;
  }

  get url(): string {
    return this.#store.url;
  }

  cut(how: Fault): void {
    this.#fault = how;
  }

  /** Ends a cut, and forgets an answer still to be lost. */
  mend(): void {
    this.#fault = undefined;
    this.#loseAnswer = undefined;
  }

  /** The next put happens, but its answer does not arrive. */
  loseNextAnswer(how: Fault): void {
    this.#loseAnswer = how;
  }

  /** The next put waits on the way until `deliver` is called; its caller never hears of it. */
  holdNextWrite(): { deliver(): Promise<void> } {
    let held: (() => Promise<unknown>) | undefined;
    this.#holdWrite = (write) => {
      held = write;
    };
    return {
      deliver: async () => {
        if (held === undefined) throw new Error("no write was held");
        await held().catch((error: unknown) => {
          if (!(error instanceof StoreError)) throw error;
        });
      },
    };
  }

  /** Resolves when the store has answered all it was asked. */
  async settle(): Promise<void> {
    while (this.#underWay.size > 0) await Promise.allSettled(this.#underWay);
  }

  get(key: Key, options: GetOptions, signal: AbortSignal): Promise<StoredObject> {
    return this.#call((s) => this.#store.get(key, options, s), signal);
  }

  head(key: Key, signal: AbortSignal): Promise<ObjectHead> {
    return this.#call((s) => this.#store.head(key, s), signal);
  }

  getIfChanged(
    key: Key,
    than: Version,
    options: GetOptions,
    signal: AbortSignal,
  ): Promise<StoredObject | undefined> {
    return this.#call((s) => this.#store.getIfChanged(key, than, options, s), signal);
  }

  async put(
    key: Key,
    body: Uint8Array,
    options: PutOptions,
    signal: AbortSignal,
  ): Promise<ObjectInfo> {
    const write = (s: AbortSignal) => this.#store.put(key, body, options, s);
    const hold = this.#holdWrite;
    this.#holdWrite = undefined;
    if (hold !== undefined) {
      hold(() => this.#follow(write(new AbortController().signal)));
      this.requests += 1;
      return silence(signal);
    }
    const info = await this.#call(write, signal);
    const lose = this.#loseAnswer;
    this.#loseAnswer = undefined;
    return lose === undefined ? info : fail(lose, signal);
  }

  list(prefix: Key | "", signal: AbortSignal): AsyncIterable<ListedObject> {
    return this.#store.list(prefix, signal);
  }

  delete(key: Key, signal: AbortSignal): Promise<void> {
    return this.#call((s) => this.#store.delete(key, s), signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  async #call<T>(run: (signal: AbortSignal) => Promise<T>, signal: AbortSignal): Promise<T> {
    signal.throwIfAborted();
    this.requests += 1;
    if (this.#fault !== undefined) return fail(this.#fault, signal);
    try {
      return await this.#follow(run(signal));
    } finally {
      await this.#pause.over();
    }
  }

  async #follow<T>(answer: Promise<T>): Promise<T> {
    this.#underWay.add(answer);
    try {
      return await answer;
    } finally {
      this.#underWay.delete(answer);
    }
  }
}

async function fail(how: Fault, signal: AbortSignal): Promise<never> {
  if (how === "silent") return silence(signal);
  throw new StoreError("STORE_UNAVAILABLE", "connection reset");
}

function silence(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    if (signal.aborted) reject(signal.reason);
  });
}
