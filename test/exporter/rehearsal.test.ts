/** Rehearsals by a rehearser that the test answers for: of an exporter, of one that lives on without, and of several writers at a time. */

import assert from "node:assert/strict";
import { setImmediate } from "node:timers/promises";
import { afterEach, describe, it } from "vitest";
import { Rehearsal, RehearsalError, type RehearsalResult } from "../../src/exporter/rehearsal.ts";
import type { ConfigUpdate } from "../../src/kong/reconfigure.ts";
import { StoreError } from "../../src/store/port.ts";
import { updateOf } from "../fakes/config.ts";
import { ManualClock } from "../fakes/manual-clock.ts";
import { MemoryStore } from "../fakes/memory-store.ts";
import { RecordingLog } from "../fakes/recording-log.ts";
import {
  bytesOf,
  candidateOf,
  heldIn,
  KEY,
  keptIn,
  type StageOptions,
  savedIn,
  setUp,
  until,
} from "./stage.ts";

const ALARM = "config held back: Kong refused it in the rehearsal, the current one stays";
const REASON = 'service "billing", field port: value should be between 0 and 65535';
const PASSED = { kind: "passed" } as const;
const REFUSED = { kind: "refused", reasons: [REASON] } as const;
const AWAY = new RehearsalError("REHEARSAL_UNAVAILABLE", "Kong is away");
const A = updateOf("a");
const B = updateOf("b", 1_795_220_100);
const C = updateOf("c", 1_795_220_200);
const HOUR_MS = 3_600_000;
const never = new AbortController().signal;

let stop: (() => Promise<void>) | undefined;
afterEach(async () => stop?.());

interface SceneOptions extends StageOptions {
  readonly mode?: "required" | "best-effort";
}

