/** The target Admin API: the exact text, a foreseen hash, and no rest until Kong reports it. */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { inspect } from "node:util";
import { afterEach, beforeEach, describe, it } from "vitest";
import { AdminTarget } from "../../../src/importer/targets/admin.ts";
import { TargetError, type TargetErrorCode } from "../../../src/importer/targets/port.ts";
import { AdminClient } from "../../../src/kong/admin-client.ts";
import { snapshotOf } from "../../fakes/config.ts";
import { EMPTY_HASH, FakeKongAdmin } from "../../fakes/kong-admin.ts";
import { ANSWERS, schemaRefusal } from "../../fakes/kong-admin-answers.ts";
import { ManualClock } from "../../fakes/manual-clock.ts";
import { RecordingLog } from "../../fakes/recording-log.ts";

const signal = new AbortController().signal;
const TIMEOUT_MS = 30_000;
/** random() is 0, so every wait of our own is the shortest. */
const WAIT_MS = 250;

let kong: FakeKongAdmin;
let clock: ManualClock;
let log: RecordingLog;
let target: AdminTarget;
beforeEach(async () => {
  kong = await FakeKongAdmin.start();
  clock = new ManualClock();
  log = new RecordingLog();
  target = targetAt(kong.url);
});
afterEach(async () => {
  await target[Symbol.asyncDispose]();
  await kong[Symbol.asyncDispose]();
});

function targetAt(url: string): AdminTarget {
  const client = new AdminClient({ url: new URL(url) });
  return new AdminTarget({ client, timeoutMs: TIMEOUT_MS, clock, random: () => 0, log });
}

function snapshotWith(config: string | Uint8Array) {
  return { ...snapshotOf("a"), config: Buffer.from(config) };
}

const md5 = (text: Uint8Array | string) => createHash("md5").update(text).digest("hex");

async function failureOf(promise: Promise<unknown>): Promise<TargetError> {
  try {
    await promise;
  } catch (error) {
    assert.ok(error instanceof TargetError, inspect(error));
    return error;
  }
  assert.fail("expected a TargetError");
}

/** Lets our own waits pass until the promise settles. */
async function settled<T>(promise: Promise<T>): Promise<T> {
  let isSettled = false;
  const mark = () => {
    isSettled = true;
  };
  const done = promise.then(mark, mark);
  while (!isSettled) {
    await Promise.race([done, clock.untilSleeping(WAIT_MS)]);
    if (!isSettled) await clock.advance(WAIT_MS);
  }
  return promise;
}

