/** The probe tells stores that honour conditions from those that ignore or refuse them. */

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "vitest";
import type {
  GetOptions,
  Key,
  ListedObject,
  Metadata,
  ObjectHead,
  ObjectInfo,
  PutOptions,
  Store,
  StoredObject,
  Version,
} from "../../src/store/port.ts";
import { StoreError } from "../../src/store/port.ts";
import { probePreconditions } from "../../src/store/preconditions.ts";
import { MemoryStore } from "../fakes/memory-store.ts";
import { failsWith, keys, never, put, rejectsWith, text } from "./conformance/client.ts";

const KEY = "probe/conditional-writes.json";

type Put = (
  store: Store,
  key: Key,
  body: Uint8Array,
  options: PutOptions,
  signal: AbortSignal,
) => Promise<ObjectInfo>;

/** A memory store with another way to put, and without permission to list and delete. */
class OddStore implements Store {
  readonly memory = new MemoryStore();
  readonly url = "memory://odd";
  readonly #put: Put;

  constructor(put: Put) {
    this.#put = put;
  }

  get(key: Key, options: GetOptions, signal: AbortSignal): Promise<StoredObject> {
    return this.memory.get(key, options, signal);
  }

  head(...args: Parameters<Store["head"]>): Promise<ObjectHead> {
    return this.memory.head(...args);
  }

  getIfChanged(...args: Parameters<Store["getIfChanged"]>): Promise<StoredObject | undefined> {
    return this.memory.getIfChanged(...args);
  }

  put(key: Key, body: Uint8Array, options: PutOptions, signal: AbortSignal): Promise<ObjectInfo> {
    return this.#put(this.memory, key, body, options, signal);
  }

  // biome-ignore lint/correctness/useYield: it never gets that far.
  async *list(): AsyncIterable<ListedObject> {
    throw new StoreError("STORE_DENIED", "no permission to list");
  }

