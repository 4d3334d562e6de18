import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { describe, it } from "vitest";
import { FakeKongAdmin } from "../fakes/kong-admin.ts";
import { Run, runOnce } from "./cli.ts";
import { frameOf, Stage } from "./stage.ts";

const ALARM = "config held back: Kong refused it in the rehearsal, the current one stays";
const REFUSAL = "Kong refuses the config in the rehearsal, it could not be restored";
const REASON = 'service "bad", field port: value should be between 0 and 65535';
const GOOD = frameOf("good");
const BAD = frameOf("bad", 1_795_220_100);
const NEXT = frameOf("next", 1_795_220_200);

/** As Kong 3.9.1 says it of a service named "bad", with a value that must not be told. */
const FLATTENED = {
  entity_type: "service",
  entity_name: "bad",
  entity: { name: "bad", host: "canary-secret.example", port: 99999 },
  errors: [
    { type: "field", field: "port", message: "value should be between 0 and 65535" },
    { type: "field", field: "host", message: "invalid value: canary-secret.example" },
  ],
};

/** An exporter and the Kong it rehearses with, which finds fault with the config "bad". */
async function rehearsing(
  stage: Stage,
  first: Buffer,
  more: Readonly<Record<string, string>> = {},
) {
  const kong = await FakeKongAdmin.start();
  kong.hasReadiness = true;
  kong.buildsFor = 1;
  kong.refuse = (config) => (config.includes('"bad"') ? [FLATTENED] : []);
  const controlPlane = await stage.controlPlane({ config: first });
  const environment = stage.environment(controlPlane.address.port, {
    KONG_FALLBACK_LEASE_TTL: "3",
    KONG_FALLBACK_STATUS_LISTEN: "127.0.0.1:0",
    KONG_FALLBACK_REHEARSAL_URL: kong.url,
    ...more,
  });
  const start = () => new Run(["export"], environment);
  const metric = async (exporter: Run, series: string) => {
    const { port } = await exporter.logged("status server listens");
    const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
    return text
      .split("\n")
      .find((line) => line.startsWith(`${series} `))
      ?.slice(series.length + 1);
  };
  return {
    kong,
    controlPlane,
    environment,
    start,
    metric,
    current: async () => (await stage.saved()).toString().trimEnd(),
    async [Symbol.asyncDispose]() {
      await controlPlane[Symbol.asyncDispose]();
      await kong[Symbol.asyncDispose]();
    },
  };
}

const HELD = `kong_fallback_config_held{store="STORE",kong_version="3.9.1",by="rehearsal"}`;

