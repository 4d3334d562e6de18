/** The target `-`: exact bytes, at the reader's pace. */

import assert from "node:assert/strict";
import { PassThrough, Writable } from "node:stream";
import { describe, it } from "vitest";
import { TargetError } from "../../../src/importer/targets/port.ts";
import { StdoutTarget } from "../../../src/importer/targets/stdout.ts";
import { snapshotOf } from "../../fakes/config.ts";

const signal = new AbortController().signal;
const big = { ...snapshotOf("a"), config: Buffer.alloc(1024 * 1024, "0123456789") };

describe("standard output", () => {
  it("gets the bytes and nothing else, and stays open", async () => {
    const chunks: Buffer[] = [];
    const output = new PassThrough().on("data", (chunk) => chunks.push(chunk));
    assert.equal(await new StdoutTarget(output).apply(big, signal), "applied");
    assert.ok(Buffer.concat(chunks).equals(big.config));
    assert.equal(output.writableEnded, false);
    assert.equal(output.listenerCount("error"), 0);
  });

  it("gets no more than the reader takes", async () => {
    let taken = 0;
    let next: () => void = () => {};
    const output = new Writable({
      write(chunk: Buffer, _encoding, callback) {
        taken += chunk.length;
        next = callback;
      },
    });
    const controller = new AbortController();
    const applied = new StdoutTarget(output).apply(big, controller.signal);
    assert.equal(taken, 64 * 1024);
    next();
    await new Promise(setImmediate);
    assert.equal(taken, 128 * 1024);
    const reason = new Error("stop");
    controller.abort(reason);
    await assert.rejects(applied, (error) => error === reason);
  });

  it("that closed is a TargetError, not the end of the process", async () => {
    const output = new Writable({
      write: (_chunk, _encoding, callback) =>
        callback(Object.assign(new Error("write EPIPE"), { code: "EPIPE" })),
    });
    await assert.rejects(new StdoutTarget(output).apply(big, signal), (error) => {
      assert.ok(error instanceof TargetError);
      assert.equal(error.code, "TARGET_UNWRITABLE");
      assert.equal(error.message, "could not write to standard output: write EPIPE");
      return true;
    });
  });

  it("has nothing to take back", async () => {
    assert.equal(await new StdoutTarget(new PassThrough()).withdraw(), false);
  });
});