  async delete(): Promise<void> {
    throw new StoreError("STORE_DENIED", "no permission to delete");
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

const isAbsent = ({ when }: PutOptions) => when !== undefined && "ifAbsent" in when;
const isVersion = ({ when }: PutOptions) => when !== undefined && "ifVersion" in when;

function without({ metadata, contentType }: PutOptions): PutOptions {
  return { metadata, contentType };
}

/** A store that ignores the conditions that `which` picks. */
function ignoring(which: (options: PutOptions) => boolean): OddStore {
  return new OddStore((store, key, body, options, signal) =>
    store.put(key, body, which(options) ? without(options) : options, signal),
  );
}

/** A store that answers `error` to the conditions that `which` picks. */
function refusing(which: (options: PutOptions) => boolean, error: StoreError): OddStore {
  return new OddStore((store, key, body, options, signal) =>
    which(options) ? Promise.reject(error) : store.put(key, body, options, signal),
  );
}

const refused = new StoreError("STORE_PRECONDITION_FAILED", "could not put: 412.");
const notImplemented = new StoreError("STORE_MISCONFIGURED", "could not put: 501 NotImplemented.");
const denied = new StoreError("STORE_DENIED", "could not put: 403.");
const down = new StoreError("STORE_UNAVAILABLE", "could not put: 503.");

describe("probePreconditions", () => {
  it("finds that an honest store honours them, the first time and again, and leaves one object", async () => {
    const store = new OddStore((memory, ...args) => memory.put(...args));
    for (const _ of ["the object is missing", "the object is there"]) {
      const support = await probePreconditions(store, KEY, never);
      assert.equal(support.kind, "honoured");
      assert.match(support.explanation, /memory:\/\/odd honours conditional writes/);
    }
    assert.deepEqual(await keys(store.memory, ""), [KEY]);
    assert.match(await text(store.memory, KEY), /can be deleted/);
  });

  it("finds by trying, not by their looks, whether versions are digests of bodies", async () => {
    for (const [version, makesFreshVersions] of [
      [undefined, true],
      [(body: string) => `CRC64NVME-${body.slice(-10)}`, false],
      [(body: string) => Buffer.from(body).toString("base64"), false],
      [() => randomUUID().replaceAll("-", ""), true],
    ] as const) {
      const store = new MemoryStore();
      const odd = new OddStore(async (_, key, body, options, signal) => {
        const info = await store.put(key, body, options, signal);
        const found = store.objects.get(key);
        if (version === undefined || found === undefined) return info;
        const named = { version: version(Buffer.from(body).toString()) as Version };
        store.objects.set(key, { ...found, ...named });
        return { ...info, ...named };
      });
      Reflect.set(odd, "memory", store);
      const support = await probePreconditions(odd, KEY, never);
      assert.ok(support.kind === "honoured", support.kind);
      assert.equal(support.makesFreshVersions, makesFreshVersions);
      assert.match(
        support.explanation,
        makesFreshVersions ? /a version of its own/ : /digests of bodies, so .* blanks/,
      );
    }
  });

  for (const [what, change, pattern] of [
    ["drops", () => ({}), /it drops metadata/],
    ["drops, for their names,", () => ({ trial: "x" }), /it drops metadata/],
    [
      "cuts",
      (metadata: Metadata) =>
        Object.fromEntries(
          Object.entries(metadata).map(([name, value]) => [name, value.slice(0, 256)]),
        ),
      /it changes or cuts metadata/,
    ],
  ] as const) {
    it(`refuses a store that ${what} metadata`, async () => {
      const store = new OddStore((memory, key, body, options, signal) =>
        memory.put(key, body, { ...options, metadata: change(options.metadata) }, signal),
      );
      const error = await failsWith("STORE_MISCONFIGURED", probePreconditions(store, KEY, never));
      assert.match(error.message, pattern);
      assert.match(error.message, /memory:\/\/odd.*nothing is saved/);
      assert.match(error.hint ?? "", /proxy .* x-amz-meta-\*.*underscores_in_headers/);
    });
  }

  it("survives an object under its key that is not its own", async () => {
    const store = new MemoryStore();
    await put(store, KEY, "something else");
    assert.equal((await probePreconditions(store, KEY, never)).kind, "honoured");
  });

  for (const [what, which, pattern] of [
    ["ifAbsent", isAbsent, /creates an object that exists already/],
    ["ifVersion", isVersion, /replaces an object that changed/],
    ["both", () => true, /ignores the conditions/],
  ] as const) {
    it(`finds that a store ignores ${what}, the first time and again`, async () => {
      const store = ignoring(which);
      for (const _ of ["the object is missing", "the object is there"]) {
        const support = await probePreconditions(store, KEY, never);
        assert.ok(support.kind === "ignored", support.kind);
        assert.equal(support.what, what);
        assert.match(support.explanation, pattern);
        assert.match(support.explanation, /Run one exporter only/);
      }
    });
  }

  for (const error of [refused, notImplemented]) {
    it(`finds that a store refuses a correct version with ${error.code}`, async () => {
      const support = await probePreconditions(refusing(isVersion, error), KEY, never);
      assert.ok(support.kind === "refused", support.kind);
      assert.equal(support.what, "ifVersion");
      assert.equal(support.cause, error);
      assert.ok(support.explanation.includes(error.message));
      assert.match(support.explanation, /still the one that was read/);
    });

    it(`finds that a store refuses a correct ifAbsent with ${error.code}`, async () => {
      const support = await probePreconditions(refusing(isAbsent, error), KEY, never);
      assert.ok(support.kind === "refused", support.kind);
      assert.equal(support.what, "ifAbsent");
      assert.equal(support.cause, error);
    });
  }

  it("takes a store that refuses every write for what it is: not writable", async () => {
    await rejectsWith(
      denied,
      probePreconditions(
        refusing(() => true, denied),
        KEY,
        never,
      ),
    );
  });

  it("draws no conclusion from a store that is down", async () => {
    await rejectsWith(down, probePreconditions(refusing(isVersion, down), KEY, never));
    const store = new MemoryStore();
    store.failNext(down);
    await rejectsWith(down, probePreconditions(store, KEY, never));
  });

  it("finds the truth while eight exporters probe at once", async () => {
    const { objects } = new MemoryStore();
    const probes = Array.from({ length: 8 }, () =>
      probePreconditions(new MemoryStore({ objects }), KEY, never),
    );
    const kinds = (await Promise.all(probes)).map(({ kind }) => kind);
    assert.deepEqual(kinds, Array(8).fill("honoured"));
  });

  it("finds the truth when another one creates the object first", async () => {
    const store = new MemoryStore();
    const other = new MemoryStore({ objects: store.objects });
    store.intercept = async (operation) => {
      if (operation !== "put") return;
      store.intercept = async () => {};
      await put(other, KEY, "theirs");
    };
    assert.equal((await probePreconditions(store, KEY, never)).kind, "honoured");
  });

  it("does not call a store dishonest that is merely contended, and gives up in the end", async () => {
    const store = new MemoryStore();
    const other = new MemoryStore({ objects: store.objects });
    let round = 0;
    store.intercept = async (operation) => {
      round += 1;
      if (operation === "put") await put(other, KEY, `theirs ${round}`);
    };
    const support = await probePreconditions(store, KEY, never);
    assert.equal(support.kind, "contended");
    assert.match(support.explanation, /could not be settled: other exporters/);
  });

  it("stops with the signal's reason", async () => {
    const reason = new Error("stopped");
    await rejectsWith(
      reason,
      probePreconditions(new MemoryStore(), KEY, AbortSignal.abort(reason)),
    );
  });

  it("fails as the store does when it was disposed", async () => {
    const store = new MemoryStore();
    await store[Symbol.asyncDispose]();
    await failsWith("STORE_CLOSED", probePreconditions(store, KEY, never));
  });
});
