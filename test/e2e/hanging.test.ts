/** A file system that hangs, as dead NFS does: no one-shot command outlives its deadline, or ignores being told to stop. */

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import { describe, it } from "vitest";
import { snapshotOf } from "../fakes/config.ts";
import { hangingAt, makeFifo } from "../fakes/fifo.ts";
import { Run, runOnce } from "./cli.ts";
import { Stage } from "./stage.ts";

/** Nothing listens there. */
const NO_CONTROL_PLANE = 9;

/** A process that a hanging call would keep can end with a status of its own since Node 22.15. */
function statusOf(status: number): number | string {
  return "execve" in process ? status : "SIGKILL";
}

/** A stage whose current object hangs whoever opens it with this in the environment. */
async function hangingStage() {
  const stage = await Stage.open();
  await stage.save(snapshotOf("saved"));
  const fifo = await makeFifo(stage.path("fifo"));
  const hanging = {
    NODE_OPTIONS: hangingAt("/store/3.9.1/config.json", stage.path("fifo")),
    KONG_FALLBACK_READ_TIMEOUT: "0.5",
  };
  return { stage, fifo, hanging };
}

describe.each([
  ["import", ["import"], /no store gave a snapshot within 0\.5 s \[STORE_UNAVAILABLE\]/],
  ["snapshots list", ["snapshots", "list"], gaveUp("[STORE_UNAVAILABLE]")],
  ["snapshots show", ["snapshots", "show", "current"], gaveUp("[STORE_UNAVAILABLE]")],
  ["snapshots verify", ["snapshots", "verify"], gaveUp("")],
  ["status", ["status"], gaveUp("")],
])("kong-fallback %s with a store that hangs", (_name, argv, said) => {
  it("ends in time with 4, and says why", async () => {
    const { stage, fifo, hanging } = await hangingStage();
    await using _stage = stage;
    await using _fifo = fifo;
    const startedAt = performance.now();
    const { status, stdout, stderr } = await runOnce(
      argv,
      stage.environment(NO_CONTROL_PLANE, hanging),
    );
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
    const { stage, fifo, hanging } = await hangingStage();
    await using _stage = stage;
    await using _fifo = fifo;
    const environment = stage.environment(NO_CONTROL_PLANE, {
      ...hanging,
      KONG_FALLBACK_READ_TIMEOUT: "600",
      KONG_FALLBACK_PROBE_TIMEOUT: command === "import" ? "0.5" : "600",
      KONG_LOG_LEVEL: "debug",
    });
    await using run = new Run([command], environment);
    await Promise.all([run.logged(said), run.logged("hangs")]);
    run.signal("SIGTERM");
    assert.equal(await run.ended(), "execve" in process ? 143 : "SIGTERM");
  });
});

describe("kong-fallback with a pipe where the current object should be", () => {
  it.each([["import"], ["status"], ["snapshots show"]])(
    "%s ends with 4, and says what it is",
    async (command) => {
      await using stage = await Stage.open();
      await mkdir(stage.path("store", "3.9.1"), { recursive: true });
      await using _ = await makeFifo(stage.path("store", "3.9.1", "config.json"));
      const environment = stage.environment(NO_CONTROL_PLANE);
      const { status, stdout, stderr } = await runOnce(command.split(" "), environment);
      assert.equal(status, 4, stderr);
      assert.match(`${stdout}${stderr}`, /config\.json: it\s+is a pipe or a device, not a file/);
    },
  );
});

describe("kong-fallback import with a prefix that hangs", () => {
  it("imports as if there were nothing, with a warning", async () => {
    await using stage = await Stage.open();
    await stage.save(snapshotOf("saved"));
    await mkdir(stage.path("prefix", "dbless.lmdb"), { recursive: true });
    await using _ = await makeFifo(stage.path("prefix", "dbless.lmdb", "data.mdb"));
    const more = {
      KONG_FALLBACK_PREFIX_DIR: stage.path("prefix"),
      KONG_FALLBACK_READ_TIMEOUT: "0.5",
    };
    const { status, log } = await runOnce(["import"], stage.environment(NO_CONTROL_PLANE, more));
    assert.equal(status, statusOf(0));
    assert.equal(log[0]?.["reason"], "the file system did not answer within 0.5 s");
    assert.deepEqual(await readFile(stage.path("kong.json")), snapshotOf("saved").config);
  });
});

function gaveUp(code: string): RegExp {
  return new RegExp(`gave no answer within 0\\.5 s ?${code.replace(/[[\]]/g, "\\$&")}`);
}
