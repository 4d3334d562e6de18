import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdir, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { describe, it } from "vitest";
import { sha256 } from "../../src/snapshots/snapshot.ts";
import { expiredClusterCertificate } from "../fakes/certificates.ts";
import { configBytes, snapshotOf } from "../fakes/config.ts";
import { FakeControlPlane } from "../fakes/control-plane.ts";
import { FakeKongAdmin, refusing } from "../fakes/kong-admin.ts";
import { Run, runOnce } from "./cli.ts";
import { captured, frameOf, Stage } from "./stage.ts";

/** A stage whose store holds a recorded config, exported by the program itself, and whose control plane is gone. */
async function exported(): Promise<{ stage: Stage; port: number; configTable: Buffer }> {
  const stage = await Stage.open();
  const { frame, configTable } = captured("3.9.1", "rich");
  await using controlPlane = await stage.controlPlane({ config: frame });
  const { port } = controlPlane.address;
  const run = new Run(["export"], stage.environment(port));
  await run.logged("snapshot saved");
  run.signal("SIGTERM");
  await run.ended();
  return { stage, port, configTable };
}

/** Nothing listens there. */
const NO_CONTROL_PLANE = 9;

describe("kong-fallback import", () => {
  it("gives a new data plane the config when the control plane is down, readable by its group only", async () => {
    const { stage, port, configTable } = await exported();
    await using _ = stage;
    const { status, log, stdout } = await runOnce(["import"], stage.environment(port));
    assert.equal(status, 0);
    assert.deepEqual(await readFile(stage.path("kong.json")), configTable);
    assert.equal((await stat(stage.path("kong.json"))).mode & 0o777, 0o640);
    assert.deepEqual(
      log.map((line) => line["msg"]),
      ["control plane is unreachable", "snapshot read", "config imported"],
    );
    assert.equal(stdout.length, 0);
    const again = await runOnce(["import", "--json"], stage.environment(port));
    assert.equal(again.status, 0);
    const report = JSON.parse(again.stdout.toString());
    assert.equal(report.outcome, "imported");
    assert.equal(report.result, "unchanged");
    assert.equal(report.metadata.kongVersion, "3.9.1");
  });

  it("imports nothing while the control plane lives, and sets an earlier file aside", async () => {
    const { stage, configTable } = await exported();
    await using _ = stage;
    await writeFile(stage.path("kong.json"), configTable);
    await using controlPlane = await stage.controlPlane();
    const { status, stdout } = await runOnce(
      ["import", "--json"],
      stage.environment(controlPlane.address.port, { KONG_FALLBACK_PROBE_TIMEOUT: "10" }),
    );
    assert.equal(status, 0);
    assert.deepEqual(JSON.parse(stdout.toString()), { outcome: "live", withdrawn: true });
    await assert.rejects(stat(stage.path("kong.json")), { code: "ENOENT" });
    assert.deepEqual(await readFile(stage.path("kong.json.superseded")), configTable);
    const session = await controlPlane.session();
    await session.ended();
    assert.deepEqual(session.pings, [], "who pings is listed as a data plane");
    assert.deepEqual(session.violations, []);
  });

  it("imports with --force though the control plane lives", async () => {
    const { stage, configTable } = await exported();
    await using _ = stage;
    await using controlPlane = await stage.controlPlane({});
    const { status } = await runOnce(
      ["import", "--force"],
      stage.environment(controlPlane.address.port),
    );
    assert.equal(status, 0);
    assert.deepEqual(await readFile(stage.path("kong.json")), configTable);
    assert.equal(controlPlane.sessions.length, 0);
  });

  it("takes a control plane that accepts but gives nothing to anybody for dead, unless told otherwise", async () => {
    const { stage, configTable } = await exported();
    await using _ = stage;
    await using controlPlane = await stage.controlPlane({});
    const environment = stage.environment(controlPlane.address.port);
    const { status } = await runOnce(["import"], environment);
    assert.equal(status, 0);
    assert.deepEqual(await readFile(stage.path("kong.json")), configTable);
    await rm(stage.path("kong.json"));
    const shaken = await runOnce(["import", "--probe", "handshake", "--json"], environment);
    assert.deepEqual(JSON.parse(shaken.stdout.toString()), { outcome: "live", withdrawn: false });
    await assert.rejects(stat(stage.path("kong.json")), { code: "ENOENT" });
  });

  it("imports nothing from a control plane that lives and refuses the data plane's version", async () => {
    await using stage = await Stage.open();
    await stage.save(snapshotOf("saved"));
    await using controlPlane = await stage.controlPlane({ version: "3.8.0" });
    const more = { KONG_FALLBACK_PROBE_TIMEOUT: "10" };
    const { status, stdout, stderr } = await runOnce(
      ["import", "--json"],
      stage.environment(controlPlane.address.port, more),
    );
    assert.equal(status, 0, stderr);
    const { outcome, why } = JSON.parse(stdout.toString());
    assert.equal(outcome, "withheld");
    assert.equal(why.code, "SOURCE_REFUSED");
    assert.match(why.message, /closed the session right after it was told version 3\.9\.1/);
    await assert.rejects(stat(stage.path("kong.json")), { code: "ENOENT" });
  });

  it("imports nothing where the control plane gives others a config, but not who lacks a plugin that the snapshot has", async () => {
    await using stage = await Stage.open();
    const config = Buffer.from('{"_format_version":"3.0","plugins":[{"name":"mine"}]}');
    const { metadata } = snapshotOf("saved");
    await stage.save({
      config,
      metadata: { ...metadata, sha256: sha256(config), bytes: config.length },
    });
    await using controlPlane = await stage.controlPlane({
      config: frameOf("a").frame,
      configured: ["mine"],
    });
    const environment = stage.environment(controlPlane.address.port, {
      KONG_FALLBACK_PROBE_TIMEOUT: "2",
    });
    const { status, stdout, log } = await runOnce(["import", "--json"], environment);
    assert.equal(status, 0);
    const { outcome, why } = JSON.parse(stdout.toString());
    assert.equal(outcome, "withheld");
    assert.match(why.message, /plugins mine$/);
    assert.ok(log.some((line) => line["level"] === "error"));
    await assert.rejects(stat(stage.path("kong.json")), { code: "ENOENT" });
    const named = await runOnce(["import", "--json"], {
      ...environment,
      KONG_PLUGINS: "bundled,mine",
    });
    assert.equal(JSON.parse(named.stdout.toString()).outcome, "live");
  });

  it("decides within seconds where nothing listens, however long it might ask", async () => {
    const { stage, port, configTable } = await exported();
    await using _ = stage;
    const more = { KONG_FALLBACK_PROBE_TIMEOUT: "600" };
    const { status } = await runOnce(["import"], stage.environment(port, more));
    assert.equal(status, 0);
    assert.deepEqual(await readFile(stage.path("kong.json")), configTable);
  });

  it("imports though the cluster certificate has expired: the data plane would be refused as well", async () => {
    const { stage, configTable } = await exported();
    await using _ = stage;
    await using expired = await Stage.open(await expiredClusterCertificate());
    await using controlPlane = await FakeControlPlane.listen({ tls: expired.tls });
    const environment = stage.environment(controlPlane.address.port, {
      KONG_CLUSTER_CERT: expired.path("cluster.crt"),
      KONG_CLUSTER_CERT_KEY: expired.path("cluster.key"),
    });
    const { status, log } = await runOnce(["import"], environment);
    assert.equal(status, 0);
    assert.match(JSON.stringify(log[0]), /"code":"SOURCE_TLS"/);
    assert.deepEqual(await readFile(stage.path("kong.json")), configTable);
  });

  it("writes the config to standard output for --to -", async () => {
    const { stage, port, configTable } = await exported();
    await using _ = stage;
    const { status, stdout } = await runOnce(["import", "--to", "-"], stage.environment(port));
    assert.equal(status, 0);
    assert.deepEqual(stdout, configTable);
    const both = await runOnce(["import", "--to", "-", "--json"], stage.environment(port));
    assert.equal(both.status, 2);
  });

  it("loads the config into a DB-less Kong over its Admin API", async () => {
    const { stage, port, configTable } = await exported();
    await using _ = stage;
    await using admin = await FakeKongAdmin.start();
    const { status } = await runOnce(["import", "--to", admin.url], stage.environment(port));
    assert.equal(status, 0);
    const [received, ...others] = admin.configs;
    assert.equal(others.length, 0);
    assert.equal(JSON.parse(received?.body.toString() ?? "").config, configTable.toString());
  });

  it("decides within seconds at a load balancer that has no control plane behind it", async () => {
    await using stage = await Stage.open();
    await stage.save(snapshotOf("saved"));
    const balancer = createServer((socket) => socket.destroy()).listen(0, "127.0.0.1");
    await once(balancer, "listening");
    const address = balancer.address();
    assert.ok(typeof address === "object" && address !== null);
    const more = { KONG_FALLBACK_PROBE_TIMEOUT: "600" };
    const { status } = await runOnce(["import"], stage.environment(address.port, more));
    assert.equal(status, 0);
    assert.deepEqual(await readFile(stage.path("kong.json")), snapshotOf("saved").config);
    balancer.close();
  });

  it("gives an empty Kong that refuses the newest snapshot the newest that it takes", async () => {
    await using stage = await Stage.open();
    for (const name of ["good", "bad"]) await stage.save(snapshotOf(name), undefined, true);
    await using admin = await FakeKongAdmin.start();
    admin.refuse = refusing("bad");
    const { status, stdout, log } = await runOnce(
      ["import", "--json", "--to", admin.url],
      stage.environment(NO_CONTROL_PLANE),
    );
    assert.equal(status, 0);
    const { outcome, refused, metadata } = JSON.parse(stdout.toString());
    assert.deepEqual([outcome, refused], ["imported", 1]);
    assert.equal(metadata.sha256, snapshotOf("good").metadata.sha256);
    assert.deepEqual(Buffer.from(admin.config ?? ""), snapshotOf("good").config);
    assert.equal(log.filter((line) => line["level"] === "error").length, 2);
  });

  it("takes the role from Kong's own variable, so that its compose files work", async () => {
    const { stage, port, configTable } = await exported();
    await using _ = stage;
    const more = {
      KONG_CLUSTER_FALLBACK_CONFIG_IMPORT: "on",
      KONG_DATABASE: "off",
      KONG_ROLE: "data_plane",
    };
    const { status } = await runOnce([], stage.environment(port, more));
    assert.equal(status, 0);
    assert.deepEqual(await readFile(stage.path("kong.json")), configTable);
  });
});

