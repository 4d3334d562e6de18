import assert from "node:assert/strict";
import fc from "fast-check";
import { describe, it } from "vitest";
import type { HistoryEntry } from "../../src/snapshots/history.ts";
import { historyId } from "../../src/snapshots/layout.ts";
import { beyondRetention, type RetentionPolicy } from "../../src/snapshots/retention.ts";
import type { Version } from "../../src/store/port.ts";

const NOW = new Date("2026-11-21T12:00:00Z");

/** `age`: seconds before now; its hash is made of it. */
function entry(age: number, { held = false, bytes = 10 } = {}): HistoryEntry {
  const at = new Date(NOW.getTime() - age * 1000);
  return { ...historyId(at, hashOf(age), held), bytes, version: "v" as Version };
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
  return beyondRetention(entries, policy, { currentHash, now: NOW }).map(
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
        const context = { currentHash: hashOf(currentAge), now: NOW };
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
