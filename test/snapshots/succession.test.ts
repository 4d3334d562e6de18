import assert from "node:assert/strict";
import { describe, it } from "vitest";
import type { SnapshotMetadata } from "../../src/snapshots/snapshot.ts";
import { refusal as refusalAt } from "../../src/snapshots/succession.ts";
import { snapshotOf } from "../fakes/config.ts";

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
const refusal = (fresh: SnapshotMetadata, stored: SnapshotMetadata) =>
  refusalAt(fresh, stored, fresh.exportedAt);

function assertReplaces(fresh: SnapshotMetadata, stored: SnapshotMetadata): void {
  assert.equal(refusal(fresh, stored), undefined);
}

describe("which snapshot may replace which", () => {
  it("never a lower fencing token a higher one, whatever the clocks and whoever saved it", () => {
    const stored = of({ fencingToken: 8, controlPlaneTimestamp: 1 });
    const why = { rule: "token", stored: 8, fresh: 7 };
    assert.deepEqual(refusal(of({}), stored), why);
    assert.deepEqual(refusal(of({}), { ...stored, ...ANOTHER }), why);
  });

  it("a higher one a lower one, unless the control plane made that config later", () => {
    assertReplaces(of({ fencingToken: 8 }), of(ANOTHER));
    const older = of({ fencingToken: 8, controlPlaneTimestamp: NOW - 1 });
    const why = { rule: "timestamp", stored: NOW, fresh: NOW - 1 };
    assert.deepEqual(refusal(older, of(ANOTHER)), why);
    assert.deepEqual(refusal(older, of({})), why);
  });

  it("an exporter its own, under one token, even where another control plane's clock is behind", () => {
    assertReplaces(of({ controlPlaneTimestamp: NOW - 5 }), of({}));
  });

  it("another exporter's only by a config that is not older, under one token", () => {
    const older = of({ controlPlaneTimestamp: NOW - 0.001 });
    assert.equal(refusal(older, of(ANOTHER))?.rule, "timestamp");
    assertReplaces(of({}), of(ANOTHER));
    assertReplaces(of({ controlPlaneTimestamp: NOW + 1 }), of(ANOTHER));
  });

  it("whatever has a timestamp of the far future, which would block every export", () => {
    const future = { ...ANOTHER, controlPlaneTimestamp: NOW + 301 };
    assertReplaces(of({}), of(future));
    const near = of({ ...future, controlPlaneTimestamp: NOW + 299 });
    assert.equal(refusal(of({}), near)?.rule, "timestamp");
  });

  it("nothing newer for having been kept in memory while others wrote", () => {
    const later = new Date(TAKEN.getTime() + 1_800_000);
    const stored = of({ ...ANOTHER, exportedAt: later, controlPlaneTimestamp: NOW + 1_800 });
    assert.equal(refusalAt(of({ fencingToken: 8 }), stored, later)?.rule, "timestamp");
  });

  it("whatever cannot be judged for lack of a timestamp", () => {
    const unknown = { controlPlaneTimestamp: undefined };
    assertReplaces(of(unknown), of(ANOTHER));
    assertReplaces(of({}), of({ ...unknown, ...ANOTHER }));
  });
});
