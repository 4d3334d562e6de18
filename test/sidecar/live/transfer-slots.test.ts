import assert from "node:assert/strict";
import { setImmediate } from "node:timers/promises";
import { describe, it } from "vitest";
import { TransferSlots } from "../../../src/sidecar/live/transfer-slots.ts";

function setUp(count: number) {
  const slots = new TransferSlots(count);
  const { signal } = new AbortController();
  const entered: string[] = [];
  const take = async (name: string, until = signal) => {
    const giveBack = await slots.take(until);
    entered.push(name);
    return giveBack;
  };
  return { take, entered };
}

describe("transfer slots", () => {
  it("are given first come, first served, and not more of them than there are", async () => {
    const { take, entered } = setUp(2);
    const [a, , c] = ["a", "b", "c", "d"].map((name) => take(name));
    await setImmediate();
    assert.deepEqual(entered, ["a", "b"]);
    (await a)?.();
    await setImmediate();
    assert.deepEqual(entered, ["a", "b", "c"]);
    (await c)?.();
    await setImmediate();
    assert.deepEqual(entered, ["a", "b", "c", "d"]);
  });

  it("are given back once, however often that is called", async () => {
    const { take, entered } = setUp(1);
    const giveBack = await take("a");
    giveBack();
    giveBack();
    void take("b");
    void take("c");
    await setImmediate();
    assert.deepEqual(entered, ["a", "b"]);
  });

  it("are not lost where somebody leaves while waiting", async () => {
    const { take, entered } = setUp(1);
    const giveBack = await take("a");
    const leave = new AbortController();
    const left = take("b", leave.signal);
    const next = take("c");
    const reason = new Error("gone");
    leave.abort(reason);
    await assert.rejects(left, (error) => error === reason);
    await assert.rejects(take("d", leave.signal), (error) => error === reason);
    giveBack();
    await next;
    assert.deepEqual(entered, ["a", "c"]);
  });
});
