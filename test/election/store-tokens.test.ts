/** The tokens of the election by a lease in a store: what they go on from, and which are believed. */

import assert from "node:assert/strict";
import { beforeEach, describe, it } from "vitest";
import { encodeLease } from "../../src/election/store.ts";
import { MemoryStore } from "../fakes/memory-store.ts";
import { never, put } from "../store/conformance/client.ts";
import { KEY, StoreWorld, TAKEOVER_MS, TTL_MS } from "./store-world.ts";

let store: MemoryStore;
let world: StoreWorld;

beforeEach(() => {
  store = new MemoryStore();
  world = new StoreWorld(store);
});

describe("the floor", () => {
  it("is what tokens go on from, and a missing lease may still be held by somebody", async () => {
    world.options = { floor: async () => 41 };
    await using stage = await world.stage();
    const only = await stage.run();
    await stage.advance(TTL_MS - 1);
    assert.ok(!only.isHolder);
    await stage.until(() => only.token === 42, 6_000);
  });

  it("counts beside a lease with a lower token", async () => {
    let floor = 0;
    world.options = { floor: async () => floor };
    await using stage = await world.stage();
    const { holder, follower } = await stage.holderAndFollower();
    floor = 99;
    holder.stop();
    await stage.until(() => follower.token === 100, 6_000);
  });

  it("is asked once for an acquisition, and not for a renewal", async () => {
    let asked = 0;
    world.options = {
      floor: async () => {
        asked += 1;
        return 0;
      },
    };
    await using stage = await world.stage();
    await stage.holderAndFollower();
    await stage.advance(TTL_MS * 3);
    assert.equal(asked, 1);
  });
});

describe("a lease that somebody made up", () => {
  it.each([
    [999_999_999_999_999, "released"],
    [999_999_999_999_998, "held"],
    [2_000_000_000, "held"],
  ] as const)(
    "with the token %i elects nobody until it is deleted, and uses up no tokens",
    async (token, state) => {
      const lease = { holder: "x", hostname: "x", session: "x", sequence: 1, token, ttlMs: 1_000 };
      await using stage = await world.stage();
      const { holder, follower } = await stage.holderAndFollower();
      await put(store, KEY, encodeLease({ ...lease, state, renewedAt: new Date(0) }));
      await stage.until(() => !holder.isHolder, TTL_MS);
      await stage.advance(TTL_MS * 3);
      assert.deepEqual(stage.tokens, [1]);
      const said = world.joined[1]?.log.find("error")[0];
      assert.match(`${said?.fields["err"]}`, /cannot be trusted: its fencing token is \d+/);
      await store.delete(KEY, never);
      await stage.until(() => stage.tokens.length === 2, TAKEOVER_MS);
      assert.ok([holder.token, follower.token].includes(2));
    },
  );

  it("with a token as high as snapshots have them is a lease", async () => {
    const lease = { holder: "x", hostname: "x", session: "x", sequence: 1, ttlMs: 1_000 };
    const token = 5_000_000_007;
    const released = { ...lease, token, state: "released" as const, renewedAt: new Date(0) };
    await put(store, KEY, encodeLease(released));
    world.options = { floor: async () => 5_000_000_000 };
    await using stage = await world.stage();
    const only = await stage.run();
    await stage.until(() => only.token === token + 1, TAKEOVER_MS);
  });

  it("elects nobody where a snapshot has the last token there is", async () => {
    world.options = { floor: async () => 999_999_999_999_999 };
    await using stage = await world.stage();
    await stage.run();
    await stage.advance(TTL_MS * 3);
    assert.deepEqual(stage.tokens, []);
    assert.match(
      `${world.joined[0]?.log.find("error")[0]?.fields["err"]}`,
      /no fencing token is left/,
    );
  });
});
