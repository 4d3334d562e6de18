/** Conformance: abort and dispose, whatever the contender is doing. */

import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { ElectionError } from "../../../src/election/port.ts";
import type { Contender, ElectionUnderTest } from "../conformance.ts";
import { Stage } from "./stage.ts";

export function describeEnding(under: ElectionUnderTest): void {
  describe("an abort", () => {
    it("before the campaign rejects with its reason, and asks the server nothing", async () => {
      await using stage = await Stage.open(under);
      const contender = await stage.contender();
      const reason = new Error("stopped before");
      assert.equal(await failure(contender, AbortSignal.abort(reason)), reason);
      assert.equal(contender.requests, 0);
    });

    it("rejects with its reason while following, and leaves the holder alone", async () => {
      await using stage = await Stage.open(under);
      const { holder, follower } = await stage.holderAndFollower();
      const reason = new Error("stopped");
      follower.stop(reason);
      await stage.until(() => follower.ended !== undefined, 0);
      assert.equal(follower.ended?.error, reason);
      await stage.advance(stage.world.leaseMs * 2);
      assert.ok(holder.isHolder);
      assert.equal(stage.tokens.length, 1);
    });

    it("rejects with its reason while the first look is not answered", async () => {
      await using stage = await Stage.open(under);
      const runner = await stage.run((contender) => contender.cutOff("silent"));
      const reason = new Error("stopped");
      runner.stop(reason);
      await stage.until(() => runner.ended !== undefined, 0);
      assert.equal(runner.ended?.error, reason);
    });

    it("rejects with its reason after a step-down", async () => {
      await using stage = await Stage.open(under);
      const { holder } = await stage.holderAndFollower();
      holder.contender.cutOff("refused");
      await stage.until(() => !holder.isHolder, stage.world.leaseMs);
      const reason = new Error("stopped");
      holder.stop(reason);
      await stage.until(() => holder.ended !== undefined, stage.world.leaseMs);
      assert.equal(holder.ended?.error, reason);
    });

    it.each(["refused", "silent"] as const)(
      "rejects within one lease where the release is %s, and the lease expires",
      async (fault) => {
        await using stage = await Stage.open(under);
        const { holder, follower } = await stage.holderAndFollower();
        holder.contender.cutOff(fault);
        const reason = new Error("stopped");
        holder.stop(reason);
        await stage.until(() => holder.ended !== undefined, stage.world.leaseMs);
        assert.equal(holder.ended?.error, reason);
        await stage.until(() => follower.isHolder, stage.world.leaseMs + stage.world.pollMs);
      },
    );

    it("while an acquisition is under way leaves the lease to others", async () => {
      await using stage = await Stage.open(under);
      const runner = await stage.run((contender) => contender.loseNextAnswer("silent"));
      assert.equal(runner.told.length, 0);
      const reason = new Error("stopped");
      runner.stop(reason);
      await stage.until(() => runner.ended !== undefined, stage.world.leaseMs);
      assert.equal(runner.ended?.error, reason);
      const next = await stage.run();
      await stage.until(() => next.isHolder, stage.world.pollMs);
    });

    it("while a renewal is under way leaves the lease to others", async () => {
      await using stage = await Stage.open(under);
      const { holder, follower } = await stage.holderAndFollower();
      holder.contender.loseNextAnswer("silent");
      const { requests } = holder.contender;
      await stage.until(() => holder.contender.requests > requests, stage.world.leaseMs);
      holder.stop();
      await stage.until(() => follower.isHolder, stage.world.pollMs);
    });
  });

  describe("dispose", () => {
    it("ends the campaign with ELECTION_CLOSED, and hands over as an abort does", async () => {
      await using stage = await Stage.open(under);
      const { holder, follower } = await stage.holderAndFollower();
      holder.isAwake = false;
      await holder.contender.election[Symbol.asyncDispose]();
      await stage.until(() => holder.ended !== undefined, 0);
      assertClosed(holder.ended?.error);
      await stage.until(() => follower.isHolder, stage.world.pollMs);
    });

    it("may be called twice, and after it no campaign is possible", async () => {
      await using stage = await Stage.open(under);
      const contender = await stage.contender();
      await contender.election[Symbol.asyncDispose]();
      await contender.election[Symbol.asyncDispose]();
      assertClosed(await failure(contender, new AbortController().signal));
      assert.equal(contender.requests, 0);
    });

    it("says what it is about", async () => {
      await using stage = await Stage.open(under);
      const { election } = await stage.contender();
      assert.notEqual(election.name, "");
    });
  });
}

/** What the iteration rejects with, which must come before anything is told. */
async function failure({ election }: Contender, signal: AbortSignal): Promise<unknown> {
  try {
    for await (const leadership of election.campaign(signal)) {
      assert.fail(`told ${leadership.kind}`);
    }
  } catch (error) {
    return error;
  }
  return assert.fail("it ended without an error");
}

function assertClosed(error: unknown): void {
  assert.ok(error instanceof ElectionError, String(error));
  assert.equal(error.code, "ELECTION_CLOSED");
}
