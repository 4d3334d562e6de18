/** One machine's way to the shared store: requests take their time, get lost with or without effect, and arrive long after they were given up. */

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
import type { Faults } from "./faults.ts";
import type { Machine } from "./machine.ts";
import type { Schedule } from "./schedule.ts";

/** As of the drivers of real stores: after this a request counts as failed. */
export const REQUEST_TIMEOUT_MS = 10_000;

export interface StorePathOptions {
  readonly store: Store;
  readonly machine: Machine;
  readonly schedule: Schedule;
  readonly faults: Faults;
  /** Asked as a put sets out; what it gives is called once that put has happened. */
  readonly onPut: (key: Key) => () => Promise<void>;
}

export class StorePath implements Store {
  readonly url: string;
  /** "refused": every request fails at once; "silent": none is answered. */
  cut: "refused" | "silent" | undefined;
  readonly #options: StorePathOptions;

  constructor(options: StorePathOptions) {
    this.#options = options;
    this.url = options.store.url;
  }

  get(key: Key, options: GetOptions, signal: AbortSignal): Promise<StoredObject> {
    return this.#call(`get ${key}`, (store) => store.get(key, options, never()), signal);
  }

  head(key: Key, signal: AbortSignal): Promise<ObjectHead> {
    return this.#call(`head ${key}`, (store) => store.head(key, never()), signal);
  }

  getIfChanged(
    key: Key,
    than: Version,
    options: GetOptions,
    signal: AbortSignal,
  ): Promise<StoredObject | undefined> {
    const ask = (store: Store) => store.getIfChanged(key, than, options, never());
    return this.#call(`get ${key}`, ask, signal);
  }

  put(key: Key, body: Uint8Array, options: PutOptions, signal: AbortSignal): Promise<ObjectInfo> {
    if (signal.aborted) return Promise.reject(signal.reason);
    const done = this.#options.onPut(key);
    const ask = async (store: Store) => {
      const info = await store.put(key, body, options, never());
      await done();
      return info;
    };
    return this.#call(`put ${key}`, ask, signal);
  }

  async *list(prefix: Key | "", signal: AbortSignal): AsyncIterable<ListedObject> {
    const ask = async (store: Store) => {
      const found: ListedObject[] = [];
      for await (const info of store.list(prefix, never())) found.push(info);
      return found;
    };
    yield* await this.#call(`list ${prefix}`, ask, signal);
  }

  delete(key: Key, signal: AbortSignal): Promise<void> {
    return this.#call(`delete ${key}`, (store) => store.delete(key, never()), signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  #call<T>(what: string, ask: (store: Store) => Promise<T>, signal: AbortSignal): Promise<T> {
    const { faults, machine, schedule, store } = this.#options;
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      const fate = this.cut ?? faults.fateOf(what, machine);
      const settle = (how: () => void): void => {
        signal.removeEventListener("abort", onAbort);
        timeout.cancel();
        how();
      };
      const onAbort = (): void => settle(() => reject(signal.reason));
      signal.addEventListener("abort", onAbort, { once: true });
      const fail = (): void => settle(() => reject(unavailable(what)));
      const timeout = machine.after(REQUEST_TIMEOUT_MS, fail);
      const answer = (how: () => void): void => {
        if (fate === "answer lost") return;
        const give = fate === "failed after all" ? fail : () => settle(how);
        schedule.plan(faults.latencyMs(), machine, "message", () => {
          if (this.cut !== "silent") give();
        });
      };
      if (fate === "silent" || fate === "request lost") return;
      if (fate === "refused" || fate === "store error") {
        schedule.plan(faults.latencyMs(), machine, "message", fail);
        return;
      }
      const inMs = fate === "delayed" ? faults.delayMs() : faults.latencyMs();
      schedule.plan(inMs, undefined, "message", async () => {
        // A request that was given up is as often stopped on its way as not.
        if (signal.aborted && fate !== "delayed" && schedule.random() < 0.5) return;
        let outcome: () => void;
        try {
          const value = await ask(store);
          outcome = () => resolve(value);
        } catch (error) {
          if (!(error instanceof StoreError)) throw error;
          outcome = () => reject(error);
        }
        answer(outcome);
      });
    });
  }
}

function unavailable(what: string): StoreError {
  return new StoreError("STORE_UNAVAILABLE", `could not ${what}: no answer`);
}

/** The world itself gives up nothing. */
function never(): AbortSignal {
  return new AbortController().signal;
}
