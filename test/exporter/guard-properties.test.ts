import assert from "node:assert/strict";
import fc from "fast-check";
import { describe, it } from "vitest";
import { type GuardPolicy, judge } from "../../src/exporter/guard.ts";

const kind = fc.constantFrom(
  ...["services", "routes", "plugins", "consumers", "upstreams", "targets", "workspaces", "x"],
);
// Around the limits of 10 entities and of the percentages, and far from them.
const count = fc.oneof(fc.nat(25), fc.nat(200), fc.nat(1_000_000));
const counts = fc.dictionary(kind, count, { maxKeys: 8 });
const percent = fc.oneof(fc.nat(100), fc.constantFrom(0, 50, 100));
const policy: fc.Arbitrary<GuardPolicy> = fc.record({
  kind: fc.constant("on" as const),
  maxShrinkPercent: percent,
  maxShrinkPercentByKind: fc
    .array(fc.tuple(kind, percent), { maxLength: 4 })
    .map((limits) => new Map(limits)),
  minShrinkCount: fc.nat(20),
});
/** For every kind the part that stays, of 1000. */
const parts = fc.dictionary(kind, fc.oneof(fc.nat(1000), fc.constantFrom(0, 499, 500, 501, 1000)));

type Counts = Record<string, number>;

function reduced(from: Counts, stays: Counts): Counts {
  const entries = Object.entries(from).map(([name, many]) => {
    const part = stays[name] ?? 1000;
    return [name, Math.floor((many * part) / 1000)] as const;
  });
  // Of a kind without entities some configs have an empty array, some nothing.
  return Object.fromEntries(entries.filter(([name, many]) => many > 0 || name.length % 2 === 0));
}

describe("the guard, for any configs and limits", () => {
  it("holds what has even less than what it holds, and passes what has more than what it passes", () => {
    const verdicts = new Set<string>();
    fc.assert(
      fc.property(
        counts,
        counts,
        parts,
        parts,
        policy,
        (current, other, keep, keepLess, limits) => {
          const added = Object.entries(other).map(([name, many]) => [name, many + 1] as const);
          const more = { ...Object.fromEntries(added), ...reduced(current, keep) };
          const less = reduced(more, keepLess);
          const upper = judge(more, current, limits).kind;
          const lower = judge(less, current, limits).kind;
          verdicts.add(`${upper} ${lower}`);
          assert.notEqual(`${upper} ${lower}`, "held pass");
        },
      ),
      { numRuns: 5000 },
    );
    // All that is allowed was tried.
    assert.deepEqual([...verdicts].sort(), ["held held", "pass held", "pass pass"]);
  });

  it("never holds a config that lost nothing", () => {
    fc.assert(
      fc.property(counts, counts, policy, (current, more, limits) => {
        const names = new Set([...Object.keys(current), ...Object.keys(more)]);
        const grown = [...names].map((name) => [name, (current[name] ?? 0) + (more[name] ?? 0)]);
        const verdict = judge(Object.fromEntries(grown), current, limits);
        assert.deepEqual(verdict, { kind: "pass" });
      }),
      { numRuns: 2000 },
    );
  });

  it("gives at least one reason for holding, and one for a kind at most", () => {
    fc.assert(
      fc.property(counts, parts, policy, (current, keep, limits) => {
        const verdict = judge(reduced(current, keep), current, limits);
        if (verdict.kind === "pass") return;
        assert.ok(verdict.reasons.length >= 1);
        const kinds = verdict.reasons.map((reason) => reason.split(" fell from ")[0]);
        assert.equal(new Set(kinds).size, kinds.length);
      }),
    );
  });
});
