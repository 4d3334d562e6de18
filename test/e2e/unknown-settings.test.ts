import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { Run } from "./cli.ts";

const COMMANDS = [
  ["export"],
  ["import"],
  ["serve"],
  ["status"],
  ["snapshots", "list"],
  ["keys", "generate", "--age", "--out", "/nowhere"],
  ["demo"],
];

describe("a misspelt setting", () => {
  it.each(COMMANDS)("ends %s before it does anything", async (...argv) => {
    await using run = new Run(argv, { KONG_FALLBACK_VERIFY_KEY: "" });
    assert.equal(await run.ended(), 2);
    assert.match(
      run.stderr[0] ?? "",
      /^kong-fallback: KONG_FALLBACK_VERIFY_KEY: .* did you mean KONG_FALLBACK_VERIFY_KEYS\? \[SETTINGS_INVALID\]$/,
    );
  });

  it("is warned of where it may be one of a newer Kong", async () => {
    await using run = new Run(["status"], { KONG_CLUSTER_FALLBACK_CONFIG_STORE: "file:///x" });
    assert.equal(await run.ended(), 2);
    const [warning] = run.log;
    assert.equal(warning?.["level"], "warn");
    assert.match(
      String(warning?.["fault"]),
      /did you mean KONG_CLUSTER_FALLBACK_CONFIG_STORAGE\?$/,
    );
  });
});