describe("an Admin API as target", () => {
  it("gets the config as the text it is, so that Kong's hash is the MD5 of its bytes", async () => {
    const text =
      '{ "_format_version":"3.0",\n\t"a":"é\u2028😀\\u0000\\/\\"","n":9.007199254741e+15 }';
    assert.equal(await target.apply(snapshotWith(text), signal), "applied");
    assert.equal(kong.config, text);
    assert.equal(kong.configurationHash, md5(text));
    assert.equal(kong.configs[0]?.contentType, "application/json");
  });

  it("that reports the hash already is not sent the config", async () => {
    const snapshot = snapshotOf("a");
    kong.configurationHash = md5(snapshot.config);
    assert.equal(await target.apply(snapshot, signal), "unchanged");
    assert.deepEqual(kong.requests, ["GET /status"]);
  });

  it("that answers 304 has the config already", async () => {
    kong.answerNext("/config", { status: 304, body: "" });
    assert.equal(await target.apply(snapshotOf("a"), signal), "unchanged");
  });

  it("is asked until it reports the hash", async () => {
    kong.confirmAfter = 4;
    assert.equal(await settled(target.apply(snapshotOf("a"), signal)), "applied");
    assert.equal(kong.configs.length, 1, "asking is not sending");
  });

  it("that never reports the hash is not confirmed", async () => {
    kong.confirmAfter = Number.POSITIVE_INFINITY;
    const error = await failureOf(settled(target.apply(snapshotOf("a"), signal)));
    assert.equal(error.code, "TARGET_NOT_CONFIRMED");
    assert.match(
      error.message,
      /accepted the config, but its \/status does not report the hash [0-9a-f]{32}$/,
    );
    assert.equal(kong.configs.length, 1);
    assert.equal(clock.sleepers, 0);
  });

  it("that is still starting is waited for", async () => {
    const { port } = kong;
    await kong[Symbol.asyncDispose]();
    const applied = target.apply(snapshotOf("a"), signal);
    await clock.untilSleeping(WAIT_MS);
    kong = await FakeKongAdmin.start({ port });
    assert.equal(await settled(applied), "applied");
    const [line] = log.find("target is not ready, trying again");
    assert.match(inspect(line?.fields["err"]), /ECONNREFUSED.*ADMIN_UNAVAILABLE/s);
  });

  it("that is never there is given up in time", async () => {
    await kong[Symbol.asyncDispose]();
    const error = await failureOf(settled(target.apply(snapshotOf("a"), signal)));
    assert.equal(error.code, "TARGET_UNAVAILABLE");
    assert.match(
      error.message,
      /^could not load the config into Kong: GET .*\/status failed: .*ECONNREFUSED/,
    );
    assert.equal(clock.monotonicMs(), TIMEOUT_MS - WAIT_MS);
    assert.equal(clock.sleepers, 0);
  });

  it("that is busy gets the time it asks for", async () => {
    kong.answerNext("/config", ANSWERS.busy);
    const applied = target.apply(snapshotOf("a"), signal);
    await clock.untilSleeping(7_000);
    await clock.advance(6_999);
    assert.equal(kong.requests.filter((it) => it.startsWith("POST")).length, 1);
    await clock.advance(1);
    assert.equal(await applied, "applied");
  });

  it.each(["exiting", "timeout", "unexpected"] as const)(
    "that is %s is tried again",
    async (name) => {
      kong.answerNext("/config", ANSWERS[name], ANSWERS[name]);
      assert.equal(await settled(target.apply(snapshotOf("a"), signal)), "applied");
    },
  );

  it("whose answer was lost is asked before the config is sent again", async () => {
    const snapshot = snapshotOf("a");
    kong.answerNext("/config", "disconnect");
    const applied = target.apply(snapshot, signal);
    await clock.untilSleeping(WAIT_MS);
    kong.configurationHash = md5(snapshot.config);
    await settled(applied);
    assert.deepEqual(kong.configs, []);
  });

  it("that hangs is given up in time", async () => {
    kong.answerNext("/config", "hang");
    const posted = kong.untilRequest("POST /config");
    const failure = failureOf(target.apply(snapshotOf("a"), signal));
    await posted;
    await clock.advance(TIMEOUT_MS);
    const error = await failure;
    assert.equal(error.code, "TARGET_UNAVAILABLE");
    assert.match(error.message, /did not finish loading \d+ bytes within 30 s$/);
    assert.match(error.hint ?? "", /may still be loading/);
  });

  it.each<[string, keyof typeof ANSWERS, TargetErrorCode, RegExp]>([
    ["is not DB-less", "notDbless", "TARGET_REFUSED", /--to file:/],
    ["has too small a store", "mapFull", "TARGET_REFUSED", /lmdb_map_size/],
    [
      "takes no body that long",
      "bodyTooLarge",
      "TARGET_REFUSED",
      /nginx_admin_client_max_body_size/,
    ],
    ["takes no JSON", "unsupported", "TARGET_REFUSED", /rewrites requests/],
    ["is no Admin API", "notFound", "TARGET_REFUSED", /8001/],
    ["wants a token", "unauthorized", "TARGET_REFUSED", /Kong-Admin-Token/],
  ])("that %s is not tried again", async (_name, answer, code, hint) => {
    kong.answerNext("/config", ANSWERS[answer]);
    const error = await failureOf(target.apply(snapshotOf("a"), signal));
    assert.equal(error.code, code);
    assert.equal(error.exitStatus, 4);
    assert.match(error.hint ?? "", hint);
    assert.equal(kong.configurationHash, EMPTY_HASH);
    // Only where the config is the matter another one may be taken.
    assert.equal(error.leftEmpty, answer === "mapFull" || answer === "bodyTooLarge");
  });

  it("that refuses the config says why, without the config", async () => {
    const plugin = { name: "nope", secret: "hunter2-hunter2" };
    const message = "plugin 'nope' not enabled; add it to the 'plugins' configuration property";
    const errors = [{ type: "field", field: "name", message }];
    const refused = { entity_type: "plugin", entity_name: "nope", entity: plugin, errors };
    kong.answerNext("/config", schemaRefusal({ flattened: [refused] }));
    const config = JSON.stringify({ _format_version: "3.0", plugins: [plugin] });
    const error = await failureOf(target.apply(snapshotWith(config), signal));
    assert.equal(error.code, "TARGET_REFUSED");
    assert.ok(error.leftEmpty);
    assert.match(
      error.message,
      /\n {2}plugin "nope", field name: plugin 'nope' not enabled; add it/,
    );
    assert.ok(!inspect([error, log.lines], { depth: 9 }).includes("hunter2"));
  });

  it("that refuses the config is not left empty where it holds another one", async () => {
    const refusal = schemaRefusal({ fields: { services: "bad" }, flattened: [] });
    await target.apply(snapshotOf("old"), signal);
    kong.answerNext("/config", refusal);
    assert.equal((await failureOf(target.apply(snapshotOf("new"), signal))).leftEmpty, false);
  });

  it("gets a config that is not UTF-8 undamaged, as the body itself", async () => {
    const config = Buffer.concat([
      Buffer.from('{"_format_version":"3.0","x":"'),
      Buffer.from([0xff, 0xfe]),
      Buffer.from('"}'),
    ]);
    assert.equal(await target.apply(snapshotWith(config), signal), "applied");
    assert.ok(kong.configs[0]?.body.equals(config));
    assert.equal(log.find("warn").length, 1);
    assert.equal(await target.apply(snapshotWith(config), signal), "applied", "never 'unchanged'");
    assert.equal(kong.configs.length, 2);
  });

  it("ends with the reason of an abort", async () => {
    const controller = new AbortController();
    const reason = new Error("stop");
    kong.answerNext("/config", ANSWERS.busy);
    const applied = target.apply(snapshotOf("a"), controller.signal);
    await clock.untilSleeping(7_000);
    controller.abort(reason);
    await assert.rejects(applied, (error) => error === reason);
    assert.equal(clock.sleepers, 0);
  });

  it("has nothing to take back", async () => {
    assert.equal(await target.withdraw(), false);
    assert.deepEqual(kong.requests, []);
  });
});
