/** Conformance: random histories of exporters that come and go while everything breaks, replayable by their number. */

import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { seededRandom } from "../../fakes/seeded-random.ts";
import type { ElectionUnderTest } from "../conformance.ts";
import { type Runner, Stage } from "./stage.ts";

const CONTENDERS = 5;
const EVENTS = 25;

/** What may happen to a contender. The last two take it out of the race. */
const EVENT_KINDS: readonly ((runner: Runner) => void)[] = [
  (runner) => runner.pause(),
  (runner) => runner.resume(),
  (runner) => runner.resume(),
  (runner) => runner.contender.cutOff("refused"),
  (runner) => runner.contender.cutOff("silent"),
  (runner) => runner.contender.reconnect(),
  (runner) => runner.contender.reconnect(),
  (runner) => runner.contender.loseNextAnswer("refused"),
  (runner) => runner.contender.loseNextAnswer("silent"),
  (runner) => runner.stop(),
  (runner) => runner.kill(),
];
const FATAL_FROM = EVENT_KINDS.length - 2;

export function describeManyFaults(under: ElectionUnderTest): void {
  describe("while exporters come, stand still, are cut off, stop and die", () => {
    const histories = Array.from({ length: under.histories ?? 5 }, (_, place) => place + 1);
    it.each(histories)(
      "there are never two holders nor a token twice, and one holder in the end (history %i)",
      async (seed) => {
        await using stage = await Stage.open(under);
        const random = seededRandom(seed);
        const racing: Runner[] = [];
        while (racing.length < CONTENDERS) racing.push(await stage.run());
        for (let count = 0; count < EVENTS; count += 1) {
          const place = Math.floor(random() * CONTENDERS);
          const kind = Math.floor(random() * EVENT_KINDS.length);
          const runner = racing[place];
          assert.ok(runner !== undefined);
          EVENT_KINDS[kind]?.(runner);
          if (kind >= FATAL_FROM) racing[place] = await stage.run();
          await stage.advance(random() * stage.world.leaseMs);
        }
        for (const runner of racing) {
          runner.contender.reconnect();
          runner.resume();
        }
        await stage.advance(stage.world.leaseMs * 2 + stage.world.pollMs);
        const holders = racing.filter(({ isHolder }) => isHolder);
        assert.equal(holders.length, 1);
        assert.ok(racing.every(({ ended }) => ended === undefined));
        holders[0]?.stop();
        const others = racing.filter((runner) => runner !== holders[0]);
        const isAnyHolder = () => others.some(({ isHolder }) => isHolder);
        await stage.until(isAnyHolder, stage.world.pollMs);
      },
    );
  });
}
