import assert from "node:assert/strict";
import fc from "fast-check";
import { describe, it } from "vitest";
import type { KongVersion } from "../../src/kong/version.ts";
import {
  isNearer,
  isNewer,
  isSameConfig,
  olderVersions,
  type VersionMatch,
  whyStale as whyStaleAt,
} from "../../src/snapshots/order.ts";
import { describeBare, type SnapshotMetadata, takenAt } from "../../src/snapshots/snapshot.ts";
import { configBytes, kongVersion, snapshotOf, V391 } from "../fakes/config.ts";

const TAKEN = new Date("2026-11-21T12:00:00Z");
const NOW = TAKEN.getTime() / 1000;
const of = (overrides: Partial<SnapshotMetadata>) =>
  snapshotOf("a", {
    exportedAt: TAKEN,
    controlPlaneTimestamp: NOW,
    fencingToken: 7,
    ...overrides,
  }).metadata;
const ANOTHER = { exporterId: "exporter-2" };

/** When it is written at once. */
const whyStale = (fresh: SnapshotMetadata, stored: SnapshotMetadata) =>
  whyStaleAt(fresh, stored, fresh.exportedAt);

function assertReplaces(fresh: SnapshotMetadata, stored: SnapshotMetadata): void {
  assert.equal(whyStale(fresh, stored), undefined);
}

describe("which snapshot may replace which", () => {
  it("never a lower fencing token a higher one, whatever the clocks and whoever saved it", () => {
    const stored = of({ fencingToken: 8, controlPlaneTimestamp: 1 });
    const why = { rule: "token", stored: 8, fresh: 7 };
    assert.deepEqual(whyStale(of({}), stored), why);
    assert.deepEqual(whyStale(of({}), { ...stored, ...ANOTHER }), why);
  });

  it("a higher one a lower one, unless the control plane made that config later", () => {
    assertReplaces(of({ fencingToken: 8 }), of(ANOTHER));
    const older = of({ fencingToken: 8, controlPlaneTimestamp: NOW - 1 });
    const why = { rule: "timestamp", stored: NOW, fresh: NOW - 1 };
    assert.deepEqual(whyStale(older, of(ANOTHER)), why);
    assert.deepEqual(whyStale(older, of({})), why);
  });

  it("an exporter its own, under one token, even where another control plane's clock is behind", () => {
    assertReplaces(of({ controlPlaneTimestamp: NOW - 5 }), of({}));
  });

  it("another exporter's only by a config that is not older, under one token", () => {
    const older = of({ controlPlaneTimestamp: NOW - 0.001 });
    assert.equal(whyStale(older, of(ANOTHER))?.rule, "timestamp");
    assertReplaces(of({}), of(ANOTHER));
    assertReplaces(of({ controlPlaneTimestamp: NOW + 1 }), of(ANOTHER));
  });

  it("whatever has a timestamp of the far future, which would block every export", () => {
    const future = { ...ANOTHER, controlPlaneTimestamp: NOW + 301 };
    assertReplaces(of({}), of(future));
    const near = of({ ...future, controlPlaneTimestamp: NOW + 299 });
    assert.equal(whyStale(of({}), near)?.rule, "timestamp");
  });

  it("nothing newer for having been kept in memory while others wrote", () => {
    const later = new Date(TAKEN.getTime() + 1_800_000);
    const stored = of({ ...ANOTHER, exportedAt: later, controlPlaneTimestamp: NOW + 1_800 });
    assert.equal(whyStaleAt(of({ fencingToken: 8 }), stored, later)?.rule, "timestamp");
  });

  it("whatever cannot be judged for lack of a timestamp", () => {
    const unknown = { controlPlaneTimestamp: undefined };
    assertReplaces(of(unknown), of(ANOTHER));
    assertReplaces(of({}), of({ ...unknown, ...ANOTHER }));
  });
});

const NOW_MS = Date.parse("2026-11-21T12:00:00Z");

/** Made by the control plane and taken so many seconds from now. */
function timed(
  { made, taken = 0 }: { made?: number | undefined; taken?: number },
  overrides: Partial<SnapshotMetadata> = {},
): SnapshotMetadata {
  return snapshotOf("a", {
    controlPlaneTimestamp: made === undefined ? undefined : NOW_MS / 1000 + made,
    exportedAt: new Date(NOW_MS + taken * 1000),
    ...overrides,
  }).metadata;
}

function assertNewer(a: SnapshotMetadata, b: SnapshotMetadata): void {
  assert.ok(isNewer(a, b));
  assert.ok(!isNewer(b, a));
}

describe("of two snapshots", () => {
  it("the one the control plane made later is newer, whenever it was taken", () => {
    assertNewer(timed({ made: 2, taken: 0 }), timed({ made: 1, taken: 60 }));
  });

  it("the one taken later is newer where a control plane did not say when it made it", () => {
    assertNewer(timed({ made: undefined, taken: 2 }), timed({ made: 60, taken: 1 }));
    assertNewer(timed({ made: -60, taken: 2 }), timed({ made: undefined, taken: 1 }));
  });

  it("a timestamp more than 5 minutes ahead of when it was taken is not believed", () => {
    assertNewer(timed({ made: 1, taken: 1 }), timed({ made: 301, taken: 0 }));
    assertNewer(timed({ made: 300, taken: 0 }), timed({ made: 1, taken: 1 }));
  });

  it("neither is newer than itself", () => {
    assert.ok(!isNewer(timed({ made: 1 }), timed({ made: 1 })));
    assert.ok(!isNewer(timed({}), timed({})));
  });

  it("the one written under the later election is newer, whatever the clocks say", () => {
    assertNewer(timed({ made: 1 }, { fencingToken: 8 }), timed({ made: 2 }, { fencingToken: 7 }));
  });

  it("a live config, which has no token, does not lose to whatever was elected into a store", () => {
    assertNewer(timed({ made: 2 }, { fencingToken: 0 }), timed({ made: 1 }, { fencingToken: 7 }));
    assertNewer(timed({ made: 2 }, { fencingToken: 7 }), timed({ made: 1 }, { fencingToken: 0 }));
  });
});

describe("a config without metadata", () => {
  const config = configBytes("by hand");

  it("is older than everything if nobody knows when it was put there", () => {
    const bare = describeBare(config, V391, undefined);
    assertNewer(timed({ made: undefined, taken: -1_000_000 }), bare);
    assert.equal(takenAt(bare), undefined);
  });

  it("is as new as the moment it was put there", () => {
    const bare = describeBare(config, V391, new Date(NOW_MS + 1_000));
    assertNewer(bare, timed({ made: 60, taken: 0 }));
    assertNewer(timed({ made: -60, taken: 2 }), bare);
    assert.deepEqual(takenAt(bare), new Date(NOW_MS + 1_000));
  });
});

describe("two snapshots are of one config", () => {
  it("if Kong's hash or the bytes are the same, and not for lack of a hash", () => {
    const a = timed({});
    assert.ok(isSameConfig(a, { ...a, sha256: "f".repeat(64) }));
    assert.ok(isSameConfig(a, { ...a, configHash: undefined }));
    const unhashed = { ...a, configHash: undefined };
    assert.ok(!isSameConfig(unhashed, { ...unhashed, sha256: "f".repeat(64) }));
    assert.ok(!isSameConfig(a, { ...a, configHash: "f".repeat(32), sha256: "f".repeat(64) }));
  });
});

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
