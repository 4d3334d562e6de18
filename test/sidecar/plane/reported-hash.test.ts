import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { ReportedHash } from "../../../src/sidecar/plane/channel.ts";
import { HASH, NO_HASH } from "../../source/harness.ts";

describe("the hash a data plane reports", () => {
  for (const [what, payload, value, isConfigured] of [
    ["a hash", HASH, HASH, true],
    ["32 zeros", NO_HASH, NO_HASH, false],
    ["nothing, as up to 3.5 may be", "", NO_HASH, false],
    ["31 characters", HASH.slice(1), undefined, false],
    ["capitals", HASH.toUpperCase(), undefined, false],
  ] as const) {
    it(`is ${value === undefined ? "unknown" : isConfigured ? "that of a config" : "that of none"} by ${what}`, () => {
      const hash = new ReportedHash();
      hash.report(Buffer.from(HASH));
      hash.report(Buffer.from(payload));
      assert.deepEqual([hash.value, hash.isConfigured], [value, isConfigured]);
    });
  }

  it("is unknown before the first ping", () => {
    const hash = new ReportedHash();
    assert.deepEqual([hash.value, hash.isConfigured], [undefined, false]);
  });

  it("can be waited for: as it is, or until it comes", async () => {
    const hash = new ReportedHash();
    const { signal } = new AbortController();
    let isOver = false;
    const waiting = hash
      .until((value) => value === HASH, signal)
      .then(() => {
        isOver = true;
      });
    hash.report(Buffer.from(NO_HASH));
    await hash.until(() => true, signal);
    assert.equal(isOver, false);
    hash.report(Buffer.from(HASH));
    await waiting;
    await hash.until((value) => value === HASH, signal);
  });

  it("is waited for until the signal aborts", async () => {
    const stop = new AbortController();
    const waiting = new ReportedHash().until(() => true, stop.signal);
    const reason = new Error("gone");
    stop.abort(reason);
    await assert.rejects(waiting, (error) => error === reason);
    await assert.rejects(
      new ReportedHash().until(() => true, stop.signal),
      reason,
    );
  });
});
