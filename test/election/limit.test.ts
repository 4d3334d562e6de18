/** The time limit on calls to the lease's server holds whatever the call does. */

import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { withLimit } from "../../src/election/limit.ts";
import { ElectionError } from "../../src/election/port.ts";
import { ManualClock } from "../fakes/manual-clock.ts";

const LIMIT_MS = 5_000;
const ASK = { what: "ask", server: "the store", limitMs: LIMIT_MS };
const READ = { what: "read the lease", server: "the API server", limitMs: LIMIT_MS };
const never = new AbortController().signal;

/** A call that takes no notice of its signal. */
const deaf = () => new Promise<never>(() => {});

describe("a call under a time limit", () => {
  it("gives what it gives, and leaves no timer behind", async () => {
    const clock = new ManualClock();
    assert.equal(await withLimit(ASK, clock, async () => 7, never), 7);
    assert.equal(clock.sleepers, 0);
  });

  it("rejects as it rejects", async () => {
    const error = new Error("no");
    const call = async () => {
      throw error;
    };
    const failing = withLimit(ASK, new ManualClock(), call, never);
    await assert.rejects(failing, (reason) => reason === error);
  });

  it("is ELECTION_UNAVAILABLE when the time is up, even if it takes no notice, and its signal says so", async () => {
    const clock = new ManualClock();
    let given: AbortSignal | undefined;
    const call = (signal: AbortSignal) => {
      given = signal;
      return deaf();
    };
    const failure = withLimit(READ, clock, call, never).catch((error: unknown) => error);
    await clock.advance(LIMIT_MS - 1);
    assert.equal(given?.aborted, false);
    await clock.advance(1);
    const error = await failure;
    assert.ok(error instanceof ElectionError);
    assert.equal(error.code, "ELECTION_UNAVAILABLE");
    assert.equal(error.message, "could not read the lease: no answer within 5 s");
    assert.match(error.hint ?? "", /^Look at the API server and the network; /);
    assert.equal(given?.reason, error);
  });

  it("rejects with the reason of an abort, even if it takes no notice", async () => {
    const clock = new ManualClock();
    const controller = new AbortController();
    const failing = withLimit(ASK, clock, deaf, controller.signal);
    const reason = new Error("SIGTERM");
    controller.abort(reason);
    await assert.rejects(failing, (error) => error === reason);
    assert.equal(clock.sleepers, 0);
  });

  it("is not made at all after an abort", async () => {
    const reason = new Error("SIGTERM");
    const call = async () => assert.fail("called");
    const clock = new ManualClock();
    const failing = withLimit(ASK, clock, call, AbortSignal.abort(reason));
    await assert.rejects(failing, (error) => error === reason);
  });
});