/** `under.answer` is asked for each config that is rehearsed, by its text; by default it passes. */
function scene({ mode = "required", ...options }: SceneOptions = {}) {
  const rehearsed: string[] = [];
  const results: string[] = [];
  const log = new RecordingLog();
  const under = {
    answer: async (_: string): Promise<RehearsalResult> => PASSED,
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
  const stage = setUp({ exportDelayMs: 0, lease: true, ...options, gates: [rehearsal] });
  const end = async () => {
    stage.stop.abort();
    stage.deadline.abort();
    await stage.running;
  };
  stop = end;
  const heldBy = () => stage.status().heldBy;
  return { ...stage, rehearsed, results, rehearsalLog: log, under, heldBy, end };
}

/** The metadata flag of an object. */
function flag(store: MemoryStore, key = KEY): string | undefined {
  return store.objects.get(key)?.metadata["rehearsed"];
}

describe("an exporter that rehearses", () => {
  it("saves what passed, and says so", async () => {
    const store = new MemoryStore();
    const { clock, send, rehearsed, results, log } = scene({ store });
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
      store,
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
    under.answer = async () => PASSED;
    await send(C);
    await until(clock, () => savedIn(store) === bytesOf(C));
    assert.equal(heldBy(), undefined);
    assert.deepEqual(rehearsed, [bytesOf(A), bytesOf(B), bytesOf(C)]);
  });

  it("waits for a Kong that is away, if it must", async () => {
    const store = new MemoryStore();
    const { clock, send, seen, results, under } = scene({ store });
    under.answer = async () => Promise.reject(AWAY);
    await send(A);
    await until(clock, () => seen.filter((it) => it === AWAY.code).length >= 2);
    assert.equal(savedIn(store), "");
    under.answer = async () => PASSED;
    await until(clock, () => savedIn(store) === bytesOf(A));
    assert.equal(flag(store), "true");
    assert.equal(results.filter((result) => result === "passed").length, 1);
  });

  it("saves at once without it otherwise, warns once, and tries again when a config comes", async () => {
    const store = new MemoryStore();
    const { clock, send, results, rehearsed, rehearsalLog, under } = scene({
      store,
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
    under.answer = async () => PASSED;
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
    pass?.(PASSED);
    await until(clock, () => stores.every((store) => flag(store) === "true"), 100);
    assert.equal(rehearsed.length, 1);
  });

  it("rehearses nothing again after a restart that it finds rehearsed, not even under a new token", async () => {
    const store = new MemoryStore();
    const first = scene({ store });
    await first.send(A);
    await until(first.clock, () => flag(store) === "true");
    await first.end();
    const second = scene({ store, id: "exporter-2" });
    second.under.answer = async () => Promise.reject(AWAY);
    await second.send(A);
    await until(second.clock, () => second.log.find("snapshot saved").length === 1, 100);
    assert.deepEqual(second.rehearsed, []);
    assert.equal(flag(store), "true");
  });

  it("rehearses what was saved before there were rehearsals, and lets it be if Kong refuses", async () => {
    const store = new MemoryStore();
    const before = setUp({ store, exportDelayMs: 0, lease: true });
    before.source.emitConfig(A);
    await until(before.clock, () => savedIn(store) === bytesOf(A));
    before.stop.abort();
    await before.running;
    const { clock, send, under, heldBy, rehearsalLog, end } = scene({ store });
    under.answer = async () => REFUSED;
    await send(A);
    await until(clock, () => rehearsalLog.find("error").length === 1, 100);
    await until(clock, () => Number(store.objects.get(KEY)?.metadata["fencing-token"]) === 2, 100);
    assert.equal(heldBy(), undefined);
    assert.equal(flag(store), "false");
    assert.deepEqual(heldIn(store), []);
    await end();
    const next = scene({ store });
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

describe("an exporter that must rehearse", () => {
  it("keeps its lease and the newest config through hours without Kong, and shows the lag", async () => {
    const clock = new ManualClock();
    const store = new MemoryStore();
    const { source, exporter, log, seen, under, rehearsed, end } = scene({
      clock,
      store,
      retry: { minMs: 1_000, maxMs: 30_000 },
    });
    source.emitConfig(A);
    await until(clock, () => flag(store) === "true");
    const from = clock.monotonicMs();
    const tries = rehearsed.length;
    under.answer = async () => Promise.reject(AWAY);
    const updates: ConfigUpdate[] = [];
    for (let hour = 1; hour <= 3; hour += 1) {
      const update = updateOf(`of hour ${hour}`, 1_795_220_000 + hour);
      updates.push(update);
      source.emitConfig(update);
      const failures = () => seen.filter((it) => it === AWAY.code).length;
      const before = failures();
      await until(
        clock,
        () => clock.monotonicMs() - from >= hour * HOUR_MS && failures() > before,
        1_000,
      );
    }
    const [status] = exporter.replicas;
    assert.equal(status?.leadership?.kind, "holder");
    assert.equal(log.find("lease acquired, this exporter writes").length, 1);
    // Since the first of them came.
    assert.ok((status?.lagMs ?? 0) >= 3 * HOUR_MS - 2_000, `${status?.lagMs}`);
    assert.equal(savedIn(store), bytesOf(A));
    assert.equal(status?.heldBy, undefined);
    under.answer = async () => PASSED;
    const newest = updates.at(-1) ?? A;
    await until(clock, () => savedIn(store) === bytesOf(newest));
    const last = rehearsed.slice(tries).at(-1);
    assert.equal(last, bytesOf(newest));
    await until(clock, () => exporter.replicas[0]?.lagMs === 0);
    // One that Kong never took is nowhere.
    await until(clock, () => keptIn(store).length >= 2);
    assert.equal(keptIn(store).length, 2);
    await end();
  });

  it("ends the rehearsal it is in when it is told to stop, saves, and only then goes", async () => {
    const clock = new ManualClock();
    const store = new MemoryStore();
    const { source, stop, running, under, rehearsed } = scene({ clock, store });
    let pass: ((result: RehearsalResult) => void) | undefined;
    under.answer = () => new Promise((resolve) => (pass = resolve));
    source.emitConfig(A);
    await until(clock, () => rehearsed.length === 1);
    stop.abort();
    await clock.advance(1_000);
    pass?.(PASSED);
    assert.equal(await running, true);
    assert.equal(savedIn(store), bytesOf(A));
    assert.ok(flag(store) === "true");
    assert.equal(rehearsed.length, 1);
  });

  it("leaves a config to the next one where it must go before Kong has answered, and writes nothing late", async () => {
    const clock = new ManualClock();
    const store = new MemoryStore();
    const first = scene({ clock, store, id: "exporter-1" });
    first.source.emitConfig(A);
    await until(clock, () => flag(store) === "true");
    const second = scene({ clock, store, id: "exporter-2" });
    second.source.emitConfig(A);
    await until(clock, () => second.exporter.replicas[0]?.leadership?.kind === "follower", 100);
    let pass: ((result: RehearsalResult) => void) | undefined;
    first.under.answer = () => new Promise((resolve) => (pass = resolve));
    for (const { source } of [first, second]) source.emitConfig(B);
    await until(clock, () => first.rehearsed.length === 2);
    first.stop.abort();
    first.deadline.abort();
    assert.equal(await first.running, false);
    pass?.(PASSED);
    await until(clock, () => savedIn(store) === bytesOf(B), 500);
    assert.equal(store.objects.get(KEY)?.metadata["exporter-id"], "exporter-2");
    assert.ok(flag(store) === "true");
    assert.deepEqual(second.rehearsed, [bytesOf(B)]);
    assert.ok(
      !first.log.find("snapshot saved").some(({ fields }) => fields["configHash"] === B.configHash),
    );
    await second.end();
  });

  it("rehearses for a store that lacks what another one has as rehearsed", async () => {
    const clock = new ManualClock();
    const [full, empty] = [new MemoryStore({ url: "memory://a" }), new MemoryStore()];
    const before = scene({ clock, store: full });
    before.source.emitConfig(A);
    await until(clock, () => flag(full) === "true");
    await before.end();
    const { source, rehearsed, end } = scene({ clock, stores: [full, empty] });
    source.emitConfig(A);
    await until(clock, () => flag(empty) === "true", 100);
    assert.equal(savedIn(empty), bytesOf(A));
    assert.deepEqual(rehearsed, [bytesOf(A)]);
    assert.ok(flag(full) === "true");
    await end();
  });
});

/** A rehearsal without an exporter, whose rehearser waits until the test answers. */
function pendingScene() {
  const begun: string[] = [];
  const pending: {
    resolve: (result: RehearsalResult) => void;
    reject: (error: unknown) => void;
    signal: AbortSignal;
  }[] = [];
  const rehearsal = new Rehearsal({
    mode: "required",
    log: new RecordingLog(),
    metrics: { rehearsed: () => {} },
    rehearser: {
      rehearse: (config, signal) =>
        new Promise((resolve, reject) => {
          begun.push(Buffer.from(config).toString());
          pending.push({ resolve, reject, signal });
          signal.addEventListener("abort", () => reject(signal.reason));
        }),
    },
  });
  const begins = async (count: number) => {
    while (begun.length < count) await setImmediate();
  };
  return { rehearsal, begun, pending, begins };
}

describe("the rehearsal of several writers", () => {
  it("never has two configs at a time", async () => {
    const { rehearsal, begun, pending, begins } = pendingScene();
    const first = rehearsal.examine(candidateOf(A), never);
    const second = rehearsal.examine(candidateOf(B), never);
    await begins(1);
    for (let turns = 0; turns < 10; turns += 1) await setImmediate();
    assert.deepEqual(begun, [bytesOf(A)]);
    pending[0]?.resolve(PASSED);
    await begins(2);
    pending[1]?.resolve({ kind: "refused", reasons: ["no"] });
    assert.deepEqual(await first, { kind: "pass", rehearsed: true });
    assert.deepEqual(await second, { kind: "held", reasons: ["no"] });
    assert.deepEqual(begun, [bytesOf(A), bytesOf(B)]);
  });

  it("tells all who wait that it failed, and begins anew when it is asked again", async () => {
    const { rehearsal, begun, pending, begins } = pendingScene();
    const writers = [1, 2].map(() => rehearsal.examine(candidateOf(A), never));
    await begins(1);
    pending[0]?.reject(AWAY);
    const outcomes = await Promise.allSettled(writers);
    assert.deepEqual(
      outcomes.map((outcome) => outcome.status === "rejected" && outcome.reason),
      [AWAY, AWAY],
    );
    assert.equal(begun.length, 1);
    const again = rehearsal.examine(candidateOf(A), never);
    await begins(2);
    pending[1]?.resolve(PASSED);
    assert.deepEqual(await again, { kind: "pass", rehearsed: true });
  });

  it("goes on for one when another one gives up, and ends with the last", async () => {
    const { rehearsal, pending, begins } = pendingScene();
    const [one, other] = [new AbortController(), new AbortController()];
    const writers = [one, other].map(({ signal }) => rehearsal.examine(candidateOf(A), signal));
    for (const writer of writers) writer.catch(() => {});
    await begins(1);
    one.abort();
    await assert.rejects(writers[0] ?? assert.fail(), one.signal.reason);
    assert.equal(pending[0]?.signal.aborted, false);
    let next: Promise<unknown> | undefined;
    // As early as anybody could come who must not join what is given up.
    pending[0]?.signal.addEventListener("abort", () => {
      next = rehearsal.examine(candidateOf(A), never);
      next.catch(() => {});
    });
    other.abort();
    await assert.rejects(writers[1] ?? assert.fail(), other.signal.reason);
    assert.ok(next);
    await begins(2);
    pending[1]?.resolve(PASSED);
    assert.deepEqual(await next, { kind: "pass", rehearsed: true });
  });
});
