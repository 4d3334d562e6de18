import assert from "node:assert/strict";
import { setImmediate } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import { describe, it } from "vitest";
import { BINARY, CLOSE, PING } from "../fakes/websocket-frames.ts";
import { type Changes, failure, frameOf, NODE_ID, pair, SMALL } from "./harness.ts";

const EVERY_MS = 20_000;
const OTHER = hashed("b".repeat(32));

/** A config that says it has this hash. */
function hashed(config_hash: string): Buffer {
  const config_table = { _format_version: "3.0", name: config_hash };
  return gzipSync(JSON.stringify({ type: "reconfigure", config_hash, config_table }));
}

/** A session that was given a config, and then nothing for as long as it takes to be checked. */
async function quiet(changes: Changes = {}) {
  const t = await pair({ config: SMALL }, { checkEveryMs: EVERY_MS, ...changes });
  const { session, event } = await t.begin();
  assert.equal((await event).value.kind, "config");
  const next = t.events.next();
  next.catch(() => {});
  await t.clock.untilSleeping(EVERY_MS);
  return { t, session, next };
}

/** The short session of this number, once it has said who it is and waits for a config. */
async function short(t: Awaited<ReturnType<typeof pair>>, number: number) {
  const session = await t.controlPlane.session(number);
  await session.received(1);
  return session;
}

describe("a session that is given nothing for long", () => {
  it("is confirmed by a short one, which leaves no more than it must", async () => {
    const { t, session, next } = await quiet();
    await using _ = t;
    await t.clock.advance(EVERY_MS);
    const another = await short(t, 2);
    assert.deepEqual(await next, { done: false, value: { kind: "confirmed" } });
    await another.ended();
    assert.deepEqual(
      another.frames.map(({ opcode }) => opcode),
      [BINARY, CLOSE],
    );
    assert.deepEqual(another.violations, []);
    assert.match(another.request.url ?? "", new RegExp(`node_id=${NODE_ID}`));
    assert.equal(another.request.url, session.request.url);
    assert.ok(!session.hasEnded);
  });

  it("is told to be withheld from, where a plugin was configured meanwhile that is not declared", async () => {
    const { t, session, next } = await quiet();
    await using _ = t;
    t.controlPlane.change({ config: OTHER, configured: ["my-plugin"] });
    await t.clock.advance(EVERY_MS);
    const another = await short(t, 2);
    await t.clock.advance(5_000);
    await another.received(2);
    await t.clock.advance(5_000);
    const { value } = await next;
    assert.equal(value.kind, "withheld");
    assert.equal(value.error.code, "SOURCE_WITHHELD");
    assert.match(value.error.hint ?? "", /KONG_PLUGINS/);
    assert.deepEqual(
      another.frames.slice(0, 2).map(({ opcode }) => opcode),
      [BINARY, PING],
    );
    // It was not disturbed, and is given the config once the plugin is gone.
    const last = t.events.next();
    t.controlPlane.change({ config: OTHER, configured: [] });
    assert.equal((await last).value.kind, "config");
    assert.ok(!session.hasEnded);
  });

  it("is told so by the Admin API, with the plugin's name and without a short session", async () => {
    const { t, next } = await quiet({
      syncStatus: async () => "plugin_set_incompatible",
      pluginsInUse: async () => ["key-auth", "my-plugin"],
    });
    await using _ = t;
    await t.clock.advance(EVERY_MS);
    const { value } = await next;
    assert.equal(value.kind, "withheld");
    assert.match(value.error.message, /withholds its config from this service; it reports/);
    assert.match(value.error.hint ?? "", /^The plugin my-plugin is configured.*KONG_PLUGINS/);
    assert.equal(t.controlPlane.sessions.length, 1);
  });

  it("is confirmed by the Admin API without a short session", async () => {
    const { t, next } = await quiet({ syncStatus: async () => "normal" });
    await using _ = t;
    await t.clock.advance(EVERY_MS);
    assert.equal((await next).value.kind, "confirmed");
    assert.equal(t.controlPlane.sessions.length, 1);
  });

  it("is checked by a short session where the Admin API does not answer", async () => {
    const { t, next } = await quiet({ syncStatus: () => Promise.reject(new Error("down")) });
    await using _ = t;
    await t.clock.advance(EVERY_MS);
    assert.equal((await next).value.kind, "confirmed");
    assert.equal(t.controlPlane.sessions.length, 2);
  });

  it("is ended where others are given another config, also once the nodes had time to agree", async () => {
    const { t, next } = await quiet();
    await using _ = t;
    t.controlPlane.change({ config: OTHER }, { quietly: true });
    const again = t.clock.untilSleeping(15_000);
    await t.clock.advance(EVERY_MS);
    await again;
    await t.clock.advance(15_000);
    const error = await failure(next, "SOURCE_LOST");
    assert.match(error.message, /a new session was sent another config/);
    assert.equal(t.controlPlane.sessions.length, 3);
  });

  it("is not ended where it is sent that config meanwhile", async () => {
    const { t, session, next } = await quiet();
    await using _ = t;
    t.controlPlane.change({ config: OTHER }, { quietly: true });
    const again = t.clock.untilSleeping(15_000);
    await t.clock.advance(EVERY_MS);
    await again;
    session.sendConfig(OTHER);
    assert.equal((await next).value.kind, "config");
    const third = short(t, 3);
    await t.clock.advance(15_000);
    await (await third).ended();
    await setImmediate();
    assert.ok(!session.hasEnded);
  });

  it("is not confirmed by a config without a hash", async () => {
    const { t, session, next } = await quiet();
    await using _ = t;
    t.controlPlane.change({ config: frameOf("no hash") }, { quietly: true });
    await t.clock.advance(EVERY_MS);
    await (await short(t, 2)).ended();
    session.sendConfig(OTHER);
    assert.equal((await next).value.kind, "config");
  });

  it("goes on where the check fails, which is told", async () => {
    const { t, session, next } = await quiet();
    await using _ = t;
    t.controlPlane.change({ config: OTHER, configured: ["my-plugin"] });
    await t.clock.advance(EVERY_MS);
    (await short(t, 2)).drop();
    const { value } = await next;
    assert.equal(value.kind, "unconfirmed");
    assert.equal(value.error.code, "SOURCE_LOST");
    assert.ok(!session.hasEnded);
  });
});
