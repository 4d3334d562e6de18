/** Conformance: who holds, and who comes next. */

import assert from "node:assert/strict";
import { describe, it } from "vitest";
import type { ElectionUnderTest } from "../conformance.ts";
import { Stage } from "./stage.ts";

export function describeHandover(under: ElectionUnderTest): void {
  describe("an election", () => {
    it("makes the first who comes the holder at once, with a token above 0", async () => {
      await using stage = await Stage.open(under);
      const only = await stage.run();
      await stage.until(() => only.isHolder, 0);
      assert.equal(only.told.length, 1);
      assert.ok(Number.isSafeInteger(only.token) && Number(only.token) > 0, `${only.token}`);
    });

    it("leaves one of five the holder for as long as it renews, and the others know of it", async () => {
      await using stage = await Stage.open(under);
      for (let place = 0; place < 5; place += 1) await stage.run();
      await stage.advance(stage.world.leaseMs * 5);
      assert.equal(stage.tokens.length, 1);
      const followers = stage.runners.filter(({ isHolder }) => !isHolder);
      assert.equal(followers.length, 4);
      for (const { told } of followers) {
        const last = told.at(-1);
        assert.ok(last?.kind === "follower" && last.holder !== undefined, JSON.stringify(last));
      }
    });

    it("has a new holder within one poll after the holder was told to stop", async () => {
      await using stage = await Stage.open(under);
      const { holder, follower } = await stage.holderAndFollower();
      const reason = new Error("SIGTERM");
      holder.stop(reason);
      await stage.until(() => holder.ended !== undefined, 0);
      assert.equal(holder.ended?.error, reason);
      await stage.until(() => follower.isHolder, stage.world.pollMs);
    });

    it("has a new holder within one poll after the holder broke off its iteration", async () => {
      await using stage = await Stage.open(under);
      const { election } = await stage.contender();
      for await (const leadership of election.campaign(new AbortController().signal)) {
        assert.equal(leadership.kind, "holder");
        break;
      }
      const next = await stage.run();
      await stage.until(() => next.isHolder, stage.world.pollMs);
    });

    it("has a new holder within one lease and one poll after the holder died", async () => {
      await using stage = await Stage.open(under);
      const { holder, follower } = await stage.holderAndFollower();
      await stage.advance(stage.world.leaseMs * 1.5);
      holder.kill();
      await stage.until(() => follower.isHolder, stage.world.leaseMs + stage.world.pollMs);
    });

    it("leaves the lease to a follower when another one dies", async () => {
      await using stage = await Stage.open(under);
      const { holder, follower } = await stage.holderAndFollower();
      follower.kill();
      await stage.advance(stage.world.leaseMs * 3);
      assert.ok(holder.isHolder);
      assert.equal(stage.tokens.length, 1);
    });

    it("counts the tokens on after everybody has stopped, and after everybody has died", async () => {
      await using stage = await Stage.open(under);
      for (const end of ["stop", "kill", "stop"] as const) {
        const runner = await stage.run();
        await stage.until(() => runner.isHolder, stage.world.leaseMs + stage.world.pollMs);
        runner[end]();
        await stage.advance(0);
      }
      assert.equal(stage.tokens.length, 3);
    });

    it("may be entered again after a campaign has ended", async () => {
      await using stage = await Stage.open(under);
      const { election } = await stage.contender();
      const tokens: number[] = [];
      while (tokens.length < 2) {
        for await (const leadership of election.campaign(new AbortController().signal)) {
          if (leadership.kind === "holder") tokens.push(leadership.token);
          break;
        }
      }
      assert.ok(Number(tokens[1]) > Number(tokens[0]), `${tokens}`);
    });
  });
}
