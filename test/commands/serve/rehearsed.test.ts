import assert from "node:assert/strict";
import { rm } from "node:fs/promises";
import { describe, it } from "vitest";
import { Stage } from "../../e2e/stage.ts";
import { snapshotOf } from "../../fakes/config.ts";
import { ServeInProcess } from "./in-process.ts";

const UNUSED = "snapshot on the local disk is not used";

function serve(stage: Stage, more: Readonly<Record<string, string>> = {}): ServeInProcess {
  // Nothing listens there.
  return new ServeInProcess(stage.environment(1, { KONG_FALLBACK_LISTEN: "127.0.0.1:0", ...more }));
}

/** What a run without demands left on the disk, with nothing in the store any more. */
async function keepOnDisk(stage: Stage, rehearsed: boolean): Promise<void> {
  await stage.save(snapshotOf("a", { rehearsed }));
  await using before = serve(stage);
  await before.logged("snapshot taken from the store");
  await before.stop();
  await rm(stage.path("store"), { recursive: true });
}

describe("serve that wants rehearsed snapshots", () => {
  it("does not use one that was kept on the disk and was not", async () => {
    await using stage = await Stage.open();
    await keepOnDisk(stage, false);
    await using strict = serve(stage, { KONG_FALLBACK_REQUIRE_REHEARSED: "on" });
    const { err } = await strict.logged(UNUSED);
    assert.equal((err as { code?: string }).code, "SNAPSHOT_NOT_REHEARSED");
  });

  it("uses one that was", async () => {
    await using stage = await Stage.open();
    await keepOnDisk(stage, true);
    await using strict = serve(stage, { KONG_FALLBACK_REQUIRE_REHEARSED: "on" });
    await strict.logged("snapshot taken from the local disk");
    assert.ok(!strict.log.some(({ msg }) => msg === UNUSED));
  });

  it("does not take one from the store that was not", async () => {
    await using stage = await Stage.open();
    await stage.save(snapshotOf("a", { rehearsed: false }));
    await using strict = serve(stage, { KONG_FALLBACK_REQUIRE_REHEARSED: "on" });
    const line = await strict.logged(
      "store gives no snapshot, an operator must act; what is there is served",
    );
    assert.equal((line["err"] as { code?: string }).code, "SNAPSHOT_NOT_REHEARSED");
  });
});
