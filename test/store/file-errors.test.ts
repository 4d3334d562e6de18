/** What the operating system's errors are called, and that each says what to do. */

import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { fileError } from "../../src/store/file/errors.ts";
import { StoreError } from "../../src/store/port.ts";

describe("fileError", () => {
  for (const [errno, code, pattern] of [
    ["ENOSPC", "STORE_FULL", /no space is left/],
    ["EDQUOT", "STORE_FULL", /the disk quota is used up/],
    ["EPERM", "STORE_DENIED", /not permitted/],
    ["EBUSY", "STORE_MISCONFIGURED", /mount point/],
    ["ELOOP", "STORE_MISCONFIGURED", /symbolic links/],
    ["ENOENT", "STORE_UNAVAILABLE", /vanished meanwhile/],
    ["EIO", "STORE_UNAVAILABLE", /the file system failed \(EIO at fsync of \/d\/a\)/],
    ["ESTALE", "STORE_UNAVAILABLE", /the file system failed/],
  ] as const) {
    it(`calls ${errno} ${code}, and says what was tried and what to do`, () => {
      const cause = Object.assign(new Error(errno), {
        code: errno,
        syscall: "fsync",
        path: "/d/a",
      });
      const error = fileError('put "a" in /d', cause);
      assert.ok(error instanceof StoreError);
      assert.equal(error.code, code);
      assert.match(error.message, /^could not put "a" in \/d: /);
      assert.match(error.message, pattern);
      assert.equal(error.cause, cause);
      assert.ok(error.hint);
    });
  }

  it("gives back what is no error of the file system", () => {
    for (const other of [
      new Error("a bug"),
      new StoreError("STORE_CLOSED", "closed"),
      "a reason",
    ]) {
      assert.equal(fileError("get", other), other);
    }
  });
});
