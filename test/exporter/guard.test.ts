import assert from "node:assert/strict";
import fc from "fast-check";
import { describe, it } from "vitest";
import { compareCounts, type GuardPolicy, parseGuardPolicy } from "../../src/exporter/guard.ts";
import type { EntityCounts } from "../../src/kong/entity-counts.ts";

function policyOf(text: string): GuardPolicy {
  const policy = parseGuardPolicy(text);
  assert.ok(policy !== undefined, text);
  return policy;
}

function reasonsFor(fresh: EntityCounts, current: EntityCounts, policy = "*=50") {
  const answer = compareCounts(fresh, current, policyOf(policy));
  return answer.kind === "held" ? answer.reasons : [];
}

/** What a fresh control plane sends: test/fixtures/captures, 3.9.1/empty. */
const FRESH = { workspaces: 1, parameters: 1 };
const USUAL = { ...FRESH, services: 100, routes: 200, plugins: 40, consumers: 1000 };

describe("the guard's rules", () => {
  it("never hold a first export", () => {
    assert.deepEqual(compareCounts(FRESH, undefined, policyOf("*=0")), { kind: "pass" });
  });

  it("hold an empty config, however small the current one, and whatever else it still has", () => {
    assert.deepEqual(reasonsFor(FRESH, { ...FRESH, services: 1, routes: 2 }, "*=100"), [
      "no services, routes, plugins or consumers, where the current config has 1 services, 2 routes",
    ]);
    assert.equal(reasonsFor({ plugins: 0, certificates: 3 }, { plugins: 1 }).length, 1);
  });

  it("let an empty config follow an empty one", () => {
    assert.deepEqual(reasonsFor(FRESH, { ...FRESH, certificates: 2, plugins: 0 }), []);
  });

  const cases: readonly {
    readonly name: string;
    readonly current: EntityCounts;
    readonly fresh: EntityCounts;
    readonly policy?: string;
    readonly reasons: readonly string[];
  }[] = [
    {
      name: "hold a kind that loses more than half, and say what it lost",
      current: { services: 120, routes: 1000 },
      fresh: { services: 3, routes: 1000 },
      reasons: ["services fell from 120 to 3 (-97.5 %, allowed 50 %)"],
    },
    {
      name: "pass a loss of exactly the limit",
      current: { consumers: 1000, routes: 1 },
      fresh: { consumers: 500, routes: 1 },
      reasons: [],
    },
    {
      name: "hold the next one, and never print it like the limit",
      current: { consumers: 100_001, routes: 100_000 },
      fresh: { consumers: 50_000, routes: 100_000 },
      reasons: ["consumers fell from 100001 to 50000 (-50.1 %, allowed 50 %)"],
    },
    {
      name: "hold a kind that vanished",
      current: { routes: 100, keyauth_credentials: 10 },
      fresh: { routes: 100 },
      reasons: ["keyauth_credentials fell from 10 to 0 (-100 %, allowed 50 %)"],
    },
    {
      name: "pass a loss of fewer than 10, however large its part",
      current: { routes: 100, services: 10, acls: 9 },
      fresh: { routes: 100, services: 1 },
      reasons: [],
    },
    {
      name: "pass the usual changes of a small config",
      current: { services: 3, routes: 3, plugins: 1 },
      fresh: { services: 1, routes: 1 },
      reasons: [],
    },
    {
      name: "hold a small config that lost its last service and route",
      current: { services: 3, routes: 4, plugins: 12 },
      fresh: { plugins: 12 },
      reasons: [
        "routes fell from 4 to 0 (-100 %, allowed 50 %)",
        "services fell from 3 to 0 (-100 %, allowed 50 %)",
      ],
    },
    {
      name: "hold many small losses that are a large one together",
      current: { services: 8, routes: 12, plugins: 8, consumers: 4, acls: 4 },
      fresh: { services: 2, routes: 6, plugins: 2, consumers: 2, acls: 2 },
      reasons: ["all entities fell from 36 to 14 (-61.2 %, allowed 50 %)"],
    },
    {
      name: "name the greatest loss first",
      current: { a: 30, b: 50, c: 50, routes: 900 },
      fresh: { c: 1, b: 1, routes: 900 },
      reasons: [
        "b fell from 50 to 1 (-98 %, allowed 50 %)",
        "c fell from 50 to 1 (-98 %, allowed 50 %)",
        "a fell from 30 to 0 (-100 %, allowed 50 %)",
      ],
    },
    {
      name: "do not watch what is Kong's own or expires by itself",
      current: { ...USUAL, workspaces: 50, parameters: 50, oauth2_authorization_codes: 9999 },
      fresh: { ...USUAL, workspaces: 0 },
      reasons: [],
    },
    {
      name: "watch even that if the setting names it",
      current: { ...USUAL, workspaces: 50 },
      fresh: { ...USUAL, workspaces: 1 },
      policy: "workspaces=50",
      reasons: ["workspaces fell from 50 to 1 (-98 %, allowed 50 %)"],
    },
    {
      name: "go by a kind's own limit",
      current: { ...USUAL, services: 100, routes: 200 },
      fresh: { ...USUAL, services: 79, routes: 150 },
      policy: "services=20,routes=30",
      reasons: ["services fell from 100 to 79 (-21 %, allowed 20 %)"],
    },
    {
      name: "leave a kind that may lose more out of what all together may lose",
      current: { ...USUAL, consumers: 100_000 },
      fresh: { ...USUAL, consumers: 0 },
      policy: "consumers=100",
      reasons: [],
    },
    {
      name: "let the last route go where its limit says so",
      current: { routes: 2, plugins: 2 },
      fresh: { plugins: 2 },
      policy: "routes=100",
      reasons: [],
    },
    {
      name: "hold nothing if they are off",
      current: USUAL,
      fresh: {},
      policy: "off",
      reasons: [],
    },
    {
      name: "take a kind for what it is called, not for what objects inherit",
      current: { routes: 100, constructor: 50 },
      fresh: { routes: 100 },
      reasons: ["constructor fell from 50 to 0 (-100 %, allowed 50 %)"],
    },
  ];
  for (const { name, current, fresh, policy, reasons } of cases) {
    it(name, () => assert.deepEqual(reasonsFor(fresh, current, policy), reasons));
  }
});

