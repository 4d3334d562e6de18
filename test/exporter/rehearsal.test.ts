/** An exporter that rehearses, with a rehearser that the test answers for. */

import assert from "node:assert/strict";
import { afterEach, describe, it } from "vitest";
import { Rehearsal } from "../../src/exporter/rehearsal.ts";
import { RehearsalError, type RehearsalResult } from "../../src/exporter/rehearser.ts";
import { StoreError } from "../../src/store/port.ts";
import { updateOf } from "../fakes/config.ts";
import { ManualClock } from "../fakes/manual-clock.ts";
import { MemoryStore } from "../fakes/memory-store.ts";
import { RecordingLog } from "../fakes/recording-log.ts";
import { bytesOf, KEY, type StageOptions, savedIn, setUp, until } from "./stage.ts";

const ALARM = "config held back: Kong refused it in the rehearsal, the current one stays";
const REASON = 'service "billing", field port: value should be between 0 and 65535';
const REFUSED = { kind: "refused", reasons: [REASON] } as const;
const AWAY = new RehearsalError("REHEARSAL_UNAVAILABLE", "Kong is away");
const A = updateOf("a");
const B = updateOf("b", 1_795_220_100);
const C = updateOf("c", 1_795_220_200);

let stop: (() => Promise<void>) | undefined;
afterEach(async () => stop?.());

interface SceneOptions extends StageOptions {
  readonly mode?: "required" | "best-effort";
}

/** `answer` is asked for each config that is rehearsed, by its text; by default it passes. */
function scene({ mode = "required", ...options }: SceneOptions = {}) {
  const clock = options.clock ?? new ManualClock();
  const rehearsed: string[] = [];
  const results: string[] = [];
  const log = new RecordingLog();
  const under = {
    answer: async (_: string): Promise<RehearsalResult> => ({ kind: "passed" }),
    running: 0,
  };
  const rehearsal = new Rehearsal({
    mode,
    log,
    metrics: { rehearsed: (result) => results.push(result) },
    rehearser: {
      async rehearse(config, signal) {
        assert.equal(under.running, 0, "two at a time");
        under.running += 1;
        const text = Buffer.from(config).toString();
        rehearsed.push(text);
        try {
          return await new Promise<RehearsalResult>((resolve, reject) => {
            signal.addEventListener("abort", () => reject(signal.reason));
            under.answer(text).then(resolve, reject);
          });
        } finally {
          under.running -= 1;
        }
      },
    },
  });
  const stage = setUp({ exportDelayMs: 0, lease: true, ...options, clock, gates: [rehearsal] });
  const end = async () => {
    stage.stop.abort();
    stage.deadline.abort();
    await stage.running;
  };
  stop = end;
  const send = async (update: typeof A) => {
    const received = stage.log.find("config received").length;
    stage.source.emitConfig(update);
    await until(clock, () => stage.log.find("config received").length > received);
  };
  const heldBy = () => stage.exporter.replicas[0]?.heldBy;
  return { ...stage, clock, rehearsed, results, rehearsalLog: log, under, send, heldBy, end };
}

function flag(store: MemoryStore, key = KEY): string | undefined {
  return store.objects.get(key)?.metadata["rehearsed"];
}

function heldIn(store: MemoryStore): readonly string[] {
  return [...store.objects.keys()].filter((key) => key.includes(".held."));
}

/** The oldest first. */
function keptIn(store: MemoryStore): readonly string[] {
  return [...store.objects.keys()].filter((key) => key.includes("/history/")).toSorted();
}

