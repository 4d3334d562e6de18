/** Without election: one exporter that always holds, under a token that does not grow. */

import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { NoElection } from "../../src/election/none.ts";
import { ElectionError, type Leadership } from "../../src/election/port.ts";
import { StoreError } from "../../src/store/port.ts";
import { ManualClock } from "../fakes/manual-clock.ts";
import { RecordingLog } from "../fakes/recording-log.ts";

function noElection(floor: (signal: AbortSignal) => Promise<number>, random = () => 0) {
  const clock = new ManualClock();
  const log = new RecordingLog();
  const election = new NoElection({ name: "memory://test", floor, clock, random, log });
  return { election, clock, log };
}

/** What it tells until it ends, and how it ends. */
async function follow(election: NoElection, signal: AbortSignal, told: Leadership[]) {
  try {
    for await (const leadership of election.campaign(signal)) told.push(leadership);
  } catch (error) {
    return error;
  }
  return undefined;
}

describe("no election", () => {
  it("holds under the highest token known, until it is told to stop", async () => {
    const { election, clock } = noElection(async () => 7);
    const controller = new AbortController();
    const told: Leadership[] = [];
    const ended = follow(election, controller.signal, told);
    await clock.advance(3_600_000);
    assert.deepEqual(told, [{ kind: "holder", token: 7 }]);
    const reason = new Error("SIGTERM");
    controller.abort(reason);
    assert.equal(await ended, reason);
  });

  it("asks again while the token cannot be learnt, and says so once", async () => {
    let asked = 0;
    const { election, clock, log } = noElection(async () => {
      asked += 1;
      if (asked < 4) throw new StoreError("STORE_UNAVAILABLE", "down");
      return 0;
    });
    const controller = new AbortController();
    const told: Leadership[] = [];
    const ended = follow(election, controller.signal, told);
    await clock.advance(3_000);
    assert.deepEqual(told, [{ kind: "holder", token: 0 }]);
    assert.equal(log.find("warn").length, 1);
    controller.abort();
    await ended;
  });

  it("asks again after what only an operator can mend, and says that one must act", async () => {
    let isDenied = true;
    const { election, clock, log } = noElection(async () => {
      if (isDenied) throw new StoreError("STORE_DENIED", "no permission");
      return 3;
    });
    const controller = new AbortController();
    const told: Leadership[] = [];
    const ended = follow(election, controller.signal, told);
    await clock.advance(5_000);
    assert.deepEqual(told, []);
    assert.equal(log.find("election fails, an operator must act").length, 1);
    isDenied = false;
    await clock.advance(10_000);
    assert.deepEqual(told, [{ kind: "holder", token: 3 }]);
    controller.abort();
    await ended;
  });

  it("does not ask again at the same moment as all others, even the first time", async () => {
    const askedAtMs: number[] = [];
    const { election, clock } = noElection(
      async () => {
        askedAtMs.push(clock.monotonicMs());
        if (askedAtMs.length < 3) throw new StoreError("STORE_UNAVAILABLE", "down");
        return 0;
      },
      () => 0.5,
    );
    const controller = new AbortController();
    const ended = follow(election, controller.signal, []);
    await clock.advance(10_000);
    assert.deepEqual(askedAtMs, [0, 1_500, 4_000]);
    controller.abort();
    await ended;
  });

  it("rejects with the reason of an abort while it asks", async () => {
    const { election } = noElection(
      (signal) =>
        new Promise((_, reject) => {
          signal.addEventListener("abort", () => reject(signal.reason));
        }),
    );
    const reason = new Error("SIGTERM");
    const controller = new AbortController();
    const ended = follow(election, controller.signal, []);
    controller.abort(reason);
    assert.equal(await ended, reason);
  });

  it("ends with ELECTION_CLOSED when it is disposed of, twice if need be", async () => {
    const { election } = noElection(async () => 1);
    const told: Leadership[] = [];
    const ended = follow(election, new AbortController().signal, told);
    await election[Symbol.asyncDispose]();
    await election[Symbol.asyncDispose]();
    const error = await ended;
    assert.ok(error instanceof ElectionError);
    assert.equal(error.code, "ELECTION_CLOSED");
    assert.equal(await follow(election, new AbortController().signal, told), error);
    assert.equal(told.length, 1);
  });
});
