import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { type CutOffWrite, hasLost } from "../../src/store/cut-off.ts";
import type { Version } from "../../src/store/port.ts";

const OURS = { bytes: 7, metadata: { "config-hash": "a", token: "3" } };
const OTHERS = { version: "v2", bytes: 7, metadata: { "config-hash": "b", token: "3" } };
const OVER_V1: CutOffWrite = { ...OURS, when: { ifVersion: "v1" as Version } };
const IF_ABSENT: CutOffWrite = { ...OURS, when: { ifAbsent: true } };

describe("a conditional write that was cut off", () => {
  it("has lost where another object lies there that breaks its condition", () => {
    assert.equal(hasLost(OVER_V1, OTHERS), true);
    assert.equal(hasLost(IF_ABSENT, OTHERS), true);
    assert.equal(hasLost(IF_ABSENT, { ...OTHERS, ...OURS, bytes: 8 }), true);
    assert.equal(hasLost(IF_ABSENT, { version: "v2", bytes: 7, metadata: undefined }), true);
  });

  it("may be the one that lies there, whatever else was added to its metadata", () => {
    const there = { version: "v2", ...OURS, metadata: { ...OURS.metadata, tier: "hot" } };
    assert.equal(hasLost(OVER_V1, there), false);
    assert.equal(hasLost(IF_ABSENT, there), false);
  });

  it("may still take effect where what it was to replace lies there", () => {
    assert.equal(hasLost(OVER_V1, { ...OTHERS, version: "v1" }), false);
  });
});
