/** What all remote stores share, on a driver that does as it is told: endings, silence, paging, lost races, and the length of bodies. */

import assert from "node:assert/strict";
import { Readable } from "node:stream";
import { describe, it } from "vitest";
import { systemClock } from "../../src/runtime/clock.ts";
import type { Metadata, Precondition, Version } from "../../src/store/port.ts";
import { StoreError } from "../../src/store/port.ts";
import type { Call, Driver, Page } from "../../src/store/remote.ts";
import { hasLost, RemoteStore, readBody } from "../../src/store/remote.ts";
import { fault, unavailable } from "../../src/store/verdict.ts";
import { ManualClock } from "../fakes/manual-clock.ts";
import { failsWith, keys, list, never, put, rejectsWith } from "./conformance/client.ts";

const version = "v1" as Version;
const head = { version, bytes: 2, metadata: {} };

function driver(calls: Partial<Driver>): Driver {
  const unused = async () => assert.fail("not used");
  return {
    root: "fake://bucket",
    bucket: "bucket",
    place: "nowhere",
    awaitedFirst: "access token",
    isListingSorted: true,
    get: unused,
    head: unused,
    put: unused,
    page: unused,
    delete: unused,
    explain: (error, attempt) => {
      if (error instanceof StoreError) return error;
      return fault(attempt, unavailable("explained"), { cause: error });
    },
    isCutOff: (error) => error instanceof Error && error.message === "reset",
    close: async () => {},
    ...calls,
  };
}

function open(
  calls: Partial<Driver>,
  { silenceMs, clock = systemClock }: { silenceMs?: number; clock?: typeof systemClock } = {},
): RemoteStore {
  const options = { url: "fake://bucket/team", prefix: "team", silenceMs, clock };
  return new RemoteStore(driver(calls), options);
}

/** Takes no notice of anything. */
const deaf = () => new Promise<never>(() => {});

describe("a request under way", () => {
  it("has a signal of its own, and leaves no listener on the caller's", async () => {
    const { signal } = new AbortController();
    let listeners = 0;
    const { addEventListener, removeEventListener } = signal;
    signal.addEventListener = (...given: Parameters<typeof addEventListener>) => {
      listeners += 1;
      addEventListener.apply(signal, given);
    };
    signal.removeEventListener = (...given: Parameters<typeof removeEventListener>) => {
      listeners -= 1;
      removeEventListener.apply(signal, given);
    };
    await using store = open({
      head: async (name, call) => {
        assert.equal(name, "team/a");
        assert.equal(call.attempt.target, "fake://bucket/team/a");
        assert.notEqual(call.signal, signal);
        assert.ok(listeners > 0);
        return head;
      },
    });
    assert.deepEqual(await store.head("a", signal), { key: "a", ...head });
    assert.equal(listeners, 0);
  });

  it("ends at once, with the reason, when its caller aborts, and is not begun for one that has", async () => {
    const caller = new AbortController();
    const own: AbortSignal[] = [];
    await using store = open({
      head: (_, { signal }) => {
        own.push(signal);
        return deaf();
      },
    });
    const running = store.head("a", caller.signal);
    const stop = new Error("stop");
    caller.abort(stop);
    await rejectsWith(stop, running);
    await rejectsWith(stop, store.head("a", caller.signal));
    assert.equal(own.length, 1);
    assert.equal(own[0]?.reason, stop);
  });

  it("ends with the store, and none is begun after that", async () => {
    let closed = 0;
    const close = async () => {
      closed += 1;
    };
    const store = open({ head: deaf, close });
    const running = failsWith("STORE_CLOSED", store.head("a", never));
    await store[Symbol.asyncDispose]();
    const error = await running;
    assert.equal(
      error.message,
      "could not read fake://bucket/team/a at nowhere: the store was closed",
    );
    await failsWith("STORE_CLOSED", store.head("a", never));
    await failsWith("STORE_CLOSED", list(store, ""));
    assert.equal(closed, 1);
  });

  it("ends when nothing moves for too long, and says what was waited for; not while something does", async () => {
    const clock = new ManualClock();
    const moves: Call["moved"][] = [];
    await using store = open(
      {
        head: (_, { moved }) => {
          moves.push(moved);
          return deaf();
        },
      },
      { silenceMs: 1_000, clock },
    );
    const first = failsWith("STORE_UNAVAILABLE", store.head("a", never));
    await clock.advance(1_000);
    assert.match((await first).message, /not answer in time \(no access token within 1000 ms\)$/);
    const second = failsWith("STORE_UNAVAILABLE", store.head("a", never));
    for (let round = 0; round < 5; round += 1) {
      await clock.advance(900);
      moves[1]?.("rest of the answer");
    }
    await clock.advance(1_000);
    assert.match((await second).message, /in time \(no rest of the answer within 1000 ms\)$/);
  });
});

