/** A store that keeps nobody waiting: all that a store promises, and an end to each read. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "vitest";
import type { Store } from "../../src/store/port.ts";
import { StoreError } from "../../src/store/port.ts";
import { ReadDeadlineStore } from "../../src/store/read-deadline.ts";
import { ManualClock } from "../fakes/manual-clock.ts";
import { MemoryStore, type Objects } from "../fakes/memory-store.ts";
import { storeConformance } from "./conformance.ts";

const SIGNAL = new AbortController().signal;
let objects: Objects = new Map();
const GET = { maxBytes: 1_000 };

storeConformance("a store with a deadline for reads", {
  open: async () => {
    objects = new Map();
    return bounded(new MemoryStore({ objects }));
  },
  reopen: async () => bounded(new MemoryStore({ objects })),
});

function bounded(store: Store): Store {
  return new ReadDeadlineStore(store, { ms: 5_000, clock: new ManualClock() });
}

describe("a store that hangs and heeds no signal", () => {
  let clock: ManualClock;
  let inner: HangingStore;
  let store: Store;
  beforeEach(() => {
    clock = new ManualClock();
    inner = new HangingStore();
    store = new ReadDeadlineStore(inner, { ms: 5_000, clock });
  });
  afterEach(() => store[Symbol.asyncDispose]());

  const reads: readonly [string, (signal: AbortSignal) => Promise<unknown>][] = [
    ["get", (signal) => store.get("a", GET, signal)],
    ["head", (signal) => store.head("a", signal)],
    ["getIfChanged", (signal) => store.getIfChanged("a", "v" as never, GET, signal)],
    ["list", (signal) => firstOf(store.list("", signal))],
  ];

  it.each(reads)(
    "is given up after the deadline by %s, and by all that comes after",
    async (_, read) => {
      const refused = assert.rejects(read(SIGNAL), isSilence);
      await clock.advance(5_000);
      await refused;
      for (const [, again] of reads) await assert.rejects(again(SIGNAL), isSilence);
      const options = { metadata: {}, contentType: "text/plain" };
      await assert.rejects(store.put("a", Buffer.from("a"), options, SIGNAL), isSilence);
      await assert.rejects(store.delete("a", SIGNAL), isSilence);
      assert.equal(inner.calls, 1);
      assert.equal(clock.sleepers, 0);
    },
  );

  it.each([
    ...reads,
    ["delete", (signal: AbortSignal) => store.delete("a", signal)] as const,
    [
      "put",
      (signal: AbortSignal) =>
        store.put("a", Buffer.from("a"), { metadata: {}, contentType: "text/plain" }, signal),
    ] as const,
  ])("does not keep %s from heeding its signal", async (_, call) => {
    const controller = new AbortController();
    const reason = new Error("stop");
    const refused = assert.rejects(call(controller.signal), (error) => error === reason);
    await clock.advance(1);
    controller.abort(reason);
    await refused;
    assert.equal(clock.sleepers, 0);
  });

  it("is waited for as long as its bytes come", async () => {
    let progress = (_: number) => {};
    let give = () => {};
    inner.get = (_key, options) =>
      new Promise((resolve) => {
        progress = (bytes) => options.onProgress?.(bytes, 3);
        give = () => resolve({ key: "a", body: Buffer.from("abc") } as never);
      });
    const told: number[] = [];
    const got = store.get("a", { ...GET, onProgress: (bytes) => told.push(bytes) }, SIGNAL);
    for (const bytes of [1, 2, 3]) {
      await clock.advance(4_000);
      progress(bytes);
    }
    give();
    inner[Symbol.asyncDispose] = async () => {};
    assert.equal((await got).body.byteLength, 3);
    assert.deepEqual(told, [1, 2, 3]);
  });
});

function isSilence(error: unknown): boolean {
  assert.ok(error instanceof StoreError);
  assert.equal(error.code, "STORE_UNAVAILABLE");
  assert.equal(error.exitStatus, 4);
  assert.equal(error.message, "file:///dead gave no answer within 5 s");
  return true;
}

async function firstOf<T>(items: AsyncIterable<T>): Promise<T | undefined> {
  for await (const item of items) return item;
  return undefined;
}

class HangingStore implements Store {
  readonly url = "file:///dead";
  calls = 0;
  get: Store["get"] = () => this.#hang();
  getIfChanged: Store["getIfChanged"] = () => this.#hang();
  head: Store["head"] = () => this.#hang();
  put: Store["put"] = () => this.#hang();
  delete: Store["delete"] = () => this.#hang();

  // biome-ignore lint/correctness/useYield: it hangs
  async *list(): AsyncGenerator<never> {
    await this.#hang();
  }

  /** Neither does it close. */
  [Symbol.asyncDispose] = (): Promise<void> => new Promise(() => {});

  #hang(): Promise<never> {
    this.calls += 1;
    return new Promise(() => {});
  }
}
