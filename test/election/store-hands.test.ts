/** The election by a lease in a store where people and damage have a hand in it. */

import assert from "node:assert/strict";
import { beforeEach, describe, it } from "vitest";
import { processIdentity } from "../../src/core/process-identity.ts";
import { decodeLease, encodeLease, StoreElection } from "../../src/election/store.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { MemoryStore } from "../fakes/memory-store.ts";
import { RecordingLog } from "../fakes/recording-log.ts";
import { never, put, text } from "../store/conformance/client.ts";
import { electionOptions, KEY, StoreWorld, TAKEOVER_MS, TTL_MS } from "./store-world.ts";

let store: MemoryStore;
let world: StoreWorld;

beforeEach(() => {
  store = new MemoryStore();
  world = new StoreWorld(store);
});

async function stored(): Promise<unknown> {
  return JSON.parse(await text(store, KEY));
}

describe("the object in the store", () => {
  it("says who holds the lease, and after a stop that it is released, under the same token", async () => {
    await using stage = await world.stage();
    const only = await stage.run();
    const { session, sequence, ...held } = Object(await stored());
    assert.deepEqual(held, {
      holder: "exporter-1",
      hostname: "host-of-exporter-1",
      token: 1,
      ttlMs: TTL_MS,
      state: "held",
      renewedAt: "2026-11-21T12:00:00.000Z",
    });
    await stage.advance(TTL_MS);
    only.stop();
    await stage.until(() => only.ended !== undefined, 0);
    const after = Object(await stored());
    assert.equal(after.session, session);
    assert.ok(after.sequence > sequence + 1, `${after.sequence}`);
    assert.equal(after.token, 1);
    assert.equal(after.state, "released");
  });

  it.runIf(process.platform === "linux")(
    "names the holder's process: once that was killed, another one on the machine takes the lease at once, whatever its TTL",
    async () => {
      const own = await processIdentity();
      assert.ok(own !== undefined, "this system tells no identity");
      const lease = {
        ...{ holder: "exporter-0", hostname: "here", session: "s", sequence: 1, token: 7 },
        ...{ ttlMs: 300_000, state: "held" as const, renewedAt: new Date(0) },
      };
      const body = (process: string) =>
        new TextDecoder().decode(encodeLease({ ...lease, process }));
      const options = electionOptions(store, "exporter-1", new RecordingLog());
      await using election = new StoreElection({
        ...options,
        ...{ clock: systemClock, random: Math.random, ttlMs: 1_000 },
        exporter: { ...options.exporter, process: own },
      });
      await put(store, KEY, body(own));
      const campaign = election.campaign(never);
      const told = await campaign[Symbol.asyncIterator]().next();
      assert.deepEqual(told.value, { kind: "follower", holder: "exporter-0 on here" });
      // Another process had that pid before.
      await put(store, KEY, body(own.replace(/\d+$/, "1")));
      const next = await campaign[Symbol.asyncIterator]().next();
      assert.deepEqual(next.value, { kind: "holder", token: 8 });
      assert.equal(Object(await stored()).process, own);
    },
  );

  it("can be read where the machine has no name", async () => {
    world.options = { exporter: { id: "exporter-x", hostname: "" } };
    await using stage = await world.stage();
    const { follower } = await stage.holderAndFollower();
    assert.deepEqual(follower.told, [{ kind: "follower", holder: "exporter-x on unknown" }]);
  });

  it("takes any host name, and followers are told it", async () => {
    world.options = { exporter: { id: "exporter-x", hostname: "hö\nst".repeat(100) } };
    await using stage = await world.stage();
    const { holder, follower } = await stage.holderAndFollower();
    assert.ok(holder.isHolder);
    const told = follower.told[0];
    assert.ok(told?.kind === "follower");
    assert.match(told.holder ?? "", /^exporter-x on h\?\?sth\?\?st/);
  });

  it("tells two exporters apart that were given one id", async () => {
    world.options = { exporter: { id: "twin", hostname: "same" }, random: () => 0.5 };
    await using stage = await world.stage();
    for (let count = 0; count < 4; count += 1) await stage.run();
    await stage.advance(TTL_MS * 3);
    assert.equal(stage.tokens.length, 1);
    stage.runners.find(({ isHolder }) => isHolder)?.kill();
    await stage.until(() => stage.tokens.length === 2, TAKEOVER_MS);
    await stage.advance(TTL_MS * 3);
    assert.equal(stage.tokens.length, 2);
  });
});

describe("a lease of another TTL", () => {
  it("is left alone for its own, and no longer", async () => {
    const ttlMs = 4 * TTL_MS;
    world.options = { ttlMs };
    await using stage = await world.stage();
    const holder = await stage.run();
    world.options = {};
    const follower = await stage.run();
    holder.kill();
    await stage.advance(ttlMs - 1);
    assert.ok(!follower.isHolder);
    await stage.until(() => follower.isHolder, 6_000);
  });
});

