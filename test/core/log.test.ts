import assert from "node:assert/strict";
import { it } from "vitest";
import { withFields } from "../../src/core/log.ts";
import { RecordingLog } from "../fakes/recording-log.ts";

it("a log with fields has them in every line of every level, and each line's own win", () => {
  const log = new RecordingLog();
  const child = withFields(log, { nodeId: "a", port: 1 });
  for (const level of ["debug", "info", "warn", "error"] as const)
    child[level]({ port: 2 }, "said");
  assert.deepEqual(
    log.lines,
    ["debug", "info", "warn", "error"].map((level) => ({
      level,
      message: "said",
      fields: { nodeId: "a", port: 2 },
    })),
  );
});