describe("an exporter with a rehearsal Kong", () => {
  it("keeps the last config that Kong loads, tells why it refuses the next, and goes on after it", async () => {
    await using stage = await Stage.open();
    await using scene = await rehearsing(stage, GOOD.frame);
    const { kong, controlPlane, environment, metric, current } = scene;
    const held = HELD.replace("STORE", environment["KONG_CLUSTER_FALLBACK_CONFIG_STORAGE"] ?? "");
    await using exporter = scene.start();
    await exporter.logged("snapshot saved");
    assert.equal(kong.configs.length, 1);
    assert.equal(await metric(exporter, held), "0");
    const rehearsals = `kong_fallback_rehearsals_total{kong_version="3.9.1",result="refused"}`;
    // Else the first refusal would be no increase to an alert.
    assert.equal(await metric(exporter, rehearsals), "0");

    const session = await controlPlane.session();
    session.sendConfig(BAD.frame);
    const alarm = await exporter.logged(ALARM);
    assert.equal((alarm["reasons"] as string[])[0], REASON);
    const refusal = await exporter.logged(REFUSAL);
    assert.equal(refusal["errors"], 2);
    assert.equal(await current(), GOOD.configTable.toString());
    assert.equal(await metric(exporter, held), "1");
    assert.equal(await metric(exporter, rehearsals), "1");
    const status = await runOnce(["status"], environment);
    assert.match(status.stdout.toString(), /^held back +1, .*\.held: rehearsal: service "bad"/m);
    assert.match(status.stdout.toString(), /^rehearsed +yes$/m);

    session.sendConfig(NEXT.frame);
    await exporter.logged("snapshot saved", 2);
    assert.equal(await current(), NEXT.configTable.toString());
    assert.equal(await metric(exporter, held), "0");
    assert.equal(kong.configs.length, 3);
    assert.ok(!exporter.stderr.join("\n").includes("canary-secret"));
    exporter.signal("SIGTERM");
    assert.equal(await exporter.ended(), 143);
  });

  it("refuses the same config again after a restart, unless an operator has restored it", async () => {
    await using stage = await Stage.open();
    await using scene = await rehearsing(stage, GOOD.frame);
    const { kong, controlPlane, environment, current } = scene;
    {
      await using exporter = scene.start();
      await exporter.logged("snapshot saved");
      (await controlPlane.session()).sendConfig(BAD.frame);
      await exporter.logged(ALARM);
      exporter.signal("SIGTERM");
      assert.equal(await exporter.ended(), 143);
    }
    await using exporter = scene.start();
    // The good one comes first, and was rehearsed by the process before.
    await exporter.logged("config received");
    (await controlPlane.session(2)).sendConfig(BAD.frame);
    await exporter.logged(ALARM);
    assert.equal(kong.configs.length, 3);
    const listed = await runOnce(["snapshots", "list", "--json"], environment);
    const id = /"id": ?"([^"]+\.held)"/.exec(listed.stdout.toString())?.[1] ?? "";
    const argv = ["snapshots", "restore", id, "--take-over", "--yes"];
    const restored = await runOnce(argv, environment);
    assert.equal(restored.status, 0, restored.stderr);
    await exporter.logged("no config is held back any more");
    assert.equal(await current(), BAD.configTable.toString());
    // It is known: Kong is not asked again.
    assert.equal(kong.configs.length, 3);
    const strict = { ...environment, KONG_FALLBACK_REQUIRE_REHEARSED: "on" };
    const imported = await runOnce(["import", "--force"], strict);
    assert.equal(imported.status, 0, imported.stderr);
    assert.deepEqual(await readFile(stage.path("kong.json")), GOOD.configTable);
    assert.ok(imported.stderr.includes("SNAPSHOT_NOT_REHEARSED"));
  });

  it("waits for a Kong that dies in the middle of the POST, and asks it once for two stores", async () => {
    await using stage = await Stage.open();
    const stores = `file://${stage.path("store")},file://${stage.path("other")}`;
    const more = { KONG_CLUSTER_FALLBACK_CONFIG_STORAGE: stores };
    await using scene = await rehearsing(stage, GOOD.frame, more);
    const { kong } = scene;
    kong.answerNext("/config", "disconnect");
    await using exporter = scene.start();
    const failure = await exporter.logged("config not saved, kept in memory, will try again");
    assert.equal((failure["err"] as { code?: string }).code, "REHEARSAL_UNAVAILABLE");
    await exporter.logged("snapshot saved", 2);
    assert.equal(kong.configs.length, 1);
    for (const directory of ["store", "other"]) {
      const saved = await readFile(stage.path(directory, "3.9.1", "config.json"), "utf8");
      assert.equal(saved.trimEnd(), GOOD.configTable.toString());
    }
    exporter.signal("SIGTERM");
    assert.equal(await exporter.ended(), 143);
  });

  it("saves without it where that is allowed, and says so", async () => {
    await using stage = await Stage.open();
    await using scene = await rehearsing(stage, GOOD.frame, {
      KONG_FALLBACK_REHEARSAL: "best-effort",
    });
    scene.kong.database = "postgres";
    await using exporter = scene.start();
    await exporter.logged("configs cannot be rehearsed, they are saved all the same");
    await exporter.logged("snapshot saved");
    assert.deepEqual(scene.kong.configs, []);
    const status = await runOnce(["status"], scene.environment);
    assert.match(status.stdout.toString(), /^rehearsed +no$/m);
    exporter.signal("SIGTERM");
    assert.equal(await exporter.ended(), 143);
  });
});
