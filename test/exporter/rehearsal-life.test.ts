/** What becomes of configs while the rehearsal Kong is away, while the exporter ends, and where stores differ. */

import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { Rehearsal } from "../../src/exporter/rehearsal.ts";
import { RehearsalError, type RehearsalResult } from "../../src/exporter/rehearser.ts";
import type { ConfigUpdate } from "../../src/kong/reconfigure.ts";
import { updateOf } from "../fakes/config.ts";
import { ManualClock } from "../fakes/manual-clock.ts";
import { MemoryStore } from "../fakes/memory-store.ts";
import { RecordingLog } from "../fakes/recording-log.ts";
import { bytesOf, KEY, type StageOptions, savedIn, setUp, until } from "./stage.ts";

const PASSED = { kind: "passed" } as const;
const AWAY = new RehearsalError("REHEARSAL_UNAVAILABLE", "Kong is away");
const A = updateOf("a");
const B = updateOf("b", 1_795_220_100);
const HOUR_MS = 3_600_000;

type Answer = (signal: AbortSignal) => Promise<RehearsalResult>;

/** An exporter whose rehearsal Kong does as `kong.answer` says; it passes everything by default. */
function start(options: StageOptions) {
  const rehearsed: string[] = [];
  const kong: { answer: Answer } = { answer: async () => PASSED };
  const rehearser = {
    rehearse: (config: Uint8Array, signal: AbortSignal) => {
      rehearsed.push(Buffer.from(config).toString());
      return kong.answer(signal);
    },
  };
  const log = new RecordingLog();
  const metrics = { rehearsed: () => {} };
  const rehearsal = new Rehearsal({ mode: "required", rehearser, log, metrics });
  const stage = setUp({ exportDelayMs: 0, lease: true, ...options, gates: [rehearsal] });
  const end = async () => {
    stage.stop.abort();
    stage.deadline.abort();
    await stage.running;
  };
  return { ...stage, kong, rehearsed, end };
}

/** Resolves when the test says so, or rejects when nobody waits any more. */
function onDemand() {
  let pass = () => {};
  const answer: Answer = (signal) =>
    new Promise((resolve, reject) => {
      pass = () => resolve(PASSED);
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    });
  return { answer, pass: () => pass() };
}

function isRehearsed(store: MemoryStore): boolean {
  return store.objects.get(KEY)?.metadata["rehearsed"] === "true";
}

describe("an exporter that must rehearse", () => {
  it("keeps its lease and the newest config through hours without Kong, and shows the lag", async () => {
    const clock = new ManualClock();
    const store = new MemoryStore();
    const { source, exporter, log, seen, kong, rehearsed, end } = start({ clock, stores: [store] });
    source.emitConfig(A);
    await until(clock, () => isRehearsed(store));
    const from = clock.monotonicMs();
    const tries = rehearsed.length;
    kong.answer = async () => Promise.reject(AWAY);
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
    kong.answer = async () => PASSED;
    const newest = updates.at(-1) ?? A;
    await until(clock, () => savedIn(store) === bytesOf(newest));
    const last = rehearsed.slice(tries).at(-1);
    assert.equal(last, bytesOf(newest));
    await until(clock, () => exporter.replicas[0]?.lagMs === 0);
    // One that Kong never took is nowhere.
    const kept = () => [...store.objects.keys()].filter((key) => key.includes("/history/"));
    await until(clock, () => kept().length >= 2);
    assert.equal(kept().length, 2);
    await end();
  });

  it("ends the rehearsal it is in when it is told to stop, saves, and only then goes", async () => {
    const clock = new ManualClock();
    const store = new MemoryStore();
    const { source, stop, running, kong, rehearsed } = start({ clock, stores: [store] });
    const { answer, pass } = onDemand();
    kong.answer = answer;
    source.emitConfig(A);
    await until(clock, () => rehearsed.length === 1);
    stop.abort();
    await clock.advance(1_000);
    pass();
    assert.equal(await running, true);
    assert.equal(savedIn(store), bytesOf(A));
    assert.ok(isRehearsed(store));
    assert.equal(rehearsed.length, 1);
  });

  it("leaves a config to the next one where it must go before Kong has answered, and writes nothing late", async () => {
    const clock = new ManualClock();
    const store = new MemoryStore();
    const first = start({ clock, stores: [store], id: "exporter-1" });
    first.source.emitConfig(A);
    await until(clock, () => isRehearsed(store));
    const second = start({ clock, stores: [store], id: "exporter-2" });
    second.source.emitConfig(A);
    await until(clock, () => second.exporter.replicas[0]?.leadership?.kind === "follower", 100);
    const { answer, pass } = onDemand();
    first.kong.answer = answer;
    for (const { source } of [first, second]) source.emitConfig(B);
    await until(clock, () => first.rehearsed.length === 2);
    first.stop.abort();
    first.deadline.abort();
    assert.equal(await first.running, false);
    pass();
    await until(clock, () => savedIn(store) === bytesOf(B), 500);
    assert.equal(store.objects.get(KEY)?.metadata["exporter-id"], "exporter-2");
    assert.ok(isRehearsed(store));
    assert.deepEqual(second.rehearsed, [bytesOf(B)]);
    assert.ok(
      !first.log.find("snapshot saved").some(({ fields }) => fields["configHash"] === B.configHash),
    );
    await second.end();
  });

  it("rehearses for a store that lacks what another one has as rehearsed", async () => {
    const clock = new ManualClock();
    const [full, empty] = [new MemoryStore({ url: "memory://a" }), new MemoryStore()];
    const before = start({ clock, stores: [full] });
    before.source.emitConfig(A);
    await until(clock, () => isRehearsed(full));
    await before.end();
    const { source, rehearsed, end } = start({ clock, stores: [full, empty] });
    source.emitConfig(A);
    await until(clock, () => isRehearsed(empty), 100);
    assert.equal(savedIn(empty), bytesOf(A));
    assert.deepEqual(rehearsed, [bytesOf(A)]);
    assert.ok(isRehearsed(full));
    await end();
  });
});
