import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "vitest";
import { systemClock } from "../../../src/runtime/clock.ts";
import { Stage } from "../../e2e/stage.ts";
import { snapshotOf, updateOf } from "../../fakes/config.ts";
import { FakeDataPlane } from "../../fakes/data-plane.ts";
import { roles } from "../../fakes/seals.ts";
import { ServeInProcess } from "./in-process.ts";

const CANARY = "canary";
const KEPT = "snapshots/3.9.1/config.json";

async function filesBelow(directory: string): Promise<readonly string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name));
}

describe("serve over a sealed store", () => {
  it("serves what it opens, keeps it on disk as unreadable, and serves that when the store is gone", async () => {
    await using stage = await Stage.open();
    const { exporter, pem, age } = await roles();
    await stage.save(snapshotOf(CANARY), exporter);
    const environment = stage.environment(1, {
      KONG_FALLBACK_LISTEN: "127.0.0.1:0",
      KONG_FALLBACK_VERIFY_KEYS: pem.public,
      KONG_FALLBACK_AGE_IDENTITIES: age.identity.reveal(),
    });
    const storages = [
      environment["KONG_CLUSTER_FALLBACK_CONFIG_STORAGE"],
      `file://${stage.path("none")}`,
    ];
    for (const storage of storages) {
      const serve = new ServeInProcess({
        ...environment,
        KONG_CLUSTER_FALLBACK_CONFIG_STORAGE: storage ?? "",
      });
      const { port } = await serve.logged("fallback control plane listens");
      await using plane = new FakeDataPlane({
        controlPlane: { host: "127.0.0.1", port: Number(port) },
        tls: stage.tls,
        clock: systemClock,
        version: "3.9.1",
      });
      await plane.connect();
      await serve.standStill(() => plane.hash === updateOf(CANARY).configHash);
      await serve.stop();
      assert.equal(JSON.stringify(serve.log).includes(CANARY), false);
      const files = await filesBelow(stage.path("state"));
      assert.ok(files.some((file) => file.endsWith(KEPT)));
      for (const file of files) {
        assert.equal((await readFile(file, "latin1")).includes(CANARY), false, file);
      }
    }
  });

  it("serves nothing from its disk that it took before signatures were asked for", async () => {
    await using stage = await Stage.open();
    const { pem } = await roles();
    await stage.save(snapshotOf(CANARY));
    const environment = stage.environment(1, { KONG_FALLBACK_LISTEN: "127.0.0.1:0" });
    const before = new ServeInProcess(environment);
    await before.logged("snapshot taken from the store");
    await before.stop();
    const after = new ServeInProcess({
      ...environment,
      KONG_FALLBACK_VERIFY_KEYS: pem.public,
      KONG_CLUSTER_FALLBACK_CONFIG_STORAGE: `file://${stage.path("none")}`,
    });
    const { err } = await after.logged("snapshot on the local disk is not used");
    assert.match(JSON.stringify(err), /SNAPSHOT_UNSIGNED.*no signature was asked for/);
    await after.stop();
  });
});
