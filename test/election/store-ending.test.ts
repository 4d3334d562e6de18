/** How a campaign by a lease in a store ends, and what it owes to its consumer and to the followers until then. */

import assert from "node:assert/strict";
import { setImmediate } from "node:timers/promises";
import { beforeEach, describe, it } from "vitest";
import { StoreElection } from "../../src/election/store.ts";
import { MemoryStore } from "../fakes/memory-store.ts";
import { RecordingLog } from "../fakes/recording-log.ts";
import { electionOptions, StoreWorld, TTL_MS } from "./store-world.ts";

let store: MemoryStore;
let world: StoreWorld;

beforeEach(() => {
  store = new MemoryStore();
  world = new StoreWorld(store);
});

describe("the release", () => {
  it("is looked for when its answer is lost", async () => {
    const { runner, contender, log } = await world.run();
    contender.loseNextAnswer("refused");
    const { requests } = contender;
    runner.stop();
    await world.pass(500);
    assert.notEqual(runner.ended, undefined);
    assert.equal(log.find("warn").length, 0);
    assert.equal(contender.requests - requests, 3, "a look, a write, and a look that shows it");
    const { runner: next } = await world.run();
    assert.equal(next.token, 2);
  });

  it("is tried again while the store fails", async () => {
    const { runner, contender } = await world.run();
    contender.cutOff("refused");
    runner.stop();
    await world.pass(1_000);
    assert.equal(runner.ended, undefined);
    contender.reconnect();
    await world.pass(200);
    assert.notEqual(runner.ended, undefined);
    const { runner: next } = await world.run();
    assert.equal(next.token, 2);
  });

  it("is given up after 3 s, which is said", async () => {
    const { runner, contender, log } = await world.run();
    contender.cutOff("silent");
    runner.stop();
    await world.pass(2_900);
    assert.equal(runner.ended, undefined);
    await world.pass(200);
    assert.notEqual(runner.ended, undefined);
    assert.match(`${log.find("warn")[0]?.fields["err"]}`, /could not release .*lease\.json/);
  });
});

describe("dispose", () => {
  it("resolves when the lease has been released", async () => {
    const { contender } = await world.run();
    const order: string[] = [];
    store.intercept = async (operation) => {
      if (operation !== "put") return;
      await setImmediate();
      order.push("released");
    };
    await contender.election[Symbol.asyncDispose]();
    order.push("disposed");
    assert.deepEqual(order, ["released", "disposed"]);
  });
});

describe("a consumer that is busy", () => {
  it("does not keep the holder from renewing, and then learns only how things stand", async () => {
    const contender = await world.join();
    const controller = new AbortController();
    const campaign = contender.election.campaign(controller.signal)[Symbol.asyncIterator]();
    assert.deepEqual((await campaign.next()).value, { kind: "holder", token: 1 });
    const { runner: follower } = await world.run();
    await world.pass(TTL_MS * 3);
    assert.equal(follower.isHolder, false);
    contender.cutOff("refused");
    await world.pass(TTL_MS * 3);
    contender.reconnect();
    follower.stop();
    await world.pass(TTL_MS);
    assert.deepEqual((await campaign.next()).value, { kind: "holder", token: 3 });
    controller.abort();
    await assert.rejects(campaign.next(), { name: "AbortError" });
  });
});

describe("the holder", () => {
  it("keeps the lease from others for all of its TTL after the last renewal", async () => {
    await using stage = await world.stage();
    const { holder, follower } = await stage.holderAndFollower();
    await stage.advance(TTL_MS);
    const { requests } = holder.contender;
    await stage.until(() => holder.contender.requests > requests, TTL_MS);
    holder.kill();
    await stage.advance(TTL_MS);
    assert.ok(!follower.isHolder);
    await stage.until(() => follower.isHolder, world.pollMs);
  });

  it("leaves no timer behind", async () => {
    const { runner } = await world.run();
    await world.pass(TTL_MS);
    runner.stop();
    await world.advance(0);
    assert.equal(world.clock.sleepers, 0);
  });

  it("cannot have a TTL longer than followers wait at most", () => {
    const options = { ...electionOptions(store, "x", new RecordingLog()), clock: world.clock };
    for (const ttlMs of [300_001, 999, Number.NaN]) {
      assert.throws(() => new StoreElection({ ...options, random: () => 0, ttlMs }), RangeError);
    }
  });
});
