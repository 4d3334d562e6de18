import assert from "node:assert/strict";
import { once } from "node:events";
import { PassThrough } from "node:stream";
import { describe, it } from "vitest";
import { confirm } from "../../src/commands/confirm.ts";
import { UsageError } from "../../src/commands/usage-error.ts";

const NEVER = new AbortController().signal;

function terminal(isTTY = true) {
  const stdin = Object.assign(new PassThrough(), { isTTY });
  const stderr = Object.assign(new PassThrough(), { isTTY });
  return { stdin, stderr };
}

async function refused(answer: Promise<void>): Promise<string> {
  let message = "";
  await assert.rejects(answer, (error) => {
    assert.ok(error instanceof UsageError, String(error));
    message = error.message;
    return true;
  });
  return message;
}

describe("the last question", () => {
  it("takes yes, whatever follows, and asks on standard error", async () => {
    const streams = terminal();
    const asked = once(streams.stderr, "data");
    const answer = confirm("restore", streams, NEVER);
    assert.equal(String((await asked)[0]), "Type yes to restore: ");
    streams.stdin.write(" YES \nno\n");
    await answer;
  });

  it.each(["no\n", "y\n", "\n", ""])("takes %j for a no", async (typed) => {
    const streams = terminal();
    streams.stdin.end(typed);
    assert.match(await refused(confirm("restore", streams, NEVER)), /was not confirmed/);
  });

  it("is not asked where nobody could see or answer it", async () => {
    for (const [stdin, stderr] of [
      [true, false],
      [false, true],
    ]) {
      const streams = { stdin: terminal(stdin).stdin, stderr: terminal(stderr).stderr };
      assert.match(await refused(confirm("restore", streams, NEVER)), /no terminal/);
      assert.equal(streams.stderr.read(), null);
    }
  });

  it("ends with the reason of an interruption", async () => {
    const interrupted = new AbortController();
    const reason = new Error("interrupted");
    const answer = confirm("restore", terminal(), interrupted.signal);
    interrupted.abort(reason);
    await assert.rejects(answer, reason);
    await assert.rejects(confirm("restore", terminal(), interrupted.signal), reason);
  });
});
