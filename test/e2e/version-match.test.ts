import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { describe, it } from "vitest";
import { snapshotOf } from "../fakes/config.ts";
import { runOnce } from "./cli.ts";
import { Stage } from "./stage.ts";

describe("kong-fallback import for a version nothing is saved for", () => {
  const wanted = { KONG_VERSION: "3.9.2", KONG_FALLBACK_FORCE: "on" };

  it("takes that of the nearest older patch, and says so", async () => {
    await using stage = await Stage.open();
    const snapshot = snapshotOf("a");
    await stage.save(snapshot);
    const { status, log } = await runOnce(["import"], stage.environment(1, wanted));
    assert.equal(status, 0);
    assert.deepEqual(await readFile(stage.path("kong.json")), snapshot.config);
    const said = "no snapshot for this Kong version, that of the nearest older one is used";
    assert.equal(log.find((line) => line["msg"] === said)?.["usedVersion"], "3.9.1");
  });

  it("takes none where it must be exact", async () => {
    await using stage = await Stage.open();
    await stage.save(snapshotOf("a"));
    const more = { ...wanted, KONG_FALLBACK_VERSION_MATCH: "exact" };
    const { status, stderr } = await runOnce(["import"], stage.environment(1, more));
    assert.equal(status, 3);
    assert.match(stderr, /SNAPSHOT_MISSING/);
  });
});
