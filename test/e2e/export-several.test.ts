import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { describe, it } from "vitest";
import { Run, runOnce } from "./cli.ts";
import { frameOf, Stage } from "./stage.ts";

const NEWER = 1_795_220_100;
const ACQUIRED = "lease acquired, this exporter writes";

/** Of one of several exporters: its own id, a short lease. */
function environment(stage: Stage, port: number, name: string, more = {}): Record<string, string> {
  return stage.environment(port, {
    KONG_FALLBACK_STATE_DIR: stage.path(name),
    KONG_FALLBACK_LEASE_TTL: "3",
    ...more,
  });
}

describe("two exporters over one store", () => {
  for (const signal of ["SIGTERM", "SIGKILL"] as const) {
    it(`hand over when the one that writes gets ${signal}`, async () => {
      await using stage = await Stage.open();
      await using controlPlane = await stage.controlPlane();
      const { port } = controlPlane.address;
      await using first = new Run(["export"], environment(stage, port, "first"));
      await first.logged("snapshot saved");
      await using second = new Run(["export"], environment(stage, port, "second"));
      await second.logged("config received");
      assert.ok(!second.log.some((line) => line["msg"] === ACQUIRED));
      first.signal(signal);
      assert.equal(await first.ended(), signal === "SIGTERM" ? 143 : "SIGKILL");
      await second.logged(ACQUIRED);
      assert.equal((await second.logged("snapshot saved"))["fencingToken"], 2);
      const newer = frameOf("b", NEWER);
      for (const session of controlPlane.sessions) session.sendConfig(newer.frame);
      await second.logged(
        (line) => line["msg"] === "snapshot saved" && line["bytes"] === newer.configTable.length,
        2,
      );
      assert.deepEqual((await stage.saved()).toString().trimEnd(), newer.configTable.toString());
      second.signal("SIGTERM");
      assert.equal(await second.ended(), 143);
    });
  }
});

describe("an exporter over two stores", () => {
  it("saves in both, and import takes the newest of those that are left", async () => {
    await using stage = await Stage.open();
    await using controlPlane = await stage.controlPlane();
    const { port } = controlPlane.address;
    const both = {
      KONG_CLUSTER_FALLBACK_CONFIG_STORAGE: `file://${stage.path("store")},file://${stage.path("other")}`,
      KONG_FALLBACK_STATUS_LISTEN: "127.0.0.1:0",
    };
    await using run = new Run(["export"], environment(stage, port, "state", both));
    await run.logged("snapshot saved", 2);
    for (const store of ["store", "other"]) {
      const saved = await readFile(stage.path(store, "3.9.1", "config.json"));
      assert.deepEqual(saved, frameOf("a").configTable);
    }
    const { port: status } = await run.logged("status server listens");
    const metrics = await (await fetch(`http://127.0.0.1:${status}/metrics`)).text();
    assert.match(
      metrics,
      /kong_fallback_replica_lag_seconds\{store="file:[^"]*\/other",kong_version="3\.9\.1"\} 0/,
    );
    assert.match(
      metrics,
      /kong_fallback_lease_held\{store="file:[^"]*\/store",kong_version="3\.9\.1"\} 1/,
    );
    run.signal("SIGTERM");
    assert.equal(await run.ended(), 143);
    await controlPlane[Symbol.asyncDispose]();
    const broken = {
      KONG_CLUSTER_FALLBACK_CONFIG_STORAGE: `file://${stage.path("cluster.crt")},file://${stage.path("other")}`,
    };
    const { status: exit, log } = await runOnce(["import"], stage.environment(port, broken));
    assert.equal(exit, 0);
    assert.deepEqual(await readFile(stage.path("kong.json")), frameOf("a").configTable);
    assert.ok(log.some((line) => line["msg"] === "one of several stores gives no snapshot"));
  });
});
