/** The body of an S3 answer is counted, capped, and given up where it is not what was announced. */

import assert from "node:assert/strict";
import { Readable } from "node:stream";
import type { GetObjectCommandOutput } from "@aws-sdk/client-s3";
import { describe, it } from "vitest";
import { systemClock } from "../../src/runtime/clock.ts";
import { readBody } from "../../src/store/s3/body.ts";
import { refused } from "./s3-support.ts";

const ATTEMPT = {
  action: "read",
  target: "s3://bucket/a",
  bucket: "bucket",
  place: "AWS, region eu-west-1",
  when: undefined,
  clock: systemClock,
} as const;

/** An answer of `chunks` letters, and its stream. */
function answer(chunks: readonly number[], announced: number | undefined) {
  const stream = Readable.from(chunks.map((length) => Buffer.alloc(length, "x")));
  const output = { Body: stream, ContentLength: announced, $metadata: {} };
  return { stream, output: output as unknown as GetObjectCommandOutput };
}

describe("readBody", () => {
  it("gives all bytes, and says how many came of how many", async () => {
    const { output } = answer([3, 4], 7);
    const progress: unknown[] = [];
    const onProgress = (...args: unknown[]) => progress.push(args);
    const body = await readBody(output, { maxBytes: 7, onProgress }, ATTEMPT);
    assert.equal(Buffer.from(body).toString(), "xxxxxxx");
    assert.deepEqual(progress, [
      [3, 7],
      [7, 7],
    ]);
  });

  it("does without an announced length", async () => {
    const { output } = answer([3, 4], undefined);
    assert.equal((await readBody(output, { maxBytes: 7 }, ATTEMPT)).byteLength, 7);
  });

  it("refuses what is announced to be too long without reading it", async () => {
    const { stream, output } = answer([8], 8);
    await refused(readBody(output, { maxBytes: 7 }, ATTEMPT), {
      code: "STORE_TOO_LARGE",
      message:
        /^could not read s3:\/\/bucket\/a at AWS, .* is 8 bytes long, more than the 7 allowed$/,
      hint: /Raise the cap only if/,
    });
    assert.ok(stream.destroyed);
    assert.equal(stream.readableDidRead, false);
  });

  it("refuses what turns out to be too long at the first byte too many", async () => {
    const { stream, output } = answer([5, 5, 5], undefined);
    await refused(readBody(output, { maxBytes: 7 }, ATTEMPT), {
      code: "STORE_TOO_LARGE",
      message: /at least 10 bytes long/,
    });
    assert.ok(stream.destroyed);
  });

  it("refuses fewer bytes than announced", async () => {
    const { output } = answer([3], 7);
    await refused(readBody(output, { maxBytes: 7 }, ATTEMPT), {
      code: "STORE_UNAVAILABLE",
      message: /ended after 3 of 7 bytes/,
    });
  });
});
