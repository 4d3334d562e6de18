import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { snapshotOf } from "../fakes/config.ts";
import { FakeKongAdmin, refusing } from "../fakes/kong-admin.ts";
import { Run, runOnce } from "./cli.ts";
import { HASTE } from "./sidecar.ts";
import { frameOf, Stage } from "./stage.ts";

/** No control plane and no certificate is needed. */
function environment(stage: Stage, more: Readonly<Record<string, string>> = {}) {
  return {
    KONG_VERSION: "3.9.1",
    KONG_CLUSTER_FALLBACK_CONFIG_STORAGE: `file://${stage.path("store")}`,
    KONG_FALLBACK_SERVE_GRACE: "0.1",
    KONG_FALLBACK_STATUS_LISTEN: HASTE.KONG_FALLBACK_STATUS_LISTEN,
    ...more,
  };
}

/** `/readyz` and `/status.json`. */
async function tellOf(run: Run) {
  const { port } = await run.logged("status server listens");
  const base = `http://127.0.0.1:${port}`;
  const ready = await fetch(`${base}/readyz`);
  const report = (await (await fetch(`${base}/status.json`)).json()) as {
    readonly kong: { readonly kind: string };
  };
  return { ready: ready.status, report };
}

describe("kong-fallback serve --target", () => {
  it("fills an empty Kong after the grace time, and leaves alone what somebody else puts there", async () => {
    await using stage = await Stage.open();
    await using kong = await FakeKongAdmin.start();
    await stage.save(snapshotOf("a"));
    await using run = new Run(["serve", "--target", kong.url], environment(stage));
    const said = await run.logged("Kong has the newest snapshot");
    assert.deepEqual(
      JSON.parse(kong.config ?? ""),
      JSON.parse(frameOf("a").configTable.toString()),
    );
    assert.equal(kong.configs.length, 1);
    assert.equal(said["hash"], kong.configurationHash);
    assert.equal((await tellOf(run)).report.kong.kind, "ours");

    kong.configurationHash = "f".repeat(32);
    await run.logged("Kong has somebody else's config, leaving it alone");
    assert.equal((await tellOf(run)).report.kong.kind, "foreign");
    assert.equal(kong.configs.length, 1);
    run.signal("SIGTERM");
    assert.equal(await run.ended(), 143);
  });

  it("waits for a Kong that is not there yet, and for a snapshot", async () => {
    await using stage = await Stage.open();
    const gone = await FakeKongAdmin.start();
    const { port, url } = gone;
    await gone[Symbol.asyncDispose]();
    const more = { KONG_FALLBACK_REFRESH_INTERVAL: "1" };
    await using run = new Run(["serve", "--target", url], environment(stage, more));
    await run.logged("Kong does not answer, waiting for it");
    assert.equal((await tellOf(run)).ready, 503);
    await stage.save(snapshotOf("a"));
    await run.logged("snapshot taken from the store");
    assert.equal((await tellOf(run)).ready, 200);
    await using _ = await FakeKongAdmin.start({ port });
    await run.logged("Kong has the newest snapshot");
    run.signal("SIGTERM");
    assert.equal(await run.ended(), 143);
  });

  it("gives an empty Kong that refuses the newest snapshot an older one, unless the control plane lives", async () => {
    await using stage = await Stage.open();
    for (const name of ["good", "bad"]) await stage.save(snapshotOf(name), undefined, true);
    await using kong = await FakeKongAdmin.start();
    kong.refuse = refusing("bad");
    await using controlPlane = await stage.controlPlane();
    const cluster = {
      KONG_CLUSTER_CONTROL_PLANE: `127.0.0.1:${controlPlane.address.port}`,
      KONG_CLUSTER_CERT: stage.path("cluster.crt"),
      KONG_CLUSTER_CERT_KEY: stage.path("cluster.key"),
    };
    await using asking = new Run(["serve", "--target", kong.url], environment(stage, cluster));
    await asking.logged("control plane lives, so Kong is given no older snapshot than it refuses");
    assert.equal(kong.configs.length, 1);
    asking.signal("SIGTERM");
    await asking.ended();
    await using run = new Run(["serve", "--target", kong.url], environment(stage));
    await run.logged("Kong refuses the newest snapshot, it is given an older one");
    assert.deepEqual(Buffer.from(kong.config ?? ""), snapshotOf("good").config);
    run.signal("SIGTERM");
    assert.equal(await run.ended(), 143);
  });

  it("ends with 4 at a Kong that has a database", async () => {
    await using stage = await Stage.open();
    await using kong = await FakeKongAdmin.start();
    kong.configurationHash = undefined;
    kong.database = "postgres";
    const { status, stderr } = await runOnce(["serve", "--target", kong.url], environment(stage));
    assert.equal(status, 4);
    assert.match(stderr, /is not DB-less, its database is postgres \[ADMIN_REFUSED\]/);
    assert.ok(!stderr.includes("still open"), stderr);
  });

  it("ends with 2 without a version and a store, and with a list of versions", async () => {
    const bare = await runOnce(["serve", "--target", "admin"], {});
    assert.equal(bare.status, 2);
    for (const name of ["KONG_VERSION", "KONG_CLUSTER_FALLBACK_CONFIG_STORAGE"]) {
      assert.match(bare.stderr, new RegExp(`${name}: is not set, and serve with an Admin API`));
    }
    await using stage = await Stage.open();
    const list = environment(stage, { KONG_VERSION: "3.8.1,3.9.1" });
    const { status, stderr } = await runOnce(["serve", "--target", "admin"], list);
    assert.equal(status, 2);
    assert.match(stderr, /KONG_VERSION: a DB-less Kong has one version, not a list/);
  });
});
