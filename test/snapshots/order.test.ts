import assert from "node:assert/strict";
import fc from "fast-check";
import { describe, it } from "vitest";
import type { KongVersion } from "../../src/kong/version.ts";
import { PROPAGATION_MS } from "../../src/kong/wire.ts";
import {
  decideSave,
  isNearer,
  isNewer,
  isSameConfig,
  olderVersions,
  type VersionMatch,
} from "../../src/snapshots/order.ts";
import { restoredExporterId } from "../../src/snapshots/restored.ts";
import { describeBare, type SnapshotMetadata, takenAt } from "../../src/snapshots/snapshot.ts";
import type { Version } from "../../src/store/port.ts";
import { configBytes, kongVersion, snapshotOf, V391 } from "../fakes/config.ts";

const of = (name: string, overrides: Partial<SnapshotMetadata> = {}) =>
  snapshotOf(name, { fencingToken: 7, exporterId: "exporter-2", ...overrides }).metadata;
const MADE = of("a").controlPlaneTimestamp ?? 0;

/** By the writer's monotonic clock. */
const SEEN_MS = 1_000;

interface Case {
  readonly stored: SnapshotMetadata | undefined;
  readonly asOfMs?: number;
  readonly follows?: boolean;
  /** Under which this writer wrote before. */
  readonly tokens?: readonly number[];
}

/** Of config "b", received by exporter-1. */
function decide(fresh: Partial<SnapshotMetadata>, { stored, ...more }: Case) {
  const known = {
    kind: "present",
    version: "1" as Version,
    metadata: stored,
    fencingToken: stored?.fencingToken ?? 7,
    isSealedAsNow: true,
    seenAtMs: SEEN_MS,
  } as const;
  const { asOfMs = SEEN_MS, follows = false, tokens = [] } = more;
  return decideSave(
    of("b", { fencingToken: 8, exporterId: "exporter-1", ...fresh }),
    known,
    { asOfMs, follows: () => follows },
    { inDoubt: undefined, tokens: new Set(tokens) },
  );
}

/** The rule by which it may be written, or why it may not. */
function verdict(fresh: Partial<SnapshotMetadata>, how: Case): string {
  const decision = decide(fresh, how);
  return decision.kind === "write" ? decision.rule : decision.kind;
}

const AGES = [undefined, MADE - 8_640_000, MADE - 1, MADE, MADE + 1, MADE + 8_640_000];

describe("which config may replace what lies there, whatever the clocks say", () => {
  for (const controlPlaneTimestamp of AGES) {
    const fresh = { controlPlaneTimestamp };
    const when =
      controlPlaneTimestamp === undefined
        ? "at a time that nobody knows"
        : `${controlPlaneTimestamp - MADE} s after that`;

    it(`made ${when}: one from a session that began after that was seen, and control planes had time to agree`, () => {
      const stored = of("a");
      assert.equal(verdict(fresh, { stored, asOfMs: SEEN_MS + PROPAGATION_MS }), "confirmed");
      const before = SEEN_MS + PROPAGATION_MS - 1;
      assert.equal(verdict(fresh, { stored, asOfMs: before }), "unconfirmed");
    });

    it(`made ${when}: one that this writer received after that very one`, () => {
      assert.equal(verdict(fresh, { stored: of("a"), follows: true }), "followed");
    });

    it(`made ${when}: what this writer received after what it wrote, under this token or another one of its own`, () => {
      const stored = of("a", { exporterId: "exporter-1" });
      assert.equal(verdict({ ...fresh, fencingToken: 7 }, { stored }), "own");
      assert.equal(verdict(fresh, { stored, tokens: [7] }), "own");
      assert.equal(verdict(fresh, { stored }), "unconfirmed", "an earlier run of it wrote that");
      assert.equal(verdict(fresh, { stored: of("a"), tokens: [7] }), "unconfirmed");
    });

    it(`made ${when}: nothing under a lower token`, () => {
      const how = { stored: of("a"), asOfMs: Number.POSITIVE_INFINITY, follows: true };
      assert.equal(verdict({ ...fresh, fencingToken: 6 }, how), "stale");
      const damaged = { ...how, stored: undefined };
      assert.equal(verdict({ ...fresh, fencingToken: 6 }, damaged), "stale");
    });
  }

  it("where nothing usable lies, anything", () => {
    assert.equal(verdict({}, { stored: undefined }), "free");
  });

  it("says from when on a session must begin", () => {
    const decision = decide({}, { stored: of("a") });
    assert.ok(decision.kind === "unconfirmed");
    assert.equal(decision.sinceMs, SEEN_MS + PROPAGATION_MS);
    assert.equal(decision.stored.configHash, of("a").configHash);
  });
});

describe("what is written", () => {
  const stampOf = (made: number | undefined, name = "b") => {
    const { configHash, hashes, sha256 } = of(name);
    const fresh = { configHash, hashes, sha256, controlPlaneTimestamp: made };
    const decision = decide(fresh, { stored: of("a"), follows: true });
    assert.ok(decision.kind === "write");
    return decision.metadata.controlPlaneTimestamp;
  };

  it("is stamped later than what it replaces, by as little as can be", () => {
    assert.equal(stampOf(MADE + 9), MADE + 9);
    for (const made of [undefined, MADE - 8_640_000, MADE]) {
      assert.equal(stampOf(made), MADE + 0.001);
    }
  });

  it("keeps the later one of two timestamps if it is the same config", () => {
    assert.equal(stampOf(MADE + 9, "a"), MADE + 9);
    assert.equal(stampOf(MADE - 9, "a"), MADE);
  });
});

describe("what an operator restored", () => {
  const confirmed = { asOfMs: Number.POSITIVE_INFINITY };
  const restored = (over: SnapshotMetadata | undefined) =>
    of("a", { exporterId: restoredExporterId("20261121T113500.123Z-0123456789ab", over) });

  it("stays while the control plane has what it replaced, whenever that was made", () => {
    const stored = restored(of("b"));
    for (const controlPlaneTimestamp of AGES) {
      assert.equal(verdict({ controlPlaneTimestamp }, { stored, ...confirmed }), "overruled");
    }
  });

  it("gives way to any other config that is known to be newer", () => {
    const stored = restored(of("c"));
    assert.equal(verdict({}, { stored, ...confirmed }), "confirmed");
    assert.equal(verdict({}, { stored }), "unconfirmed");
  });

  it("stays though several were restored one after the other", () => {
    const stored = restored({
      ...restored(of("b")),
      ...of("c"),
      exporterId: restored(of("b")).exporterId,
    });
    assert.equal(verdict({}, { stored, ...confirmed }), "overruled");
  });

  it("by a version that did not say what it replaced, gives way to what was made later", () => {
    const stored = restored(undefined);
    const made = (seconds: number) => ({ controlPlaneTimestamp: MADE + seconds });
    assert.equal(verdict(made(0), { stored, ...confirmed }), "overruled");
    assert.equal(verdict(made(1), { stored, ...confirmed }), "confirmed");
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

  it("the clocks of those who took them have no say where the control plane's have", () => {
    assertNewer(timed({ made: 2, taken: -8_640_000 }), timed({ made: 1, taken: 8_640_000 }));
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
