/** A file system that hangs, as dead NFS does: no one-shot command outlives its deadline, or ignores being told to stop. */

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import { describe, it } from "vitest";
import { snapshotOf } from "../fakes/config.ts";
import { makeFifo } from "../fakes/fifo.ts";
import { Run, runOnce } from "./cli.ts";
import { Stage } from "./stage.ts";

/** Nothing listens there. */
const NO_CONTROL_PLANE = 9;

/** A process that a hanging call would keep can end with a status of its own since Node 22.15. */
function statusOf(status: number): number | string {
  return "execve" in process ? status : "SIGKILL";
}

/** A stage whose current object hangs whoever opens it. */
async function hangingStage(): Promise<{ stage: Stage; fifo: AsyncDisposable }> {
  const stage = await Stage.open();
  await mkdir(stage.path("store", "3.9.1"), { recursive: true });
  return { stage, fifo: await makeFifo(stage.path("store", "3.9.1", "config.json")) };
}

describe.each([
  ["import", ["import"], /no store gave a snapshot within 0\.5 s \[STORE_UNAVAILABLE\]/],
  ["snapshots list", ["snapshots", "list"], gaveUp("[STORE_UNAVAILABLE]")],
  ["snapshots show", ["snapshots", "show", "current"], gaveUp("[STORE_UNAVAILABLE]")],
  ["snapshots verify", ["snapshots", "verify"], gaveUp("")],
  ["status", ["status"], gaveUp("")],
])("kong-fallback %s with a store that hangs", (_name, argv, said) => {
  it("ends in time with 4, and says why", async () => {
    const { stage, fifo } = await hangingStage();
    await using _stage = stage;
    await using _fifo = fifo;
    const startedAt = performance.now();
    const { status, stdout, stderr } = await runOnce(argv, stage.environment(NO_CONTROL_PLANE));
    assert.equal(status, statusOf(4), stderr);
    assert.match(`${stderr}${stdout}`, said);
    // Not the 60 s that nobody asked for; a busy machine needs some.
    assert.ok(performance.now() - startedAt < 25_000);
    assert.ok(!existsSync(stage.path("kong.json")));
  });
});

describe.each([
  ["import", "control plane is unreachable"],
  ["status", "control plane did not answer, trying again"],
])("kong-fallback %s with a store that hangs", (command, said) => {
  it("stops when it is told to", async () => {
    const { stage, fifo } = await hangingStage();
    await using _stage = stage;
    await using _fifo = fifo;
    const environment = stage.environment(NO_CONTROL_PLANE, {
      KONG_FALLBACK_READ_TIMEOUT: "600",
      KONG_FALLBACK_PROBE_TIMEOUT: command === "import" ? "0.5" : "600",
      KONG_LOG_LEVEL: "debug",
    });
    await using run = new Run([command], environment);
    await run.logged(said);
    run.signal("SIGTERM");
    assert.equal(await run.ended(), "execve" in process ? 143 : "SIGTERM");
  });
});

describe("kong-fallback import with a prefix that hangs", () => {
  it("imports as if there were nothing, with a warning", async () => {
    await using stage = await Stage.open();
    await stage.save(snapshotOf("saved"));
    await mkdir(stage.path("prefix", "dbless.lmdb"), { recursive: true });
    await using _ = await makeFifo(stage.path("prefix", "dbless.lmdb", "data.mdb"));
    const more = { KONG_FALLBACK_PREFIX_DIR: stage.path("prefix") };
    const { status, log } = await runOnce(["import"], stage.environment(NO_CONTROL_PLANE, more));
    assert.equal(status, statusOf(0));
    assert.equal(log[0]?.["reason"], "the file system did not answer within 0.5 s");
    assert.deepEqual(await readFile(stage.path("kong.json")), snapshotOf("saved").config);
  });
});

function gaveUp(code: string): RegExp {
  return new RegExp(`gave no answer within 0\\.5 s ?${code.replace(/[[\]]/g, "\\$&")}`);
}
