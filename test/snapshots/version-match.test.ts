import assert from "node:assert/strict";
import fc from "fast-check";
import { describe, it } from "vitest";
import type { KongVersion } from "../../src/kong/version.ts";
import { isNearer, olderVersions, type VersionMatch } from "../../src/snapshots/order.ts";
import { kongVersion } from "../fakes/config.ts";

function older(wanted: string, available: readonly string[], match: VersionMatch) {
  return olderVersions(kongVersion(wanted), available.map(kongVersion), match);
}

describe("which versions may stand in for another", () => {
  const saved = ["2.8.5", "3.4.2", "3.8.1", "3.9.0", "3.9.1", "3.9.2", "3.10.0", "4.0.0"];

  it("none where the match is to be exact", () => {
    assert.deepEqual(older("3.9.1", saved, "exact"), []);
  });

  it("by patch, older ones of the same major and minor number, the nearest first", () => {
    assert.deepEqual(older("3.9.1", saved, "patch"), ["3.9.0"]);
    assert.deepEqual(older("3.9.3", saved, "patch"), ["3.9.2", "3.9.1", "3.9.0"]);
    assert.deepEqual(older("3.8.0", saved, "patch"), []);
  });

  it("by minor, older ones of the same major number, the nearest first", () => {
    assert.deepEqual(older("3.9.1", saved, "minor"), ["3.9.0", "3.8.1", "3.4.2"]);
    assert.deepEqual(older("3.10.1", ["3.9.2", "3.10.0"], "minor"), ["3.10.0", "3.9.2"]);
    assert.deepEqual(older("4.0.0", ["3.10.0"], "minor"), []);
  });

  it("by the 4th number of Enterprise as by a patch, a missing one counting as 0", () => {
    const enterprise = ["3.4.3.4", "3.4.3.6", "3.4.3", "3.4.3.12", "3.4.2.99"];
    assert.deepEqual(older("3.4.3.5", enterprise, "patch"), ["3.4.3.4", "3.4.3", "3.4.2.99"]);
    assert.deepEqual(older("3.4.3", enterprise, "patch"), ["3.4.2.99"]);
    assert.deepEqual(older("3.4.3", ["3.4.3.0"], "patch"), ["3.4.3.0"]);
    assert.deepEqual(older("3.4.3.5", enterprise, "exact"), []);
  });

  it("only with the same suffix", () => {
    const editions = [
      "3.9.0",
      "3.9.0-enterprise-edition",
      "3.9.0-rc.1",
      "3.8.9-enterprise-edition",
    ];
    const wanted = "3.9.1-enterprise-edition";
    assert.deepEqual(older(wanted, editions, "patch"), ["3.9.0-enterprise-edition"]);
    assert.deepEqual(older(wanted, editions, "minor"), [
      "3.9.0-enterprise-edition",
      "3.8.9-enterprise-edition",
    ]);
    assert.deepEqual(older("3.9.0", ["3.9.0-rc.1"], "patch"), []);
  });
});

describe("for any versions", () => {
  const number = fc.integer({ min: 0, max: 3 });
  const version = fc
    .tuple(number, number, number, fc.option(number), fc.constantFrom("", "-ee"))
    .map(([a, b, c, d, suffix]) =>
      kongVersion(`${a}.${b}.${c}${d === null ? "" : `.${d}`}${suffix}`),
    );
  const versions = fc.uniqueArray(version, { maxLength: 20 });

  /** Sorts as the version does; each number has one digit. */
  const order = (of: KongVersion) => {
    const [a, b, c, d = "0"] = of.replace("-ee", "").split(".");
    return Number(`${a}${b}${c}${d}`);
  };

  it("no newer one, no other suffix and not the wanted one stands in, and the nearest comes first", () => {
    fc.assert(
      fc.property(version, versions, fc.constantFrom("patch", "minor"), (wanted, saved, match) => {
        const found = olderVersions(wanted, saved, match as VersionMatch);
        assert.ok(found.every((of) => saved.includes(of) && of !== wanted));
        assert.ok(found.every((of) => of.endsWith("-ee") === wanted.endsWith("-ee")));
        assert.ok(found.every((of) => order(of) <= order(wanted)));
        const orders = found.map(order);
        assert.deepEqual(
          orders,
          orders.toSorted((a, b) => b - a),
        );
      }),
    );
  });

  it("minor takes all that patch takes, before any other, and exact takes none", () => {
    fc.assert(
      fc.property(version, versions, (wanted, saved) => {
        const patch = olderVersions(wanted, saved, "patch");
        const minor = olderVersions(wanted, saved, "minor");
        assert.deepEqual(minor.slice(0, patch.length), patch);
        assert.deepEqual(olderVersions(wanted, saved, "exact"), []);
      }),
    );
  });

  it("of two, at most one is nearer: the wanted one, else the one that comes first", () => {
    fc.assert(
      fc.property(version, version, version, (wanted, a, b) => {
        const isOrdered = isNearer(wanted, a, b);
        assert.ok(!isOrdered || !isNearer(wanted, b, a));
        if (a === wanted && b !== wanted) assert.ok(isOrdered);
        const [first, second] = olderVersions(wanted, [a, b], "minor");
        if (wanted === a || wanted === b || first === undefined) return;
        if (second === undefined) assert.equal(isOrdered, first === a && a !== b);
        else assert.equal(isOrdered, order(a) > order(b));
      }),
    );
  });
});
