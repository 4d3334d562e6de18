import assert from "node:assert/strict";
import { setImmediate } from "node:timers/promises";
import { describe, it } from "vitest";
import { PONG } from "../fakes/websocket-frames.ts";
import { pair, SMALL } from "./harness.ts";

describe("a control plane that answers but sends no config", () => {
  it("is reported once, 10 s after connecting, with every cause and remedy", async () => {
    await using t = await pair({ config: SMALL, configured: ["my-plugin"] });
    const { session, event } = await t.begin();
    await t.clock.advance(10_000);
    const { value } = await event;
    assert.equal(value.kind, "withheld");
    assert.equal(value.error.code, "SOURCE_WITHHELD");
    assert.match(value.error.message, /answers, but sent no config within 10 s$/);
    for (const part of [/KONG_PLUGINS/, /wasm/, /database/, /KONG_FALLBACK_ADMIN_URL/]) {
      assert.match(value.error.hint ?? "", part);
    }
    // Not a second time; a config that comes after all is handed out.
    const next = t.events.next();
    await t.clock.advance(30_000);
    await session.received(3);
    session.sendConfig(SMALL);
    assert.equal((await next).value.kind, "config");
  });

  for (const [status, remedy] of [
    ["plugin_set_incompatible", /add the names of your custom plugins to KONG_PLUGINS/],
    ["plugin_version_incompatible", /node id/],
    ["filter_set_incompatible", /wasm/],
    ["kong_version_incompatible", /KONG_VERSION/],
    ["normal", /database/],
  ] as const) {
    it(`is explained by the status ${status}`, async () => {
      await using t = await pair({}, { syncStatus: async () => status });
      const { event } = await t.begin();
      await t.clock.advance(10_000);
      const { value } = await event;
      assert.equal(value.kind, "withheld");
      assert.ok(value.error.message.endsWith(`; it reports ${status}`), value.error.message);
      assert.match(value.error.hint ?? "", remedy);
    });
  }

  it("is reported although the Admin API cannot be asked", async () => {
    const syncStatus = () => Promise.reject(new Error("401 Unauthorized"));
    await using t = await pair({}, { syncStatus });
    const { event } = await t.begin();
    await t.clock.advance(10_000);
    const { value } = await event;
    assert.equal(value.kind, "withheld");
    assert.match(value.error.hint ?? "", /could not be asked: 401 Unauthorized/);
  });

  it("is not waited for longer than 5 s when its Admin API hangs", async () => {
    const syncStatus = (signal: AbortSignal) =>
      new Promise<never>((_, reject) => {
        signal.addEventListener("abort", () => reject(signal.reason));
      });
    await using t = await pair({}, { syncStatus });
    const { event } = await t.begin();
    const asking = t.clock.untilSleeping(5_000);
    await t.clock.advance(10_000);
    await asking;
    await t.clock.advance(5_000);
    const { value } = await event;
    assert.equal(value.kind, "withheld");
    assert.match(value.error.hint ?? "", /no answer within 5 s/);
  });

  it("is not reported if the config comes while the Admin API is asked", async () => {
    let answer: (status: string) => void = () => {};
    const syncStatus = () =>
      new Promise<string>((resolve) => {
        answer = resolve;
      });
    await using t = await pair({}, { syncStatus });
    const { session, event } = await t.begin();
    const asking = t.clock.untilSleeping(5_000);
    await t.clock.advance(10_000);
    await asking;
    session.sendConfig(SMALL);
    assert.equal((await event).value.kind, "config");
    const next = t.events.next();
    answer("plugin_set_incompatible");
    await setImmediate();
    session.sendConfig(SMALL);
    assert.equal((await next).value.kind, "config");
  });

  it("is silent, not withholding, while it does not even pong", async () => {
    await using t = await pair({ pongs: false });
    const { session, event } = await t.begin();
    await t.clock.advance(10_000);
    session.sendConfig(SMALL);
    assert.equal((await event).value.kind, "config");
  });

  it("is reported late where the first pong comes late", async () => {
    await using t = await pair({ pongs: false });
    const { session, event } = await t.begin();
    await t.clock.advance(12_000);
    session.send(PONG, Buffer.alloc(0));
    assert.equal((await event).value.kind, "withheld");
  });
});