describe("a lease that was deleted under its holder", () => {
  it("makes it step down, is waited for like one that is held, and the next token is higher", async () => {
    await using stage = await world.stage();
    const { holder } = await stage.holderAndFollower();
    await stage.advance(TTL_MS * 2);
    await store.delete(KEY, never);
    await stage.advance(TTL_MS - 1);
    assert.ok(!holder.isHolder);
    assert.deepEqual(stage.tokens, [1]);
    await stage.until(() => stage.tokens.length === 2, TAKEOVER_MS);
    assert.deepEqual(stage.tokens, [1, 2]);
    const lost = world.joined[0]?.log.find("warn")[0];
    assert.deepEqual(lost?.fields, { fencingToken: 1, reason: "it was deleted" });
  });
});

describe("a lease that somebody wrote over the holder's", () => {
  it("makes it step down, whatever its sequence", async () => {
    await using stage = await world.stage();
    const only = await stage.run();
    const theirs = { holder: "other", hostname: "elsewhere", session: "x", sequence: 2 };
    const lease = { ...theirs, token: 5, ttlMs: TTL_MS, state: "held" as const };
    await put(store, KEY, encodeLease({ ...lease, renewedAt: new Date(0) }));
    await stage.advance(TTL_MS / 2);
    assert.deepEqual(only.told.at(-1), { kind: "follower", holder: "other on elsewhere" });
    const lost = world.joined[0]?.log.find("warn")[0];
    assert.equal(lost?.fields["reason"], "other on elsewhere took it");
    await stage.until(() => only.token === 6, TAKEOVER_MS);
  });
});

describe("a lease of the holder's that somebody changed", () => {
  it("in its token makes it step down, and tokens go on from that one", async () => {
    await using stage = await world.stage();
    const only = await stage.run();
    const lease = decodeLease(Buffer.from(await text(store, KEY)), KEY);
    await put(store, KEY, encodeLease({ ...lease, token: 50 }));
    await stage.until(() => only.token === 51, TAKEOVER_MS);
    assert.equal(world.joined[0]?.log.find("warn")[0]?.fields["reason"], "its token was changed");
  });
});

describe("a lease of the holder's that somebody marked as released", () => {
  it("makes it step down, and says so", async () => {
    await using stage = await world.stage();
    const only = await stage.run();
    const lease = decodeLease(Buffer.from(await text(store, KEY)), KEY);
    await put(store, KEY, encodeLease({ ...lease, state: "released" }));
    await stage.until(() => only.token === 2, TAKEOVER_MS);
    assert.equal(world.joined[0]?.log.find("warn")[0]?.fields["reason"], "it was released");
  });
});

describe("something else in place of the lease", () => {
  it.each([
    ["text", "hello"],
    ["an impossible token", '{"token":-1}'],
    ["something huge", "x".repeat(1_000_000)],
  ])("as %s is left alone, said, and elects nobody until it is deleted", async (_, content) => {
    await put(store, KEY, content);
    await using stage = await world.stage();
    const only = await stage.run();
    await stage.advance(TTL_MS * 10);
    assert.deepEqual(stage.tokens, []);
    assert.equal(await text(store, KEY), content);
    const [said, ...more] = world.joined[0]?.log.find("error") ?? [];
    assert.match(`${said?.fields["err"]}`, /lease\.json is no lease/);
    assert.equal(more.length, 0);
    await store.delete(KEY, never);
    await stage.until(() => only.isHolder, TAKEOVER_MS);
  });

  it("makes the holder step down, and tokens go on where they were", async () => {
    await using stage = await world.stage();
    const { holder, follower } = await stage.holderAndFollower();
    await put(store, KEY, "hello");
    await stage.until(() => !holder.isHolder, TTL_MS);
    await stage.advance(TTL_MS * 3);
    assert.deepEqual(stage.tokens, [1]);
    await store.delete(KEY, never);
    await stage.until(() => stage.tokens.length === 2, TAKEOVER_MS);
    assert.ok(Number(holder.token ?? follower.token) > 1);
  });

  it("as an older lease of one's own, put back by hand, is not taken for the newest", async () => {
    await using stage = await world.stage();
    const only = await stage.run();
    const old = await text(store, KEY);
    await stage.advance(TTL_MS);
    await put(store, KEY, old);
    await stage.until(() => only.token === 2, TAKEOVER_MS);
    assert.equal(
      world.joined[0]?.log.find("warn")[0]?.fields["reason"],
      "an older one was put back",
    );
  });
});
