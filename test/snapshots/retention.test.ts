import assert from "node:assert/strict";
import fc from "fast-check";
import { describe, it } from "vitest";
import type { HistoryEntry } from "../../src/snapshots/history.ts";
import { historyId } from "../../src/snapshots/layout.ts";
import { beyondRetention, type RetentionPolicy, timesOf } from "../../src/snapshots/retention.ts";
import type { Version } from "../../src/store/port.ts";

const NOW = new Date("2026-11-21T12:00:00Z");

interface EntryOptions {
  readonly held?: boolean;
  readonly bytes?: number;
  /** By the store's clock, seconds before now; that of the name if absent. */
  readonly storeAge?: number | undefined;
}

/** `age`: seconds before now; its hash is made of it. */
function entry(age: number, options: EntryOptions = {}): HistoryEntry {
  const { held = false, bytes = 10 } = options;
  const storeAge = "storeAge" in options ? options.storeAge : age;
  const putAt = storeAge === undefined ? undefined : ago(storeAge);
  return { ...historyId(ago(age), hashOf(age), held), bytes, version: "v" as Version, putAt };
}

function ago(seconds: number): Date {
  return new Date(NOW.getTime() - seconds * 1000);
}

function hashOf(age: number): string {
  return age.toString(16).padStart(12, "0");
}

/** Age and reason of each removal, in the order in which they happen. */
function plan(
  entries: readonly HistoryEntry[],
  policy: RetentionPolicy,
  currentHash?: string,
): readonly (readonly [number, string])[] {
  const times = { names: NOW, store: NOW };
  return beyondRetention(entries, policy, { currentHash, times }).map(
    ({ entry: { at }, reason }) => [(NOW.getTime() - at.getTime()) / 1000, reason],
  );
}

const FIVE = [1, 2, 3, 4, 5].map((age) => entry(age));

describe("what goes from the history", () => {
  it("is nothing without a limit", () => {
    assert.deepEqual(plan(FIVE, {}), []);
  });

  it("is what is beyond the count, the oldest first", () => {
    assert.deepEqual(plan(FIVE, { maxCount: 3 }), [
      [5, "count"],
      [4, "count"],
    ]);
    assert.deepEqual(plan(FIVE, { maxCount: 5 }), []);
  });

  it("is what is older than the age", () => {
    assert.deepEqual(plan(FIVE, { maxAgeMs: 3_000 }), [
      [5, "age"],
      [4, "age"],
    ]);
  });

  it("is not what is older by the name alone, or by the store alone", () => {
    const saved = [
      entry(1),
      entry(2),
      entry(9, { storeAge: 2 }),
      entry(8, { storeAge: undefined }),
    ];
    assert.deepEqual(plan(saved, { maxAgeMs: 3_000 }), [
      [9, "age"],
      [8, "age"],
    ]);
    const lately = [entry(1), entry(2), entry(9, { storeAge: 2 })];
    assert.deepEqual(plan(lately, { maxAgeMs: 3_000 }), []);
    assert.deepEqual(plan([entry(1), entry(2, { storeAge: 9 })], { maxAgeMs: 3_000 }), []);
  });

  it("is what is beyond the bytes, and all that is older", () => {
    const large = [entry(1), entry(2, { bytes: 90 }), entry(3), entry(4)];
    assert.deepEqual(plan(large, { maxTotalBytes: 100 }), [
      [4, "bytes"],
      [3, "bytes"],
    ]);
    assert.deepEqual(plan(large, { maxTotalBytes: 99 }), [
      [4, "bytes"],
      [3, "bytes"],
      [2, "bytes"],
    ]);
  });

  it("is never the newest, nor the current one, which count all the same", () => {
    const nothing = { maxCount: 0, maxAgeMs: 0, maxTotalBytes: 0 };
    assert.deepEqual(
      plan(FIVE, nothing).map(([age]) => age),
      [5, 4, 3, 2],
    );
    assert.deepEqual(
      plan(FIVE, nothing, hashOf(4)).map(([age]) => age),
      [5, 3, 2],
    );
    assert.deepEqual(
      plan(FIVE, { maxCount: 3 }, hashOf(5)).map(([age]) => age),
      [4, 3],
    );
  });

  it("is judged apart for those that were held back, and never the newest of them", () => {
    const held = [10, 11, 12].map((age) => entry(age, { held: true }));
    const all = [...held, ...FIVE];
    assert.deepEqual(
      plan(all, { maxCount: 2 }).map(([age]) => age),
      [12, 5, 4, 3],
    );
    assert.deepEqual(
      plan(all, { maxCount: 0 }, hashOf(11)).map(([age]) => age),
      [12, 11, 5, 4, 3, 2],
    );
  });

  it("does not depend on the order in which they are given", () => {
    const shuffled = [3, 1, 5, 2, 4].map((age) => entry(age));
    assert.deepEqual(plan(shuffled, { maxCount: 2 }), plan(FIVE, { maxCount: 2 }));
  });

  it("leaves, of any history, a part without gaps that is within the limits, and what is needed", () => {
    const history = fc
      .uniqueArray(
        fc.record({ age: fc.integer({ min: 0, max: 50 }), held: fc.boolean(), bytes: fc.nat(50) }),
        { selector: ({ age, held }) => `${age} ${held}`, maxLength: 12 },
      )
      .map((parts) => parts.map(({ age, held, bytes }) => entry(age, { held, bytes })));
    const limit = (max: number) => fc.option(fc.nat(max), { nil: undefined });
    const policy = fc.record({
      maxCount: limit(6),
      maxAgeMs: limit(50_000),
      maxTotalBytes: limit(200),
    });
    fc.assert(
      fc.property(history, policy, fc.nat(50), (entries, limits, currentAge) => {
        const times = { names: NOW, store: NOW };
        const context = { currentHash: hashOf(currentAge), times };
        const removals = beyondRetention(entries, limits, context);
        const removed = new Set(removals.map(({ entry: { id } }) => id));
        assert.equal(removed.size, removals.length);
        for (const held of [false, true]) {
          const group = entries
            .filter((e) => e.held === held)
            .sort((a, b) => (a.id < b.id ? 1 : -1));
          const kept = group.filter(({ id }) => !removed.has(id));
          const needed = group.filter(
            (e, i) => i === 0 || (!held && e.hash === context.currentHash),
          );
          assert.ok(needed.every(({ id }) => !removed.has(id)));
          const optional = kept.filter((e) => !needed.includes(e));
          if (optional.length === 0) continue;
          const bytes = kept.reduce((sum, e) => sum + e.bytes, 0);
          const oldestMs = Math.max(...optional.map(({ at }) => NOW.getTime() - at.getTime()));
          assert.ok(kept.length <= (limits.maxCount ?? Number.POSITIVE_INFINITY));
          assert.ok(bytes <= (limits.maxTotalBytes ?? Number.POSITIVE_INFINITY));
          assert.ok(oldestMs <= (limits.maxAgeMs ?? Number.POSITIVE_INFINITY));
          const newestGone = group.find(({ id }) => removed.has(id))?.id ?? "";
          assert.ok(optional.every(({ id }) => id > newestGone));
        }
      }),
    );
  });
});

