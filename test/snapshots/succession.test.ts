import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { whyStale as whyStaleAt } from "../../src/snapshots/order.ts";
import type { SnapshotMetadata } from "../../src/snapshots/snapshot.ts";
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