describe("a listing", () => {
  const object = (name: string) => ({ name, version, bytes: 2, putAt: undefined });
  const pages = (given: Readonly<Record<string, Page>>): Partial<Driver> => ({
    page: async (below, token) => {
      assert.equal(below, "team/");
      return given[token ?? ""] ?? assert.fail(`no page ${token}`);
    },
  });

  it("follows the tokens, and leaves out what is no key of the store", async () => {
    const names = ["team/a", "team/", "team/b/", "team/c//d", "teams/e", "team/f"];
    await using store = open(
      pages({
        "": { objects: names.map(object), next: "2" },
        "2": { objects: [], next: "3" },
        "3": { objects: [object("team/g")], next: undefined },
      }),
    );
    assert.deepEqual(await keys(store, ""), ["a", "f", "g"]);
  });

  it("is sorted where the server's is not", async () => {
    const objects = ["team/\u{1f600}", "team/\uff5e", "team/a/b", "team/a-b"].map(object);
    await using store = open({
      ...pages({ "": { objects, next: undefined } }),
      isListingSorted: false,
    });
    assert.deepEqual(await keys(store, ""), ["a-b", "a/b", "\uff5e", "\u{1f600}"]);
  });

  it("that goes on with the page it just gave, or never ends, is given up", async () => {
    await using stuck = open(
      pages({ "": { objects: [], next: "2" }, "2": { objects: [], next: "2" } }),
    );
    const same = await failsWith("STORE_UNAVAILABLE", list(stuck, ""));
    assert.match(
      same.message,
      /could not list fake:\/\/bucket\/team\/ at nowhere: .*does not go on/,
    );
    let count = 0;
    await using endless = open({
      isListingSorted: false,
      page: async () => {
        count += 1;
        return { objects: [], next: `${count}` };
      },
    });
    const error = await failsWith("STORE_MISCONFIGURED", list(endless, ""));
    assert.match(error.message, /the listing does not end, not after 1000 pages$/);
    assert.equal(count, 1_000);
  });
});

describe("a conditional write whose connection breaks", () => {
  const absent: Precondition = { ifAbsent: true };
  const cut = (there: Driver["head"]) =>
    open({
      put: async () => {
        throw new Error("reset");
      },
      head: there,
    });

  it("has lost where another object lies there", async () => {
    await using store = cut(async () => ({ ...head, bytes: 7 }));
    const error = await failsWith("STORE_PRECONDITION_FAILED", put(store, "a", "{}", {}, absent));
    assert.match(error.message, /the object exists already$/);
  });

  it("stays an outage where it may be what lies there, where that cannot be looked at, or without a condition", async () => {
    await using ours = cut(async () => head);
    await failsWith("STORE_UNAVAILABLE", put(ours, "a", "{}", {}, absent));
    await using blind = cut(async () => {
      throw new Error("reset");
    });
    await failsWith("STORE_UNAVAILABLE", put(blind, "a", "{}", {}, absent));
    await using unasked = cut(async () => assert.fail("looked"));
    const error = await failsWith("STORE_UNAVAILABLE", put(unasked, "a", "{}"));
    assert.equal((error.cause as Error).message, "reset");
  });

  const OURS = { bytes: 7, metadata: { "config-hash": "a", token: "3" } as Metadata };
  const OTHERS = {
    version: "v2" as Version,
    bytes: 7,
    metadata: { "config-hash": "b", token: "3" },
  };
  const OVER_V1 = { ...OURS, when: { ifVersion: version } };
  const IF_ABSENT = { ...OURS, when: absent };

  it("has lost where what lies there breaks its condition and differs in length or metadata", () => {
    assert.equal(hasLost(OVER_V1, OTHERS), true);
    assert.equal(hasLost(IF_ABSENT, OTHERS), true);
    assert.equal(hasLost(IF_ABSENT, { ...OTHERS, ...OURS, bytes: 8 }), true);
    assert.equal(hasLost(IF_ABSENT, { ...OTHERS, metadata: {} }), true);
  });

  it("may be the one that lies there, whatever else was added to its metadata", () => {
    const there = { ...OTHERS, metadata: { ...OURS.metadata, tier: "hot" } };
    assert.equal(hasLost(OVER_V1, there), false);
    assert.equal(hasLost(IF_ABSENT, there), false);
  });

  it("may still take effect where what it was to replace lies there", () => {
    assert.equal(hasLost(OVER_V1, { ...OTHERS, version }), false);
  });
});

describe("a body", () => {
  /** Reads `chunks` of so many letters each. */
  async function read(chunks: readonly number[], announced: number | undefined, maxBytes = 7) {
    const stream = Readable.from(chunks.map((length) => Buffer.alloc(length, "x")));
    const progress: unknown[] = [];
    const onProgress = (...args: unknown[]) => progress.push(args);
    let moves = 0;
    await using store = open({
      get: async (_, __, options, { attempt, signal }) => {
        const moved = () => {
          moves += 1;
        };
        const body = await readBody(stream, announced, options, { attempt, signal, moved });
        return { ...head, bytes: body.byteLength, body };
      },
    });
    const object = await store.get("a", { maxBytes, onProgress }, never).finally(() => {
      assert.ok(stream.destroyed || !stream.readableDidRead);
    });
    return { text: Buffer.from(object.body).toString(), progress, moves };
  }

  it("is given whole, with what came of how much, and each piece is a sign of life", async () => {
    const { text, progress, moves } = await read([3, 4], 7);
    assert.equal(text, "xxxxxxx");
    assert.deepEqual(progress, [
      [3, 7],
      [7, 7],
    ]);
    assert.equal(moves, 3);
    assert.equal((await read([3, 4], undefined)).text, "xxxxxxx");
  });

  it("is refused unread where it is announced to be too long, and at the first byte too many", async () => {
    const announced = await failsWith("STORE_TOO_LARGE", read([8], 8));
    assert.match(announced.message, /is 8 bytes long, more than the 7 allowed$/);
    assert.match(announced.hint ?? "", /Raise the limit only if/);
    const found = await failsWith("STORE_TOO_LARGE", read([5, 5, 5], undefined));
    assert.match(found.message, /at least 10 bytes long/);
  });

  it("is refused where there are fewer or more bytes than announced", async () => {
    const fewer = await failsWith("STORE_UNAVAILABLE", read([3], 7));
    assert.match(fewer.message, /only 3 of 7 bytes arrived$/);
    const more = await failsWith("STORE_UNAVAILABLE", read([3, 4], 6));
    assert.match(more.message, /more than the 6 bytes announced arrived$/);
  });
});