const DAY = 86_400;

/** Ages of what goes after a save, by the history's own times; `now`: seconds after the exporter's clock would be right. */
function unattended(entries: readonly HistoryEntry[], now = 0): readonly number[] {
  const policy = { maxAgeMs: 90 * DAY * 1000 };
  const times = timesOf(entries, ago(-now));
  return beyondRetention(entries, policy, { currentHash: undefined, times }).map(
    ({ entry: { at } }) => (NOW.getTime() - at.getTime()) / 1000,
  );
}

describe("what goes after a save", () => {
  const eight = [1, 2, 3, 4, 5, 6, 7].map((days) => entry(days * DAY));

  it("is nothing where that save's clock was 100 days ahead, nor after the next", () => {
    const ahead = entry(-100 * DAY, { storeAge: 0 });
    assert.deepEqual(unattended([ahead, ...eight], 100 * DAY), []);
    const next = entry(-101 * DAY, { storeAge: -1 });
    assert.deepEqual(unattended([next, ahead, ...eight], 101 * DAY), []);
  });

  it("is nothing where the store's clock went with it, as that of a directory does", () => {
    const ahead = entry(-100 * DAY);
    assert.deepEqual(unattended([ahead, ...eight], 100 * DAY), []);
    const unknown = [entry(-100 * DAY, { storeAge: undefined })];
    const old = [1, 2].map((days) => entry(days * DAY, { storeAge: undefined }));
    assert.deepEqual(unattended([...unknown, ...old], 100 * DAY), []);
    const right = entry(-101 * DAY, { storeAge: -1 });
    assert.deepEqual(unattended([right, ahead, ...eight], 1), [], "set right again");
  });

  it("is what was older than the age at the save before", () => {
    const saved = [0, 1, 90.5, 92].map((days) => entry(days * DAY));
    assert.deepEqual(unattended(saved), [92 * DAY]);
    assert.deepEqual(unattended([entry(0), entry(200 * DAY)]), []);
  });
});
