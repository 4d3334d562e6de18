/** Rehearsals against a server that answers as Kong 3.9.1 does. */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import { afterEach, beforeEach, describe, it } from "vitest";
import { KongRehearser } from "../../src/exporter/kong-rehearser.ts";
import { RehearsalError, type RehearsalErrorCode } from "../../src/exporter/rehearsal.ts";
import { AdminClient, prepareConfigLoad } from "../../src/kong/admin-client.ts";
import { configBytes, kongVersion, V391 } from "../fakes/config.ts";
import { EMPTY_HASH, FakeKongAdmin } from "../fakes/kong-admin.ts";
import { ANSWERS } from "../fakes/kong-admin-answers.ts";
import { ManualClock } from "../fakes/manual-clock.ts";

const never = new AbortController().signal;
const CONFIG = configBytes("a");
const SECRET = "the-long-api-key-of-a-customer";
const TIMEOUT_MS = 60_000;

let kong: FakeKongAdmin;
let admin: AdminClient;
let clock: ManualClock;
beforeEach(async () => {
  kong = await FakeKongAdmin.start();
  admin = new AdminClient({ url: new URL(kong.url) });
  clock = new ManualClock();
});
afterEach(async () => {
  await admin[Symbol.asyncDispose]();
  await kong[Symbol.asyncDispose]();
});

function rehearser(version = V391, status?: AdminClient) {
  return new KongRehearser({ admin, status, kongVersion: version, timeoutMs: TIMEOUT_MS, clock });
}

/** Time passes only while the rehearsal waits for it: one sleeper is its time limit, another one its pause. */
async function rehearse(config: Uint8Array = CONFIG, signal = never, under = rehearser()) {
  let isOver = false;
  const result = under.rehearse(config, signal).finally(() => (isOver = true));
  result.catch(() => {});
  while (!isOver) {
    await setImmediate();
    if (clock.sleepers > 1) await clock.advance(500);
  }
  return result;
}

async function failureOf(promise: Promise<unknown>): Promise<RehearsalError> {
  try {
    await promise;
  } catch (error) {
    assert.ok(error instanceof RehearsalError, String(error));
    assert.ok(error.retryable);
    return error;
  }
  assert.fail("expected a RehearsalError");
}

