/** One rehearsal Kong, and several writers that want something of it at the same time. */

import assert from "node:assert/strict";
import { setImmediate } from "node:timers/promises";
import { describe, it } from "vitest";
import { Arrival } from "../../src/exporter/arrival.ts";
import { Rehearsal } from "../../src/exporter/rehearsal.ts";
import { RehearsalError, type RehearsalResult } from "../../src/exporter/rehearser.ts";
import { configBytes, updateOf, V391 } from "../fakes/config.ts";
import { RecordingLog } from "../fakes/recording-log.ts";

const never = new AbortController().signal;
const PASSED = { kind: "passed" } as const;
const AWAY = new RehearsalError("REHEARSAL_UNAVAILABLE", "Kong is away");

function candidate(name: string) {
  const log = new RecordingLog();
  const receipt = { order: 1, at: new Date(0), monotonicMs: 0 };
  const options = { kongVersion: V391, exporterId: "e", hashCheckMaxBytes: 0, log };
  const arrival = new Arrival(updateOf(name), receipt, options);
  return { arrival, isRehearsed: false, currentCounts: async () => undefined };
}

function scene() {
  const begun: string[] = [];
  const pending: {
    resolve: (result: RehearsalResult) => void;
    reject: (error: unknown) => void;
    signal: AbortSignal;
  }[] = [];
  const rehearsal = new Rehearsal({
    mode: "required",
    log: new RecordingLog(),
    metrics: { rehearsed: () => {} },
    rehearser: {
      rehearse: (config, signal) =>
        new Promise((resolve, reject) => {
          begun.push(Buffer.from(config).toString());
          pending.push({ resolve, reject, signal });
          signal.addEventListener("abort", () => reject(signal.reason));
        }),
    },
  });
  const begins = async (count: number) => {
    while (begun.length < count) await setImmediate();
  };
  return { rehearsal, begun, pending, begins };
}

const textOf = (name: string) => configBytes(name).toString();

describe("the rehearsal of several writers", () => {
  it("never has two configs at a time", async () => {
    const { rehearsal, begun, pending, begins } = scene();
    const first = rehearsal.examine(candidate("a"), never);
    const second = rehearsal.examine(candidate("b"), never);
    await begins(1);
    for (let turns = 0; turns < 10; turns += 1) await setImmediate();
    assert.deepEqual(begun, [textOf("a")]);
    pending[0]?.resolve(PASSED);
    await begins(2);
    pending[1]?.resolve({ kind: "refused", reasons: ["no"] });
    assert.deepEqual(await first, { kind: "pass", rehearsed: true });
    assert.deepEqual(await second, { kind: "held", reasons: ["no"] });
    assert.deepEqual(begun, [textOf("a"), textOf("b")]);
  });

  it("tells all who wait that it failed, and begins anew when it is asked again", async () => {
    const { rehearsal, begun, pending, begins } = scene();
    const writers = [1, 2].map(() => rehearsal.examine(candidate("a"), never));
    await begins(1);
    pending[0]?.reject(AWAY);
    const outcomes = await Promise.allSettled(writers);
    assert.deepEqual(
      outcomes.map((outcome) => outcome.status === "rejected" && outcome.reason),
      [AWAY, AWAY],
    );
    assert.equal(begun.length, 1);
    const again = rehearsal.examine(candidate("a"), never);
    await begins(2);
    pending[1]?.resolve(PASSED);
    assert.deepEqual(await again, { kind: "pass", rehearsed: true });
  });

  it("goes on for one when another one gives up, and ends with the last", async () => {
    const { rehearsal, pending, begins } = scene();
    const [one, other] = [new AbortController(), new AbortController()];
    const writers = [one, other].map(({ signal }) => rehearsal.examine(candidate("a"), signal));
    for (const writer of writers) writer.catch(() => {});
    await begins(1);
    one.abort();
    await assert.rejects(writers[0] ?? assert.fail(), one.signal.reason);
    assert.equal(pending[0]?.signal.aborted, false);
    let next: Promise<unknown> | undefined;
    // As early as anybody could come who must not join what is given up.
    pending[0]?.signal.addEventListener("abort", () => {
      next = rehearsal.examine(candidate("a"), never);
      next.catch(() => {});
    });
    other.abort();
    await assert.rejects(writers[1] ?? assert.fail(), other.signal.reason);
    assert.ok(next);
    await begins(2);
    pending[1]?.resolve(PASSED);
    assert.deepEqual(await next, { kind: "pass", rehearsed: true });
  });
});
