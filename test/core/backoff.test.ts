import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { backoffMs } from "../../src/core/backoff.ts";

describe("the back-off", () => {
  const policy = { minMs: 1_000, maxMs: 10_000 };

  it("stays between the shortest and the longest delay, however many failures", () => {
    for (const failures of [0, 1, 2, 3, 4, 100, 10_000]) {
      assert.equal(
        backoffMs(policy, failures, () => 0),
        1_000,
      );
      const ceiling = Math.min(10_000, 1_000 * 2 ** Math.min(failures, 20));
      assert.equal(
        backoffMs(policy, failures, () => 1),
        ceiling,
      );
    }
  });
});