describe("a rehearsal in Kong", () => {
  it("passes once Kong shows the hash of this very text", async () => {
    kong.confirmAfter = 3;
    assert.deepEqual(await rehearse(), { kind: "passed" });
    assert.equal(kong.config, CONFIG.toString());
    assert.equal(kong.configurationHash, createHash("md5").update(CONFIG).digest("hex"));
    const [load] = kong.configs;
    assert.equal(load?.query, "?check_hash=1&flatten_errors=1");
    assert.ok(kong.requests.filter((it) => it === "GET /status").length >= 4);
  });

  it("is not content with what Kong had before", async () => {
    await rehearse();
    kong.confirmAfter = 5;
    const next = configBytes("b");
    assert.deepEqual(await rehearse(next), { kind: "passed" });
    assert.equal(kong.configurationHash, createHash("md5").update(next).digest("hex"));
  });

  it("passes where Kong has it already, and looks all the same", async () => {
    await rehearse();
    const before = kong.requests.length;
    assert.deepEqual(await rehearse(), { kind: "passed" });
    const again = kong.requests.slice(before);
    assert.deepEqual(again.slice(0, 3), [
      "GET /",
      "POST /config?check_hash=1&flatten_errors=1",
      "GET /status",
    ]);
  });

  it("waits until the Status API says ready", async () => {
    await using status = await FakeKongAdmin.start();
    status.hasReadiness = true;
    status.configurationHash = "a".repeat(32);
    status.answerNext("/status/ready", ANSWERS.exiting, ANSWERS.exiting);
    await using client = new AdminClient({ url: new URL(status.url) });
    assert.deepEqual(await rehearse(CONFIG, never, rehearser(V391, client)), { kind: "passed" });
    assert.deepEqual(status.requests, Array(3).fill("GET /status/ready"));
    assert.ok(!kong.requests.includes("GET /status/ready"));
  });

  it("asks the Admin API for readiness where no other is known, and believes it", async () => {
    kong.hasReadiness = true;
    kong.buildsFor = 2;
    assert.deepEqual(await rehearse(), { kind: "passed" });
    assert.equal(kong.requests.filter((it) => it === "GET /status/ready").length, 3);
  });

  it.each<[string, () => Promise<unknown>]>([
    [
      "somebody else loads another config",
      () => admin.loadConfig(prepareConfigLoad(configBytes("another")).body, never),
    ],
    ["Kong restarts and has lost it", async () => (kong.configurationHash = EMPTY_HASH)],
  ])("does not pass where meanwhile %s, and passes once it is tried again", async (_, happens) => {
    kong.hasReadiness = true;
    kong.buildsFor = 5;
    const asked = kong.untilRequest("GET /status/ready");
    const running = failureOf(rehearse());
    await asked;
    await happens();
    const error = await running;
    assert.equal(error.code, "REHEARSAL_UNAVAILABLE");
    assert.match(error.hint ?? "", /somebody else loads configs/);
    assert.deepEqual(await rehearse(), { kind: "passed" });
    assert.equal(kong.config, CONFIG.toString());
  });

  it("sends a config that is no UTF-8 as it is, and is confirmed by any hash", async () => {
    const config = Buffer.from('{"_format_version":"3.0","a":"\xff"}', "latin1");
    assert.deepEqual(await rehearse(config), { kind: "passed" });
    assert.deepEqual(kong.configs[0]?.body, config);
  });

  it("gives Kong's reasons where it refuses the config, without values", async () => {
    kong.refuse = () => [
      {
        entity_type: "keyauth_credential",
        entity_id: "0b0f0c1e-9d0b-4a3b-8a77-1d1f6f1d2a10",
        entity: { id: "0b0f0c1e-9d0b-4a3b-8a77-1d1f6f1d2a10", key: SECRET },
        errors: [{ type: "field", field: "key", message: `bad: ${SECRET}` }],
      },
      {
        entity_type: "service",
        entity_name: "billing",
        entity: { name: "billing", port: 99999 },
        errors: [
          { type: "field", field: "port", message: "value should be between 0 and 65535" },
          { type: "field", field: "ws_id", message: "unknown field" },
        ],
      },
    ];
    assert.deepEqual(await rehearse(), {
      kind: "refused",
      reasons: [
        'keyauth_credential "0b0f0c1e-9d0b-4a3b-8a77-1d1f6f1d2a10", field key: bad: [redacted]',
        'service "billing", field port: value should be between 0 and 65535',
        'service "billing", field ws_id: unknown field',
      ],
    });
  });

  it("waits as long as Kong says while it loads something else", async () => {
    kong.answerNext("/config", ANSWERS.busy);
    const before = clock.monotonicMs();
    assert.deepEqual(await rehearse(), { kind: "passed" });
    assert.ok(clock.monotonicMs() - before >= 7_000);
  });

  it.each<[string, () => void, RegExp]>([
    ["of another version", () => (kong.version = "3.8.1"), /is of version 3\.8\.1/],
    ["of Enterprise", () => (kong.version = "3.9.1.2"), /the config is for 3\.9\.1/],
    ["with a database", () => (kong.database = "postgres"), /not DB-less, .* postgres/],
    ["that denies us", () => (kong.token = "x"), /was denied/],
  ])("sends nothing to a Kong %s", async (_, arrange, message) => {
    arrange();
    const error = await failureOf(rehearse());
    assert.equal(error.code, "REHEARSAL_MISCONFIGURED");
    assert.match(error.message, message);
    assert.ok(error.hint);
    assert.deepEqual(kong.configs, []);
  });

  it("takes the suffix of Enterprise for nothing", async () => {
    kong.version = "3.4.3.5-enterprise-edition";
    const under = rehearser(kongVersion("3.4.3.5"));
    assert.deepEqual(await rehearse(CONFIG, never, under), { kind: "passed" });
  });

  it.each<[keyof typeof ANSWERS, RehearsalErrorCode]>([
    ["unexpected", "REHEARSAL_UNAVAILABLE"],
    ["timeout", "REHEARSAL_UNAVAILABLE"],
    ["bodyTooLarge", "REHEARSAL_MISCONFIGURED"],
    ["mapFull", "REHEARSAL_MISCONFIGURED"],
    ["notDbless", "REHEARSAL_MISCONFIGURED"],
    ["unsupported", "REHEARSAL_MISCONFIGURED"],
    ["plainHttp", "REHEARSAL_MISCONFIGURED"],
    ["blocked", "REHEARSAL_MISCONFIGURED"],
  ])("does not take the answer %s for a refusal of the config", async (name, code) => {
    kong.answerNext("/config", ANSWERS[name]);
    assert.equal((await failureOf(rehearse())).code, code);
  });

  it("fails where Kong dies in the middle of the POST, and passes when it is back", async () => {
    kong.answerNext("/config", "disconnect");
    assert.equal((await failureOf(rehearse())).code, "REHEARSAL_UNAVAILABLE");
    assert.deepEqual(await rehearse(), { kind: "passed" });
  });

  it.each<[string, string, RegExp]>([
    ["answers", "GET /", /did not answer within 60 s/],
    ["loads", "POST /config", /did not finish loading/],
  ])("gives up where Kong never %s", async (_, request, message) => {
    kong.answerNext(request.split(" ")[1] ?? "", "hang");
    const asked = kong.untilRequest(request);
    const failed = failureOf(rehearser().rehearse(CONFIG, never));
    await asked;
    await clock.advance(TIMEOUT_MS);
    const error = await failed;
    assert.equal(error.code, "REHEARSAL_UNAVAILABLE");
    assert.match(error.message, message);
  });

  it.each<[string, () => void, RegExp]>([
    ["shows the hash", () => (kong.confirmAfter = 1e9), /did not show the config in its \/status/],
    ["is ready", () => (kong.buildsFor = 1e9), /did not become ready/],
  ])("gives up where Kong never %s, after a minute", async (_, arrange, message) => {
    kong.hasReadiness = true;
    arrange();
    const error = await failureOf(rehearse());
    assert.equal(error.code, "REHEARSAL_UNAVAILABLE");
    assert.match(error.message, message);
    assert.equal(clock.monotonicMs(), TIMEOUT_MS);
    assert.equal(clock.sleepers, 0);
  });

  it("ends with the reason of its signal", async () => {
    kong.answerNext("/config", "hang");
    const stop = new AbortController();
    const posted = kong.untilRequest("POST /config");
    const running = rehearser().rehearse(CONFIG, stop.signal);
    running.catch(() => {});
    await posted;
    const reason = new Error("over");
    stop.abort(reason);
    await assert.rejects(running, reason);
  });
});