describe("an exporter that rehearses", () => {
  it("saves what passed, and says so", async () => {
    const store = new MemoryStore();
    const { clock, send, rehearsed, results, log } = scene({ stores: [store] });
    await send(A);
    await until(clock, () => log.find("snapshot saved").length === 1);
    assert.equal(flag(store), "true");
    assert.deepEqual(rehearsed, [bytesOf(A)]);
    assert.deepEqual(results, ["passed"]);
    await until(
      clock,
      () =>
        keptIn(store)
          .map((key) => flag(store, key))
          .join() === "true",
    );
  });

  it("keeps the current one where Kong refuses the next, holds that once, and goes on with a good one", async () => {
    const store = new MemoryStore();
    const { clock, send, rehearsed, log, rehearsalLog, under, heldBy, seen, source } = scene({
      stores: [store],
    });
    await send(A);
    await until(clock, () => savedIn(store) === bytesOf(A));
    under.answer = async () => REFUSED;
    await send(B);
    await until(clock, () => heldIn(store).length === 1);
    for (const timestamp of [1_795_220_110, 1_795_220_120]) await send({ ...B, timestamp });
    await until(clock, () => rehearsed.length === 2, 1_000);
    assert.equal(savedIn(store), bytesOf(A));
    assert.equal(heldBy(), "rehearsal");
    assert.equal(log.find(ALARM).length, 1);
    assert.deepEqual(log.find(ALARM)[0]?.fields["reasons"], [REASON]);
    assert.equal(rehearsalLog.find("error").length, 1);
    assert.equal(seen.filter((what) => what === "held by rehearsal").length, 1);
    const [held = ""] = heldIn(store);
    assert.equal(store.objects.get(held)?.metadata["held"], `rehearsal: ${REASON}`);
    assert.equal(flag(store, held), "false");
    assert.deepEqual(source.acknowledged, [A.configHash]);
    under.answer = async () => ({ kind: "passed" });
    await send(C);
    await until(clock, () => savedIn(store) === bytesOf(C));
    assert.equal(heldBy(), undefined);
    assert.deepEqual(rehearsed, [bytesOf(A), bytesOf(B), bytesOf(C)]);
  });

  it("waits for a Kong that is away, if it must", async () => {
    const store = new MemoryStore();
    const { clock, send, seen, results, under } = scene({ stores: [store] });
    under.answer = async () => Promise.reject(AWAY);
    await send(A);
    await until(clock, () => seen.filter((it) => it === AWAY.code).length >= 2);
    assert.equal(savedIn(store), "");
    under.answer = async () => ({ kind: "passed" });
    await until(clock, () => savedIn(store) === bytesOf(A));
    assert.equal(flag(store), "true");
    assert.equal(results.filter((result) => result === "passed").length, 1);
  });

  it("saves at once without it otherwise, warns once, and tries again when a config comes", async () => {
    const store = new MemoryStore();
    const { clock, send, results, rehearsed, rehearsalLog, under } = scene({
      stores: [store],
      mode: "best-effort",
    });
    under.answer = async () => Promise.reject(AWAY);
    await send(A);
    await until(clock, () => savedIn(store) === bytesOf(A));
    assert.equal(flag(store), "false");
    await send(B);
    await until(clock, () => savedIn(store) === bytesOf(B));
    assert.equal(rehearsalLog.find("warn").length, 1);
    assert.deepEqual(results, ["failed", "failed"]);
    under.answer = async () => ({ kind: "passed" });
    // The same config as before: it lies there already, but was not rehearsed.
    await send({ ...B, timestamp: 1_795_220_150 });
    await until(clock, () => flag(store) === "true");
    assert.equal(savedIn(store), bytesOf(B));
    assert.deepEqual(rehearsed, [bytesOf(A), bytesOf(B), bytesOf(B)]);
    // Written after the current one.
    await until(clock, () => keptIn(store).length === 3);
    const flags = keptIn(store).map((key) => flag(store, key));
    assert.deepEqual(flags, ["false", "false", "true"]);
  });

  it("rehearses once for all stores, and again for none that is late", async () => {
    const stores = [
      new MemoryStore({ url: "memory://a" }),
      new MemoryStore({ url: "memory://b" }),
    ] as const;
    const { clock, send, rehearsed, under } = scene({ stores });
    let pass: ((result: RehearsalResult) => void) | undefined;
    under.answer = () => new Promise((resolve) => (pass = resolve));
    stores[1].failNext(new StoreError("STORE_UNAVAILABLE", "down"));
    await send(A);
    await until(clock, () => pass !== undefined, 100);
    assert.deepEqual(stores.map(savedIn), ["", ""]);
    pass?.({ kind: "passed" });
    await until(clock, () => stores.every((store) => flag(store) === "true"), 100);
    assert.equal(rehearsed.length, 1);
  });

  it("rehearses nothing again after a restart that it finds rehearsed, not even under a new token", async () => {
    const store = new MemoryStore();
    const first = scene({ stores: [store] });
    await first.send(A);
    await until(first.clock, () => flag(store) === "true");
    await first.end();
    const second = scene({ stores: [store], id: "exporter-2" });
    second.under.answer = async () => Promise.reject(AWAY);
    await second.send(A);
    await until(second.clock, () => second.log.find("snapshot saved").length === 1, 100);
    assert.deepEqual(second.rehearsed, []);
    assert.equal(flag(store), "true");
  });

  it("rehearses what was saved before there were rehearsals, and lets it be if Kong refuses", async () => {
    const store = new MemoryStore();
    const before = setUp({ stores: [store], exportDelayMs: 0, lease: true });
    before.source.emitConfig(A);
    await until(before.clock, () => savedIn(store) === bytesOf(A));
    before.stop.abort();
    await before.running;
    const { clock, send, under, heldBy, rehearsalLog, end } = scene({ stores: [store] });
    under.answer = async () => REFUSED;
    await send(A);
    await until(clock, () => rehearsalLog.find("error").length === 1, 100);
    await until(clock, () => Number(store.objects.get(KEY)?.metadata["fencing-token"]) === 2, 100);
    assert.equal(heldBy(), undefined);
    assert.equal(flag(store), "false");
    assert.deepEqual(heldIn(store), []);
    await end();
    const next = scene({ stores: [store] });
    await next.send(A);
    await until(next.clock, () => flag(store) === "true", 100);
  });

  it("is not kept from ending by a Kong that hangs", async () => {
    const { clock, send, under, end, rehearsed } = scene();
    under.answer = () => new Promise(() => {});
    await send(A);
    await until(clock, () => rehearsed.length === 1);
    await end();
    await until(clock, () => under.running === 0);
  });
});
