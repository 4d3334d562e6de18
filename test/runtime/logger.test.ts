import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { describe, it } from "vitest";
import { createLogger } from "../../src/runtime/logger.ts";
import { SETTINGS, type Setting } from "../../src/runtime/settings/table.ts";
import { StoreError } from "../../src/store/port.ts";

function written(isTTY: boolean, write: (log: ReturnType<typeof createLogger>) => void): string {
  const stream = Object.assign(new PassThrough(), { isTTY });
  write(createLogger({ level: "info", stream }));
  return String(stream.read() ?? "");
}

const ERROR = new StoreError("STORE_DENIED", "could not write s3://b/k", {
  hint: "Grant s3:PutObject.",
  cause: new Error("AccessDenied"),
});

describe("the logger", () => {
  it("writes JSON lines with the error's code, message, hint and cause, and no stack", () => {
    const line = written(false, (log) => log.error({ err: ERROR, attempt: 2 }, "not saved"));
    const { time, ...rest } = JSON.parse(line);
    assert.match(time, /^\d{4}-\d\d-\d\dT/);
    assert.deepEqual(rest, {
      level: "error",
      attempt: 2,
      msg: "not saved",
      err: {
        code: "STORE_DENIED",
        message: "could not write s3://b/k",
        hint: "Grant s3:PutObject.",
        cause: "AccessDenied",
      },
    });
  });

  it("writes the stack of a bug", () => {
    const line = written(false, (log) => log.error({ err: new RangeError("oops") }, "failed"));
    assert.match(JSON.parse(line).err.stack, /RangeError: oops\n {4}at /);
  });

  it("writes short lines for a person on a terminal, the hint on a line of its own", () => {
    const text = written(true, (log) => {
      log.child({ component: "export" }).info({ bytes: 7, key: "a/b" }, "snapshot saved");
      log.error({ err: ERROR }, "not saved");
    });
    const [info, error, hint] = text.split("\n");
    assert.match(
      info ?? "",
      /^\d\d:\d\d:\d\d info {2}export: snapshot saved {2}bytes=7 {2}key=a\/b$/,
    );
    assert.match(error ?? "", /error not saved {2}code=STORE_DENIED {2}why=could not write/);
    assert.equal(hint?.trim(), "Grant s3:PutObject.");
  });

  it("writes no value under a name that says it is secret, nor under that of a secret setting", () => {
    const settings = Object.entries<Setting>(SETTINGS).filter(([, { secret }]) => secret);
    assert.ok(settings.length > 5);
    const said = ["authorization", "credentials", "password", "secret", "token"];
    for (const name of [...said, ...settings.map(([name]) => name)]) {
      const fields = { [name]: "canary", request: { [name]: "canary" }, key: "a/b" };
      const text = written(false, (log) => log.info(fields, "mistake"));
      assert.ok(!text.includes("canary"), text);
      assert.ok(text.includes("a/b"), "the name of an object is no secret");
    }
  });

  it("leaves out what is below its level", () => {
    assert.equal(
      written(false, (log) => log.debug({}, "detail")),
      "",
    );
  });

  it("writes nothing that a terminal obeys, on a terminal or not", () => {
    const evil = "a\u001b[2J\u009b1m\u202e\u2028b";
    for (const isTTY of [true, false]) {
      const line = written(isTTY, (log) => log.info({ name: evil }, "said"));
      for (const sign of "\u001b\u009b\u202e\u2028") assert.ok(!line.includes(sign), line);
      if (!isTTY) assert.equal(JSON.parse(line).name, evil);
    }
  });
});
