/** What `--to` may say. */

import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { describe, it } from "vitest";
import { AdminTarget } from "../../../src/importer/targets/admin.ts";
import { FileTarget } from "../../../src/importer/targets/file.ts";
import { openTarget, parseTarget, TargetUrlError } from "../../../src/importer/targets/open.ts";
import { StdoutTarget } from "../../../src/importer/targets/stdout.ts";
import { ManualClock } from "../../fakes/manual-clock.ts";
import { RecordingLog } from "../../fakes/recording-log.ts";

describe("the text of a target", () => {
  it("names standard output, a file or an Admin API", () => {
    assert.deepEqual(parseTarget("-"), { kind: "stdout" });
    for (const text of ["file:/a/kong.json", "file:///a/kong.json", "FILE:/a/kong.json"]) {
      assert.deepEqual(parseTarget(text), { kind: "file", path: "/a/kong.json" });
    }
    assert.deepEqual(parseTarget("file:/a%20b/%C3%A9.json"), { kind: "file", path: "/a b/é.json" });
    for (const text of ["http://127.0.0.1:8001", "https://kong:8444/admin"]) {
      assert.deepEqual(parseTarget(text), { kind: "admin", url: new URL(text) });
    }
  });

  it.each([
    ["", "it is no URL"],
    ["kong.json", "it is no URL"],
    ["/a/kong.json", "a path needs file: before it"],
    ["file:kong.json", "the path behind file: must start with /"],
    ["file:./kong.json", "the path behind file: must start with /"],
    ["file:", "the path behind file: must start with /"],
    ["file://a/kong.json", "file://a names another machine; a path needs three slashes"],
    ["file:/a/", "the path names a directory, not a file"],
    ["file:/a/b%2Fc", "the path holds a bad %-escape"],
    ["file:/a/b%zz", "the path holds a bad %-escape"],
    ["file:/a/b?c", "it has a query (?) or a fragment (#)"],
    ["http://kong:8001/#x", "it has a query (?) or a fragment (#)"],
    ["http://admin@kong:8001", "it has credentials in the URL; Kong takes a token, as a header"],
    ["http://", "it is no URL"],
    ["ftp://kong/x", "the scheme ftp: is unknown"],
    ["s3://bucket/x", "the scheme s3: is unknown"],
  ])("%j is refused", (text, fault) => {
    assert.throws(
      () => parseTarget(text),
      (error) => {
        assert.ok(error instanceof TargetUrlError);
        assert.equal(error.message, `the import target is invalid: ${fault}`);
        assert.equal(error.code, "TARGET_URL_INVALID");
        assert.equal(error.exitStatus, 2);
        assert.match(error.hint ?? "", /file:\/path.*http:\/\/127\.0\.0\.1:8001/);
        return true;
      },
    );
  });

  it("is never repeated in the error, since it may hold a password", () => {
    for (const text of [
      "http://admin:hunter2@kong:8001",
      "ftp://hunter2@x",
      "http://kong/?k=hunter2",
    ]) {
      assert.throws(
        () => parseTarget(text),
        (error) => error instanceof TargetUrlError && !error.message.includes("hunter2"),
      );
    }
  });
});

describe("opening a target", () => {
  const options = {
    fileMode: 0o640,
    stdout: new PassThrough(),
    adminToken: undefined,
    adminTls: undefined,
    timeoutMs: 1000,
    clock: new ManualClock(),
    random: () => 0,
    log: new RecordingLog(),
  };

  it("gives the driver that the text names", async () => {
    const cases = [
      ["-", StdoutTarget, "standard output"],
      ["file:/a/kong.json", FileTarget, "file:/a/kong.json"],
      ["http://127.0.0.1:8001/", AdminTarget, "http://127.0.0.1:8001"],
    ] as const;
    for (const [text, driver, name] of cases) {
      await using target = await openTarget(text, options);
      assert.ok(target instanceof driver);
      assert.equal(target.name, name);
    }
  });
});
