import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { closestOf, editDistance } from "../../src/core/edit-distance.ts";

describe("the distance between two words", () => {
  it.each([
    ["", "", 0],
    ["a", "", 1],
    ["", "ab", 2],
    ["key", "keys", 1],
    ["guard", "gaurd", 1],
    ["kitten", "sitting", 3],
    ["ca", "abc", 3],
  ])("from %j to %j is %i, either way", (a, b, distance) => {
    assert.equal(editDistance(a, b), distance);
    assert.equal(editDistance(b, a), distance);
  });

  it("tells the closest, the first of several", () => {
    assert.deepEqual(closestOf("lost", ["list", "last", "show"]), { name: "list", distance: 1 });
    assert.equal(closestOf("lost", []), undefined);
  });
});
