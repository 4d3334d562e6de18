/** A process ends when it is told to, though its store hangs in a call that nothing can cut off. */

import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { snapshotOf } from "../fakes/config.ts";
import { hangingAt, makeFifo } from "../fakes/fifo.ts";
import { Run } from "./cli.ts";
import { Stage } from "./stage.ts";

/** Nobody listens there. */
const DEAD_PORT = 1;

async function run(stage: Stage, argv: readonly string[], shutdownTimeout: string): Promise<Run> {
  await stage.save(snapshotOf("saved"));
  await makeFifo(stage.path("fifo"));
  const environment = stage.environment(DEAD_PORT, {
    KONG_FALLBACK_READ_TIMEOUT: "3600",
    KONG_FALLBACK_STORE_TIMEOUT: "3600",
    KONG_FALLBACK_LISTEN: "127.0.0.1:0",
    KONG_FALLBACK_SHUTDOWN_TIMEOUT: shutdownTimeout,
    NODE_OPTIONS: hangingAt("/store/3.9.1/config.json", stage.path("fifo")),
  });
  const started = new Run(argv, environment);
  await started.logged("hangs");
  return started;
}

const COMMANDS = [["import", "--force"], ["status"], ["snapshots", "list"], ["export"], ["serve"]];

/** Of its own accord where it heeds the signal, though a call hangs; else by force: before Node 22.15 nothing but a signal ends such a process. */
const ENDS: readonly unknown[] =
  "execve" in process ? [1, 130, 143] : ["SIGKILL", "SIGINT", "SIGTERM"];

async function assertStopped(run: Run): Promise<void> {
  const status = await run.ended();
  assert.ok(ENDS.includes(status), `${status}:\n${run.stderr.join("\n")}`);
}

const NAMED = COMMANDS.map((argv) => [argv.join(" "), argv] as const);

describe("a process whose store hangs", () => {
  it.each(NAMED)("ends after KONG_FALLBACK_SHUTDOWN_TIMEOUT: %s", async (_, argv) => {
    await using stage = await Stage.open();
    await using hanging = await run(stage, argv, "0.1");
    hanging.signal("SIGTERM");
    await assertStopped(hanging);
    assert.match(hanging.stderr.join("\n"), /still open.*: .*FSReqPromise/);
  });

  it.each(NAMED)("ends at the second signal: %s", async (_, argv) => {
    await using stage = await Stage.open();
    await using hanging = await run(stage, argv, "3600");
    hanging.signal("SIGTERM");
    hanging.signal("SIGINT");
    await assertStopped(hanging);
  });
});