describe("kong-fallback import with a damaged snapshot", () => {
  it("takes the newest good one of the history, and says so", async () => {
    const { stage, port, configTable } = await exported();
    await using _ = stage;
    await truncate(stage.path("store", "3.9.1", "config.json"), 1000);
    const { status, log } = await runOnce(["import"], stage.environment(port));
    assert.equal(status, 0);
    assert.deepEqual(await readFile(stage.path("kong.json")), configTable);
    const said =
      "current snapshot cannot be used, the newest good one of the history is used instead";
    assert.equal(log.filter((line) => line["msg"] === said).length, 1);
  });
});

describe("kong-fallback import without a usable snapshot", () => {
  const KEPT = Buffer.from("what the target held before");

  async function refused(
    spoil: (stage: Stage) => Promise<Readonly<Record<string, string>> | undefined>,
  ): Promise<{ status: number | string | null; stderr: string }> {
    const { stage, port } = await exported();
    await using _ = stage;
    await writeFile(stage.path("kong.json"), KEPT);
    await rm(stage.path("store", "3.9.1", "history"), { recursive: true });
    const more = (await spoil(stage)) ?? {};
    const { status, stderr } = await runOnce(["import"], stage.environment(port, more));
    assert.deepEqual(await readFile(stage.path("kong.json")), KEPT, "the target is untouched");
    assert.ok(!stderr.includes("    at "), stderr);
    return { status, stderr };
  }

  const object = (stage: Stage) => stage.path("store", "3.9.1", "config.json");

  it("ends with 3 for a version nothing is saved for, and names those there are", async () => {
    const { status, stderr } = await refused(async () => ({ KONG_VERSION: "3.8.0" }));
    assert.equal(status, 3);
    assert.match(
      stderr,
      /no snapshot for Kong 3\.8\.0 .*there are some for 3\.9\.1 \[SNAPSHOT_MISSING\]/,
    );
    assert.match(stderr, /Try: {3}Set KONG_VERSION/);
  });

  it("ends with 3 for an object that is truncated by hand into no config at all", async () => {
    const { status, stderr } = await refused(async (stage) => {
      await truncate(object(stage), 1000);
      return undefined;
    });
    assert.equal(status, 3);
    assert.match(stderr, /is not a Kong configuration: .*\[SNAPSHOT_CORRUPT\]/);
  });

  it("ends with 3 for an object of which a single bit has flipped", async () => {
    const { status, stderr } = await refused(async (stage) => {
      const bytes = await readFile(object(stage));
      // Within a string, so that it is still a config by its form.
      const at = bytes.indexOf('"id":"') + 8;
      bytes[at] = (bytes[at] ?? 0) ^ 1;
      await writeFile(object(stage), bytes);
      return undefined;
    });
    assert.equal(status, 3);
    assert.match(stderr, /does not have the SHA-256 digest it was saved with \[SNAPSHOT_CORRUPT\]/);
  });

  it("ends with 3 for an empty object", async () => {
    const { status, stderr } = await refused(async (stage) => {
      await truncate(object(stage), 0);
      return undefined;
    });
    assert.equal(status, 3);
    assert.match(stderr, /is empty \[SNAPSHOT_CORRUPT\]/);
  });

  it("ends with 4 where the store cannot be used", async () => {
    const { status, stderr } = await refused(async (stage) => ({
      KONG_CLUSTER_FALLBACK_CONFIG_STORAGE: `file://${stage.path("cluster.crt")}`,
    }));
    assert.equal(status, 4);
    assert.match(stderr, /\[STORE_MISCONFIGURED\]/);
  });

  it("ends with 4 where the target is a directory, and 2 where its address is nonsense", async () => {
    const directory = await refused(async (stage) => {
      await mkdir(stage.path("folder"));
      return { KONG_FALLBACK_IMPORT_TO: `file:${stage.path("folder")}` };
    });
    assert.equal(directory.status, 4);
    assert.match(directory.stderr, /\[TARGET_UNWRITABLE\]/);
    const nonsense = await refused(async () => ({ KONG_FALLBACK_IMPORT_TO: "/kong.json" }));
    assert.equal(nonsense.status, 2);
    assert.match(nonsense.stderr, /KONG_FALLBACK_IMPORT_TO: .*file:/);
  });

  it("ends with 2 where export and import are both on", async () => {
    const { status, stderr } = await runOnce([], {
      KONG_CLUSTER_FALLBACK_CONFIG_EXPORT: "on",
      KONG_CLUSTER_FALLBACK_CONFIG_IMPORT: "on",
    });
    assert.equal(status, 2);
    assert.match(stderr, /both on/);
  });

  it("stops at once when it is told to, with the signal's status", async () => {
    const { stage, port } = await exported();
    await using _ = stage;
    const more = { KONG_FALLBACK_PROBE_TIMEOUT: "60" };
    const run = new Run(["import"], { ...stage.environment(port, more), KONG_LOG_LEVEL: "debug" });
    await run.logged(() => true);
    run.signal("SIGTERM");
    assert.equal(await run.ended(), 143);
    await assert.rejects(stat(stage.path("kong.json")), { code: "ENOENT" });
  });

  it("warns, and imports, where the metadata is lost", async () => {
    const { stage, port } = await exported();
    await using _ = stage;
    await writeFile(object(stage), configBytes("by hand"));
    const { status, log } = await runOnce(["import"], stage.environment(port));
    assert.equal(status, 0);
    assert.ok(
      log.some((line) => line["level"] === "warn" && /no metadata/.test(String(line["msg"]))),
    );
    assert.deepEqual(await readFile(stage.path("kong.json")), configBytes("by hand"));
  });
});
