import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { isNewer, isSameConfig } from "../../src/snapshots/order.ts";
import { describeBare, type SnapshotMetadata, takenAt } from "../../src/snapshots/snapshot.ts";
import { configBytes, snapshotOf, V391 } from "../fakes/config.ts";

const NOW = Date.parse("2026-11-21T12:00:00Z");

/** Made by the control plane and taken so many seconds from now. */
function of(
  { made, taken = 0 }: { made?: number | undefined; taken?: number },
  overrides: Partial<SnapshotMetadata> = {},
): SnapshotMetadata {
  return snapshotOf("a", {
    controlPlaneTimestamp: made === undefined ? undefined : NOW / 1000 + made,
    exportedAt: new Date(NOW + taken * 1000),
    ...overrides,
  }).metadata;
}

function assertNewer(a: SnapshotMetadata, b: SnapshotMetadata): void {
  assert.ok(isNewer(a, b));
  assert.ok(!isNewer(b, a));
}

describe("of two snapshots", () => {
  it("the one the control plane made later is newer, whenever it was taken", () => {
    assertNewer(of({ made: 2, taken: 0 }), of({ made: 1, taken: 60 }));
  });

  it("the one taken later is newer where a control plane did not say when it made it", () => {
    assertNewer(of({ made: undefined, taken: 2 }), of({ made: 60, taken: 1 }));
    assertNewer(of({ made: -60, taken: 2 }), of({ made: undefined, taken: 1 }));
  });

  it("a timestamp more than 5 minutes ahead of when it was taken is not believed", () => {
    assertNewer(of({ made: 1, taken: 1 }), of({ made: 301, taken: 0 }));
    assertNewer(of({ made: 300, taken: 0 }), of({ made: 1, taken: 1 }));
  });

  it("neither is newer than itself", () => {
    assert.ok(!isNewer(of({ made: 1 }), of({ made: 1 })));
    assert.ok(!isNewer(of({}), of({})));
  });

  it("the one written under the later election is newer, whatever the clocks say", () => {
    assertNewer(of({ made: 1 }, { fencingToken: 8 }), of({ made: 2 }, { fencingToken: 7 }));
  });

  it("a live config, which has no token, does not lose to whatever was elected into a store", () => {
    assertNewer(of({ made: 2 }, { fencingToken: 0 }), of({ made: 1 }, { fencingToken: 7 }));
    assertNewer(of({ made: 2 }, { fencingToken: 7 }), of({ made: 1 }, { fencingToken: 0 }));
  });
});

describe("a config without metadata", () => {
  const config = configBytes("by hand");

  it("is older than everything if nobody knows when it was put there", () => {
    const bare = describeBare(config, V391, undefined);
    assertNewer(of({ made: undefined, taken: -1_000_000 }), bare);
    assert.equal(takenAt(bare), undefined);
  });

  it("is as new as the moment it was put there", () => {
    const bare = describeBare(config, V391, new Date(NOW + 1_000));
    assertNewer(bare, of({ made: 60, taken: 0 }));
    assertNewer(of({ made: -60, taken: 2 }), bare);
    assert.deepEqual(takenAt(bare), new Date(NOW + 1_000));
  });
});

describe("two snapshots are of one config", () => {
  it("if Kong's hash or the bytes are the same, and not for lack of a hash", () => {
    const a = of({});
    assert.ok(isSameConfig(a, { ...a, sha256: "f".repeat(64) }));
    assert.ok(isSameConfig(a, { ...a, configHash: undefined }));
    const unhashed = { ...a, configHash: undefined };
    assert.ok(!isSameConfig(unhashed, { ...unhashed, sha256: "f".repeat(64) }));
    assert.ok(!isSameConfig(a, { ...a, configHash: "f".repeat(32), sha256: "f".repeat(64) }));
  });
});
