import assert from "node:assert/strict";
import { describe, it } from "vitest";
import type { SnapshotMetadata } from "../../src/snapshots/snapshot.ts";
import { supersedes } from "../../src/snapshots/succession.ts";
import { snapshotOf } from "../fakes/config.ts";

const TAKEN = new Date("2026-11-21T12:00:00Z");
const NOW = TAKEN.getTime() / 1000;
const of = (overrides: Partial<SnapshotMetadata>) =>
  snapshotOf("a", { exportedAt: TAKEN, controlPlaneTimestamp: NOW, ...overrides }).metadata;
const ANOTHER = { exporterId: "exporter-2" };

describe("which snapshot may replace which", () => {
  it("lets the higher fencing token win, whatever the clocks say", () => {
    assert.ok(supersedes(of({ fencingToken: 2, controlPlaneTimestamp: 1 }), of(ANOTHER)));
    assert.ok(!supersedes(of({}), of({ ...ANOTHER, fencingToken: 1, controlPlaneTimestamp: 1 })));
  });

  it("lets an exporter replace its own, even where another control plane's clock is behind", () => {
    assert.ok(supersedes(of({ controlPlaneTimestamp: NOW - 5 }), of({})));
  });

  it("lets another exporter's be replaced only by a config that is not older", () => {
    assert.ok(!supersedes(of({ controlPlaneTimestamp: NOW - 0.001 }), of(ANOTHER)));
    assert.ok(supersedes(of({}), of(ANOTHER)));
    assert.ok(supersedes(of({ controlPlaneTimestamp: NOW + 1 }), of(ANOTHER)));
  });

  it("does not let a stored timestamp of the far future block every export", () => {
    const future = { ...ANOTHER, controlPlaneTimestamp: NOW + 301 };
    assert.ok(supersedes(of({}), of(future)));
    assert.ok(!supersedes(of({}), of({ ...future, controlPlaneTimestamp: NOW + 299 })));
  });

  it("does not judge without timestamps", () => {
    const unknown = { controlPlaneTimestamp: undefined };
    assert.ok(supersedes({ ...of({}), ...unknown }, of(ANOTHER)));
    assert.ok(supersedes(of({}), { ...of(ANOTHER), ...unknown }));
  });
});
