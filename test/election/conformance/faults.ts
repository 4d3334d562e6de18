/** Conformance: pauses, cuts, lost answers and late writes, one at a time. */

import assert from "node:assert/strict";
import { describe, it } from "vitest";
import type { ElectionUnderTest } from "../conformance.ts";
import { Stage } from "./stage.ts";

export function describeFaults(under: ElectionUnderTest): void {
  describe("a holder that stood still", () => {
    it("steps down before it does anything else, and the new holder has a higher token", async () => {
      await using stage = await Stage.open(under);
      const { holder, follower } = await stage.holderAndFollower();
      holder.pause();
      await stage.advance(stage.world.leaseMs * 3);
      assert.ok(follower.isHolder);
      assert.equal(holder.told.length, 1, "it was told something while it stood still");
      // It must not need the server for it.
      holder.contender.cutOff("silent");
      holder.resume();
      await stage.advance(0);
      assert.equal(holder.told[1]?.kind, "follower");
      holder.contender.reconnect();
      await stage.advance(stage.world.leaseMs * 2);
      assert.ok(follower.isHolder);
      assert.equal(stage.tokens.length, 2);
    });

    it("steps down even if nobody took over", async () => {
      await using stage = await Stage.open(under);
      const only = await stage.run();
      only.pause();
      await stage.advance(stage.world.leaseMs * 3);
      only.resume();
      await stage.advance(0);
      assert.equal(only.told[1]?.kind, "follower");
      await stage.until(() => only.isHolder, stage.world.leaseMs + stage.world.pollMs);
    });
  });

  it("leaves the lease to its holder when a follower stood still", async () => {
    await using stage = await Stage.open(under);
    const { holder, follower } = await stage.holderAndFollower();
    follower.pause();
    await stage.advance(stage.world.leaseMs * 3);
    follower.resume();
    await stage.advance(stage.world.leaseMs * 2);
    assert.ok(holder.isHolder);
    assert.equal(stage.tokens.length, 1);
  });

  describe.each(["refused", "silent"] as const)("a connection that is %s", (fault) => {
    it("for a third of the lease costs the holder nothing", async () => {
      await using stage = await Stage.open(under);
      const { holder } = await stage.holderAndFollower();
      for (let times = 0; times < 4; times += 1) {
        holder.contender.cutOff(fault);
        await stage.advance(stage.world.leaseMs / 3);
        holder.contender.reconnect();
        await stage.advance(stage.world.leaseMs * 0.7);
      }
      assert.equal(holder.told.length, 1);
      assert.equal(stage.tokens.length, 1);
    });

    it("for long makes the holder step down before another one takes over", async () => {
      await using stage = await Stage.open(under);
      const { holder, follower } = await stage.holderAndFollower();
      holder.contender.cutOff(fault);
      await stage.until(() => !holder.isHolder, stage.world.leaseMs);
      assert.ok(!follower.isHolder);
      await stage.until(() => follower.isHolder, stage.world.leaseMs + stage.world.pollMs);
      holder.contender.reconnect();
      await stage.advance(stage.world.leaseMs * 2);
      assert.ok(follower.isHolder);
      assert.ok(!holder.isHolder);
    });

    it("for everybody and long leaves one of them the holder soon after", async () => {
      await using stage = await Stage.open(under);
      await stage.holderAndFollower();
      for (const { contender } of stage.runners) contender.cutOff(fault);
      await stage.advance(stage.world.leaseMs * 3);
      assert.ok(stage.runners.every(({ isHolder }) => !isHolder));
      for (const { contender } of stage.runners) contender.reconnect();
      const isAnyHolder = () => stage.runners.some(({ isHolder }) => isHolder);
      await stage.until(isAnyHolder, stage.world.leaseMs + stage.world.pollMs);
    });

    it("from the start is waited out", async () => {
      await using stage = await Stage.open(under);
      const only = await stage.run((contender) => contender.cutOff(fault));
      await stage.advance(stage.world.leaseMs * 3);
      assert.equal(only.ended, undefined);
      assert.ok(!only.isHolder);
      only.contender.reconnect();
      await stage.until(() => only.isHolder, stage.world.leaseMs + stage.world.pollMs);
    });

    it("after a renewal has happened costs the holder nothing", async () => {
      await using stage = await Stage.open(under);
      const { holder } = await stage.holderAndFollower();
      for (let times = 0; times < 3; times += 1) {
        holder.contender.loseNextAnswer(fault);
        await stage.advance(stage.world.leaseMs);
      }
      assert.equal(holder.told.length, 1);
      assert.equal(stage.tokens.length, 1);
    });

    it("after the lease was acquired leaves it to the one who wrote it", async () => {
      await using stage = await Stage.open(under);
      const first = await stage.run((contender) => contender.loseNextAnswer(fault));
      const other = await stage.run();
      await stage.until(() => first.isHolder, stage.world.leaseMs + stage.world.pollMs);
      await stage.advance(stage.world.leaseMs * 2);
      assert.ok(first.isHolder);
      assert.ok(!other.isHolder);
    });
  });

  it("does not let a renewal that arrives late disturb the next holder", async () => {
    await using stage = await Stage.open(under);
    const { holder, follower } = await stage.holderAndFollower();
    const late = holder.contender.holdNextWrite();
    await stage.advance(stage.world.leaseMs / 2);
    holder.kill();
    await stage.until(() => follower.isHolder, stage.world.leaseMs * 2 + stage.world.pollMs);
    await late.deliver();
    await stage.advance(stage.world.leaseMs * 2);
    assert.ok(follower.isHolder);
    const third = await stage.run();
    await stage.advance(stage.world.leaseMs * 2);
    assert.ok(!third.isHolder);
    assert.equal(stage.tokens.length, 2);
  });

  it("does not let an acquisition that arrives late disturb the holder", async () => {
    await using stage = await Stage.open(under);
    let late: { deliver(): Promise<void> } | undefined;
    const slow = await stage.run((contender) => {
      late = contender.holdNextWrite();
    });
    slow.kill();
    const { holder } = await stage.holderAndFollower();
    await late?.deliver();
    await stage.advance(stage.world.leaseMs * 2);
    assert.ok(holder.isHolder);
    assert.equal(stage.tokens.length, 1);
  });
}
