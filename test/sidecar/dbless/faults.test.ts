/** The keeper of a DB-less Kong that is away, or is none, and its end. */

import assert from "node:assert/strict";
import { inspect } from "node:util";
import { afterEach, beforeEach, describe, it } from "vitest";
import { AdminError } from "../../../src/kong/admin-client.ts";
import { EMPTY_HASH } from "../../fakes/kong-admin.ts";
import { ANSWERS } from "../../fakes/kong-admin-answers.ts";
import { DblessStage, GRACE_POLLS, hashOf, loadable } from "./stage.ts";

let stage: DblessStage;
beforeEach(async () => {
  stage = await DblessStage.open();
  stage.newest = loadable("a");
});
afterEach(() => stage[Symbol.asyncDispose]());

describe("a Kong that is not there", () => {
  it("is waited for, however long, and said to be away once", async () => {
    await stage.stopKong();
    await stage.start();
    const { since } = stage.keeper.state;
    await stage.poll(100);
    assert.deepEqual(stage.keeper.state, { kind: "unreachable", since });
    assert.deepEqual(stage.messages, ["Kong does not answer, waiting for it"]);
    assert.match(inspect(stage.log.lines[0]?.fields), /ECONNREFUSED/);
    await stage.startKong();
    await stage.poll(GRACE_POLLS);
    assert.equal(stage.posts, 0, "the grace time begins with the first answer");
    await stage.poll();
    assert.equal(stage.kong.configurationHash, hashOf("a"));
  });

  it("for a moment begins a new grace time", async () => {
    await stage.start();
    await stage.poll(GRACE_POLLS - 1);
    stage.kong.answerNext("/status", ANSWERS.exiting);
    await stage.poll(GRACE_POLLS);
    assert.equal(stage.posts, 0);
    await stage.poll(2);
    assert.equal(stage.posts, 1);
  });
});

describe("a Kong that cannot be kept", () => {
  it("because it has a database ends the run", async () => {
    stage.kong.configurationHash = undefined;
    stage.kong.database = "postgres";
    await stage.start();
    const error = await stage.ended();
    assert.ok(error instanceof AdminError);
    assert.equal(error.exitStatus, 4);
    assert.equal(
      error.message,
      `Kong at ${stage.kong.url} is not DB-less, its database is postgres`,
    );
    assert.match(error.hint ?? "", /database=off/);
    assert.deepEqual(stage.kong.requests, ["GET /status", "GET /"]);
  });

  it.each([
    ["notFound", "ADMIN_NOT_FOUND", /8001/],
    ["unauthorized", "ADMIN_DENIED", /Kong-Admin-Token/],
    ["plainHttp", "ADMIN_TLS", /https/],
  ] as const)("because its first answer is %s ends the run", async (answer, code, hint) => {
    stage.kong.answerNext("/status", ANSWERS[answer]);
    await stage.start();
    const error = await stage.ended();
    assert.ok(error instanceof AdminError);
    assert.equal(error.code, code);
    assert.match(error.hint ?? "", hint);
  });

  it("because a later answer refuses is asked again, and the operator is told once", async () => {
    await stage.start();
    stage.kong.token = "from now on";
    await stage.poll(5);
    const errors = stage.log.find("error");
    assert.equal(errors.length, 1);
    assert.match(inspect(errors[0]?.fields), /ADMIN_DENIED/);
    stage.kong.token = undefined;
    await stage.poll(GRACE_POLLS + 1);
    assert.equal(stage.keeper.state.kind, "ours");
  });

  it("because it tells no hash is left alone", async () => {
    stage.kong.configurationHash = undefined;
    await stage.start();
    await stage.poll(GRACE_POLLS * 2);
    assert.equal(stage.posts, 0);
    assert.equal(stage.keeper.state.kind, "waiting");
    assert.deepEqual(stage.messages, ["Kong does not say which config it has, leaving it alone"]);
    stage.kong.configurationHash = EMPTY_HASH;
    await stage.poll(GRACE_POLLS + 1);
    assert.equal(stage.keeper.state.kind, "ours");
  });
});

describe("an abort", () => {
  it.each(["GET /status", "POST /config"])("ends the run during %s", async (request) => {
    await stage.start();
    const [, path = ""] = request.split(" ");
    await stage.poll(request.startsWith("POST") ? GRACE_POLLS - 1 : 0);
    stage.kong.answerNext(path, "hang");
    const arrived = stage.kong.untilRequest(request);
    await stage.clock.advance(2_000);
    await arrived;
    const reason = new Error("stop");
    stage.abort(reason);
    assert.equal(await stage.ended(), reason);
  });

  it("ends the run between two looks, and is no error", async () => {
    await stage.start();
    const reason = new Error("stop");
    stage.abort(reason);
    assert.equal(await stage.ended(), reason);
    assert.equal(stage.log.find("error").length, 0);
  });
});
