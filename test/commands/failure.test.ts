import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { describe, it } from "vitest";
import { exitStatusOf, printError } from "../../src/commands/failure.ts";
import { SettingsError } from "../../src/runtime/settings.ts";
import { Interrupted } from "../../src/runtime/shutdown.ts";
import { SnapshotError } from "../../src/snapshots/errors.ts";
import { StoreError } from "../../src/store/port.ts";

function printed(error: unknown): string {
  const stream = new PassThrough();
  printError(error, stream);
  return String(stream.read());
}

describe("an error at the terminal", () => {
  it("gives message, code, cause and what to try, without a stack", () => {
    const error = new StoreError("STORE_DENIED", "could not read s3://b/k: access is denied", {
      cause: new Error("AccessDenied"),
      hint: "Grant s3:GetObject.",
    });
    assert.equal(
      printed(error),
      "kong-fallback: could not read s3://b/k: access is denied [STORE_DENIED]\n  Cause: AccessDenied\n  Try:   Grant s3:GetObject.\n",
    );
  });

  it("does not say a cause twice", () => {
    const error = new StoreError("STORE_FULL", "could not write: no space left", {
      cause: new Error("no space left"),
    });
    assert.equal(printed(error), "kong-fallback: could not write: no space left [STORE_FULL]\n");
  });

  it("has the code on its first line, however many faults follow", () => {
    const error = new SettingsError(["A: is not set", "B: is not set"], "Set them.");
    assert.equal(
      printed(error),
      "kong-fallback: 2 settings cannot be used: [SETTINGS_INVALID]\n  - A: is not set\n  - B: is not set\n  Try:   Set them.\n",
    );
  });

  it("gives the stack of a bug, and asks for a report", () => {
    const text = printed(new RangeError("oops"));
    assert.match(text, /unexpected error, please report it\nRangeError: oops\n {4}at /);
    assert.match(printed("thrown text"), /thrown text/);
  });

  it("comes before what then failed at cleaning up, and decides the status", async () => {
    const closing = (message: string) => ({
      [Symbol.asyncDispose]: async () => {
        throw new StoreError("STORE_UNAVAILABLE", message, { hint: "Try again." });
      },
    });
    const fail = async () => {
      await using _first = closing("could not release the lease");
      await using _second = closing("could not close the store");
      throw new SnapshotError("SNAPSHOT_MISSING", "no snapshot for Kong 3.9.1");
    };
    const error = await fail().catch((reason: unknown) => reason);
    assert.deepEqual(printed(error).split("\n"), [
      "kong-fallback: no snapshot for Kong 3.9.1 [SNAPSHOT_MISSING]",
      "kong-fallback: could not close the store [STORE_UNAVAILABLE]",
      "  Try:   Try again.",
      "kong-fallback: could not release the lease [STORE_UNAVAILABLE]",
      "  Try:   Try again.",
      "",
    ]);
    assert.equal(exitStatusOf(error), 3);
  });

  it("ends with the status that the table in README promises", () => {
    assert.equal(exitStatusOf(new SnapshotError("SNAPSHOT_MISSING", "none")), 3);
    assert.equal(exitStatusOf(new StoreError("STORE_UNAVAILABLE", "down")), 4);
    assert.equal(exitStatusOf(new Interrupted("SIGINT")), 130);
    assert.equal(exitStatusOf(new Interrupted("SIGTERM")), 143);
    assert.equal(exitStatusOf(new TypeError("a bug")), 1);
    assert.equal(printed(new Interrupted("SIGTERM")), "kong-fallback: stopped by SIGTERM\n");
  });
});
