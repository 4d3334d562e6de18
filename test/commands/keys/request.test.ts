import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { parseCommandLine } from "../../../src/commands/command-line.ts";
import { parseKeysRequest } from "../../../src/commands/keys/request.ts";
import { UsageError } from "../../../src/commands/usage-error.ts";

describe("the command line of keys", () => {
  it("names one kind of pair or both, and where they go", () => {
    const made = { kind: "generate", out: "keys" };
    const request = parseKeysRequest(["generate"], { signing: true, out: "keys" });
    assert.deepEqual(request, { ...made, signing: true, age: false });
    const both = parseKeysRequest(["generate"], { signing: true, age: true, out: "keys" });
    assert.deepEqual(both, { ...made, signing: true, age: true });
  });

  it.each([
    [["keys"], /needs an action/],
    [["keys", "rotate"], /no action rotate/],
    [["keys", "generate", "--out", "x"], /needs --signing, --age, or both/],
    [["keys", "generate", "--age"], /needs --out/],
    [["keys", "generate", "--age", "--out", ""], /needs --out/],
    [["keys", "generate", "more", "--age", "--out", "x"], /cannot be run with more/],
    [["keys", "generate", "--age", "--out", "x", "--all"], /--all is a flag of snapshots/],
    [["export", "--age"], /--age is a flag of keys only/],
    [["snapshots", "list", "--out", "x"], /--out is a flag of keys only/],
  ])("%j is refused", (argv, expected) => {
    assert.throws(
      () => parseCommandLine(argv, {}),
      (error) => error instanceof UsageError && expected.test(error.message),
    );
  });
});
