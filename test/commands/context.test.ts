/** Files that a command reads before its work. */

import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { readInTime } from "../../src/commands/context.ts";
import { SettingsError } from "../../src/runtime/settings.ts";
import { ManualClock } from "../fakes/manual-clock.ts";

const hang = () => new Promise<never>(() => {});

describe("reading a file that a setting names", () => {
  it("is given up where the file system hangs, with what it was", async () => {
    const clock = new ManualClock();
    const { signal } = new AbortController();
    const read = assert.rejects(readInTime("the keys", { clock }, signal, hang), (error) => {
      assert.ok(error instanceof SettingsError);
      assert.equal(error.message, "the keys: could not be read within 10 s");
      return true;
    });
    await clock.advance(10_000);
    await read;
  });

  it("ends with the reason of an abort", async () => {
    const clock = new ManualClock();
    const controller = new AbortController();
    const read = readInTime("the keys", { clock }, controller.signal, hang);
    const reason = new Error("stop");
    controller.abort(reason);
    await assert.rejects(read, (error) => error === reason);
    assert.equal(clock.sleepers, 0);
  });
});
