import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:net";
import { Registry } from "prom-client";
import { describe, it } from "vitest";
import type { CommandContext } from "../../src/commands/context.ts";
import { openStatusServer } from "../../src/commands/daemon.ts";
import { ManualClock } from "../fakes/manual-clock.ts";
import { RecordingLog } from "../fakes/recording-log.ts";

async function takenPort() {
  const holder = createServer().listen(0, "127.0.0.1");
  await once(holder, "listening");
  const address = holder.address();
  assert.ok(typeof address === "object" && address !== null);
  return { holder, listen: { host: "127.0.0.1", port: address.port } };
}

function contextOf(listen: { readonly host: string; readonly port: number }) {
  const log = new RecordingLog();
  const clock = new ManualClock();
  const context = { settings: { statusListen: listen }, log, clock, random: () => 0 };
  return { log, clock, context: context as unknown as CommandContext };
}

const OPTIONS = { registry: new Registry(), notReady: () => undefined };

describe("the status server of a daemon", () => {
  it("listens as soon as whoever held its address has gone", async () => {
    const { holder, listen } = await takenPort();
    const { context, clock, log } = contextOf(listen);
    await using _ = await openStatusServer(context, OPTIONS);
    assert.equal(log.find("error").length, 1);
    await clock.untilSleeping(5_000);
    holder.close();
    await once(holder, "close");
    await clock.advance(5_000);
    while (log.find("status server listens").length === 0) await new Promise(setImmediate);
    const response = await fetch(`http://127.0.0.1:${listen.port}/livez`);
    assert.equal(response.status, 200);
    await response.text();
  });

  it("does not listen any more once the daemon has ended", async () => {
    const { holder, listen } = await takenPort();
    const { context, clock } = contextOf(listen);
    const server = await openStatusServer(context, OPTIONS);
    await clock.untilSleeping(5_000);
    await server[Symbol.asyncDispose]();
    assert.equal(clock.sleepers, 0);
    holder.close();
  });
});
