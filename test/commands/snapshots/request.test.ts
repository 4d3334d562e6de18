import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { parseCommandLine } from "../../../src/commands/command-line.ts";
import { parseSnapshotsRequest, SNAPSHOTS_FLAGS } from "../../../src/commands/snapshots/request.ts";
import { UsageError } from "../../../src/commands/usage-error.ts";
import { readSettings } from "../../../src/runtime/settings.ts";

function refused(run: () => unknown, message: RegExp, hint = /./): void {
  assert.throws(run, (error) => {
    assert.ok(error instanceof UsageError, String(error));
    assert.match(error.message, message);
    assert.match(error.hint ?? "", hint);
    return true;
  });
}

describe("the command line of snapshots", () => {
  it.each([
    [["list"], {}, { kind: "list", all: false, allVersions: false }],
    [["list"], { all: true, "all-versions": true }, { kind: "list", all: true, allVersions: true }],
    [["show"], {}, { kind: "show", which: "current", config: false }],
    [["show", "x"], { config: true }, { kind: "show", which: "x", config: true }],
    [["diff", "a", "b"], {}, { kind: "diff", from: "a", to: "b" }],
    [["verify"], { "all-versions": true }, { kind: "verify", allVersions: true, deep: false }],
    [["verify"], { deep: true }, { kind: "verify", allVersions: false, deep: true }],
    [["restore", "x"], {}, { kind: "restore", id: "x", takeOver: false, yes: false }],
    [
      ["restore", "x"],
      { "take-over": true, yes: true },
      { kind: "restore", id: "x", takeOver: true, yes: true },
    ],
    [["prune"], { "dry-run": true }, { kind: "prune", dryRun: true }],
  ])("reads %j with %j", (operands, flags, expected) => {
    assert.deepEqual(parseSnapshotsRequest(operands, flags), expected);
  });

  it("refuses what an action cannot be run with, and says how it is run", () => {
    refused(() => parseSnapshotsRequest([], {}), /needs an action: list, show, diff/);
    refused(() => parseSnapshotsRequest(["undo"], {}), /no action undo/);
    refused(() => parseSnapshotsRequest(["list", "x"], {}), /list cannot be run with x/);
    refused(() => parseSnapshotsRequest(["diff", "a"], {}), /diff cannot/, /diff A B/);
    refused(() => parseSnapshotsRequest(["restore"], {}), /with nothing more/, /restore ID/);
    refused(() => parseSnapshotsRequest(["show", "a", "b"], {}), /show cannot be run with a b/);
  });

  it("never ignores a flag: a dry run of restore would restore", () => {
    const flags = { "dry-run": true };
    refused(() => parseSnapshotsRequest(["restore", "x"], flags), /restore has no flag --dry-run/);
    for (const flag of Object.keys(SNAPSHOTS_FLAGS)) {
      refused(() => parseCommandLine(["export", `--${flag}`], {}), /a flag of snapshots only/);
    }
  });

  it("is loaded by its name, and status by its", async () => {
    for (const argv of [["snapshots", "list"], ["status"]]) {
      const line = parseCommandLine(
        [...argv, "--kong-version", "3.9.1", "--storage", "file:///x"],
        {},
      );
      assert.ok(line.kind === "run");
      assert.deepEqual(line.environment, {
        KONG_VERSION: "3.9.1",
        KONG_CLUSTER_FALLBACK_CONFIG_STORAGE: "file:///x",
      });
      assert.equal(typeof (await line.load(readSettings(line.environment))), "function");
    }
  });

  it("is in the help, with every action and flag", () => {
    const help = parseCommandLine(["--help"], {});
    assert.ok(help.kind === "print");
    const words = ["list", "show", "diff", "verify", "restore", "prune", "status"];
    const flags = [...Object.keys(SNAPSHOTS_FLAGS), "kong-version", "storage", "json"];
    for (const word of [...words, ...flags.map((flag) => `--${flag}`)]) {
      assert.ok(help.text.includes(word), word);
    }
    assert.ok(help.text.split("\n").every((line) => line.length <= 100));
  });
});
