/** `import --adapt` from end to end: a snapshot of an Enterprise control plane, and a DB-less open-source Kong that takes it. */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { describe, it } from "vitest";
import { FakeKongAdmin } from "../fakes/kong-admin.ts";
import { capturedConfig, changedConfig, enterpriseConfig } from "../kong/checks/capture.ts";
import { SnapshotsStage, snapshotAt } from "./snapshots/stage.ts";

type Table = Readonly<Record<string, readonly Readonly<Record<string, unknown>>[]>>;

/** What a data plane of open-source 3.9.1 says that it has. */
async function realPlugins(): Promise<ReadonlySet<unknown>> {
  const file = new URL("../fixtures/captures/3.9.1/basic_info.json", import.meta.url);
  const info: { readonly plugins: readonly { readonly name: string }[] } = JSON.parse(
    await readFile(file, "utf8"),
  );
  return new Set(info.plugins.map(({ name }) => name));
}

/** Why a DB-less Kong 3.9.1 would refuse it: of what a real one sent, every kind and field is known there, and no other. */
async function refusals(config: string): Promise<readonly string[]> {
  const known: Table = JSON.parse(capturedConfig("3.9.1/rich").toString("utf8"));
  const plugins = await realPlugins();
  return Object.entries(JSON.parse(config) as Table).flatMap(([kind, rows]) => {
    const example = known[kind];
    if (example === undefined) return [kind];
    if (!Array.isArray(rows)) return [];
    const fields = new Set(example.flatMap((row) => Object.keys(row)));
    return (rows as Table[string]).flatMap((row) => [
      ...Object.keys(row).filter((field) => !fields.has(field)),
      ...(kind === "plugins" && !plugins.has(row["name"]) ? [String(row["name"])] : []),
    ]);
  });
}

async function saved(config: Buffer): Promise<SnapshotsStage> {
  const stage = await SnapshotsStage.open();
  await stage.save(snapshotAt(0, JSON.parse(config.toString("utf8"))));
  return stage;
}

function textIn(kong: FakeKongAdmin): string {
  return JSON.parse(kong.configs.at(-1)?.body.toString("utf8") ?? "{}").config;
}

describe("kong-fallback import --adapt", () => {
  it("gives a DB-less open-source Kong what it takes of an Enterprise config, and lists what it lost", async () => {
    await using stage = await saved(enterpriseConfig());
    const object = await readFile(stage.path("3.9.1", "config.json"));
    await using kong = await FakeKongAdmin.start();
    const plain = await stage.run(["import", "--force", "--to", kong.url]);
    assert.equal(plain.status, 0, plain.stderr);
    const reasons = new Set(await refusals(textIn(kong)));
    for (const reason of ["licenses", "rbac_users", "openid-connect", "ws_id", "consumer_group"]) {
      assert.ok(reasons.has(reason), `without --adapt it would be refused for ${reason}`);
    }

    const adapted = await stage.run(["import", "--force", "--adapt", "--json", "--to", kong.url]);
    assert.equal(adapted.status, 0, adapted.stderr);
    assert.deepEqual(await refusals(textIn(kong)), []);
    const report = JSON.parse(adapted.stdout);
    assert.equal(report.result, "applied");
    assert.equal(report.changes.length, 12);
    assert.equal(report.bytes, Buffer.byteLength(textIn(kong)));
    assert.equal(report.metadata.bytes, object.length, "of what was saved");
    assert.match(adapted.stderr, /dropped plugin \\"openid-connect\\" \(id p1\)/);
    assert.match(adapted.stderr, /plugins were dropped, and what they did is not done/);
    assert.equal(adapted.stderr.includes("Kong may refuse"), false);
    assert.equal(`${adapted.stderr}${adapted.stdout}`.includes("canary"), false);
    assert.deepEqual(await readFile(stage.path("3.9.1", "config.json")), object, "untouched");
  });

  it("is idempotent for the target: the second run sends nothing", async () => {
    await using stage = await saved(enterpriseConfig());
    await using kong = await FakeKongAdmin.start();
    const argv = ["import", "--force", "--adapt", "--json", "--to", kong.url];
    await stage.run(argv);
    const { stdout } = await stage.run(argv);
    assert.equal(JSON.parse(stdout).result, "unchanged");
  });

  it("changes nothing of an open-source config", async () => {
    await using stage = await saved(capturedConfig("3.9.1/rich"));
    const file = stage.path("kong.json");
    const { stdout } = await stage.run([
      ...["import", "--force", "--adapt", "--json", "--to", `file:${file}`],
    ]);
    assert.deepEqual(JSON.parse(stdout).changes, []);
    assert.deepEqual(await readFile(file), await readFile(stage.path("3.9.1", "config.json")));
  });

  it("warns of what it does not dare to change", async () => {
    const config = changedConfig("3.9.1/rich", (table) => {
      for (const row of table["services"] ?? []) row["name"] = "echo";
    });
    await using stage = await saved(config);
    const { status, stderr } = await stage.run([
      ...["import", "--force", "--adapt", "--to", `file:${stage.path("kong.json")}`],
    ]);
    assert.equal(status, 0);
    assert.match(stderr, /another has the same name/);
    assert.match(stderr, /Kong may refuse the config for what adapting does not change/);
  });

  it("lists at most fifty changes in the log, and all in the report", async () => {
    const config = changedConfig("3.9.1/small", (table) => {
      const rows = Array.from({ length: 70 }, (_, place) => ({ id: `p${place}`, name: "saml" }));
      table["plugins"] = rows;
    });
    await using stage = await saved(config);
    const { stdout, stderr } = await stage.run([
      ...["import", "--force", "--adapt", "--json", "--to", `file:${stage.path("kong.json")}`],
    ]);
    assert.equal(JSON.parse(stdout).changes.length, 70);
    assert.equal(stderr.match(/config changed to fit/g)?.length, 50);
    assert.match(stderr, /"changes":70/);
  });
});
