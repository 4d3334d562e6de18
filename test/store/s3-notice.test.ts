/** The AWS SDK's notice about Node versions is kept from the user, and nothing else is. In a file of its own: the SDK gives it once per process. */

import assert from "node:assert/strict";
import { afterEach, it, vi } from "vitest";
import { systemClock } from "../../src/runtime/clock.ts";
import { openS3Store } from "../../src/store/s3.ts";

afterEach(() => {
  vi.restoreAllMocks();
});

it("keeps back the SDK's notice about Node versions, and no other warning", async () => {
  const warnings: unknown[] = [];
  const emitWarning = vi.spyOn(process, "emitWarning").mockImplementation((warning) => {
    warnings.push(warning);
  });
  // On a newer Node the SDK has nothing to say, and this test would show nothing.
  vi.spyOn(process, "version", "get").mockReturnValue("v20.18.0");
  await using _ = await openS3Store({
    url: "s3://bucket",
    bucket: "bucket",
    prefix: "",
    endpoint: "http://127.0.0.1:9",
    timeoutMs: 1_000,
    clock: systemClock,
    /** Read while the client is built, which is when the notice comes. */
    get credentials() {
      process.emitWarning("something else");
      return { accessKeyId: "key", secretAccessKey: "secret" };
    },
  });
  assert.deepEqual([...new Set(warnings)], ["something else"]);
  assert.equal(process.emitWarning, emitWarning, "the function is put back");
});
