import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { RecoveryTime } from "../../../src/sidecar/live/evidence.ts";

const MINUTE = 60_000;

describe("the time a control plane must stay to be trusted again", () => {
  it("is the base before any loss, and after the first", () => {
    const time = new RecoveryTime(30_000);
    assert.equal(time.ms(0), 30_000);
    time.lost(1_000);
    assert.equal(time.ms(1_000), 30_000);
  });

  it("doubles with each loss soon after another, up to 5 minutes, for as long as it takes", () => {
    const time = new RecoveryTime(30_000);
    const times = [0, 9, 18, 27, 36, 45, 54].map((minute) => {
      time.lost(minute * MINUTE);
      return time.ms(minute * MINUTE);
    });
    assert.deepEqual(times, [30_000, 60_000, 120_000, 240_000, 300_000, 300_000, 300_000]);
  });

  it("is the base again after 10 quiet minutes", () => {
    const time = new RecoveryTime(30_000);
    time.lost(0);
    time.lost(4 * MINUTE);
    assert.equal(time.ms(14 * MINUTE - 1), 60_000);
    assert.equal(time.ms(14 * MINUTE), 30_000);
    time.lost(14 * MINUTE);
    assert.equal(time.ms(14 * MINUTE), 30_000);
    time.lost(15 * MINUTE);
    assert.equal(time.ms(15 * MINUTE), 60_000);
  });

  it("neither grows by a relapse, nor shrinks while there are any", () => {
    const time = new RecoveryTime(30_000);
    time.lost(0);
    time.lost(1 * MINUTE);
    for (const minute of [8, 16, 24]) {
      time.relapsed(minute * MINUTE);
      assert.equal(time.ms(minute * MINUTE), 60_000);
    }
    assert.equal(time.ms(34 * MINUTE - 1), 60_000);
    assert.equal(time.ms(34 * MINUTE), 30_000);
  });

  it("is never shorter than the base, even where that is more than 5 minutes", () => {
    const time = new RecoveryTime(7 * MINUTE);
    for (let loss = 0; loss < 5; loss += 1) time.lost(loss);
    assert.equal(time.ms(5), 7 * MINUTE);
  });

  it("stays 0 where the base is 0", () => {
    const time = new RecoveryTime(0);
    for (let loss = 0; loss < 2_000; loss += 1) time.lost(loss);
    assert.equal(time.ms(2_000), 0);
  });
});