describe("the guard's setting", () => {
  it("gives limits by kind, and 50 for the others unless it says another", () => {
    const own = new Map([
      ["services", 20],
      ["my-dao", 0],
    ]);
    const limits = { kind: "on", maxShrinkPercentByKind: own, minShrinkCount: 10 } as const;
    assert.deepEqual(policyOf(" services=20 ,my-dao=0"), { ...limits, maxShrinkPercent: 50 });
    assert.deepEqual(policyOf("services=20,*=100,my-dao=0"), { ...limits, maxShrinkPercent: 100 });
    const floor = { ...limits, maxShrinkPercent: 20, maxShrinkPercentByKind: new Map() };
    assert.deepEqual(policyOf("*=20,floor=3"), { ...floor, minShrinkCount: 3 });
    assert.deepEqual(policyOf("off"), { kind: "off" });
  });

  it("is refused where any part of it cannot be meant", () => {
    const texts = ["", "on", "50", "*", "*=", "*=101", "*=-1", "*=5.5", "*=50%", "services 20"];
    const more = [
      "*=50,",
      "*=50,*=60",
      "services=1,services=2",
      "off,*=50",
      "floor=1,floor=2",
      "_a=1",
      "a b=1",
    ];
    for (const text of [...texts, ...more]) assert.equal(parseGuardPolicy(text), undefined, text);
  });
});

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
    const answers = new Set<string>();
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
          const upper = compareCounts(more, current, limits).kind;
          const lower = compareCounts(less, current, limits).kind;
          answers.add(`${upper} ${lower}`);
          assert.notEqual(`${upper} ${lower}`, "held pass");
        },
      ),
      { numRuns: 5000 },
    );
    // All that is allowed was tried.
    assert.deepEqual([...answers].sort(), ["held held", "pass held", "pass pass"]);
  });

  it("never holds a config that lost nothing", () => {
    fc.assert(
      fc.property(counts, counts, policy, (current, more, limits) => {
        const names = new Set([...Object.keys(current), ...Object.keys(more)]);
        const grown = [...names].map((name) => [name, (current[name] ?? 0) + (more[name] ?? 0)]);
        const answer = compareCounts(Object.fromEntries(grown), current, limits);
        assert.deepEqual(answer, { kind: "pass" });
      }),
      { numRuns: 2000 },
    );
  });

  it("gives at least one reason for holding, and one for a kind at most", () => {
    fc.assert(
      fc.property(counts, parts, policy, (current, keep, limits) => {
        const answer = compareCounts(reduced(current, keep), current, limits);
        if (answer.kind === "pass") return;
        assert.ok(answer.reasons.length >= 1);
        const kinds = answer.reasons.map((reason) => reason.split(" fell from ")[0]);
        assert.equal(new Set(kinds).size, kinds.length);
      }),
    );
  });
});
