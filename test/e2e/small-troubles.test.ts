/** What is not the config itself keeps no config from being handed over: state directory, log, report, home directory, status server. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, open, readFile } from "node:fs/promises";
import { createServer } from "node:net";
import { text } from "node:stream/consumers";
import { describe, it } from "vitest";
import { snapshotOf } from "../fakes/config.ts";
import { makeFifo } from "../fakes/fifo.ts";
import { FakeS3 } from "../fakes/s3-server.ts";
import { CLI, Run, runOnce } from "./cli.ts";
import { HASTE } from "./sidecar.ts";
import { Stage } from "./stage.ts";

/** Nothing listens there. */
const NO_CONTROL_PLANE = 9;
const SAVED = snapshotOf("saved");
/** Takes nothing, as a full disk. */
const FULL = "/dev/full";

async function savedStage(): Promise<Stage> {
  const stage = await Stage.open();
  await stage.save(SAVED);
  return stage;
}

/** With one of its streams on a full disk: the exit status, and what it wrote to standard error, if that is not it. */
async function runOnFullDisk(
  argv: readonly string[],
  stream: "stdout" | "stderr",
  environment: Readonly<Record<string, string>>,
): Promise<{ readonly status: unknown; readonly stderr: string }> {
  await using full = await open(FULL, "w");
  const stdio = stream === "stdout" ? ["ignore", full.fd, "pipe"] : ["ignore", "ignore", full.fd];
  const { PATH = "" } = process.env;
  const env = { PATH, ...environment };
  const child = spawn(process.execPath, [CLI, ...argv], {
    env,
    stdio: stdio as ("pipe" | number)[],
  });
  const said = child.stderr === null ? "" : text(child.stderr);
  const [status] = await once(child, "close");
  return { status, stderr: await said };
}

describe("kong-fallback import hands the config over", () => {
  it("though the state directory is a file", async () => {
    await using stage = await savedStage();
    const more = { KONG_FALLBACK_STATE_DIR: stage.path("cluster.crt") };
    const { status, stderr } = await runOnce(["import"], stage.environment(NO_CONTROL_PLANE, more));
    assert.equal(status, 0, stderr);
    assert.deepEqual(await readFile(stage.path("kong.json")), SAVED.config);
  });

  it.skipIf(!existsSync(FULL))("though nobody takes its log", async () => {
    await using stage = await savedStage();
    const { status } = await runOnFullDisk(
      ["import"],
      "stderr",
      stage.environment(NO_CONTROL_PLANE),
    );
    assert.equal(status, 0);
    assert.deepEqual(await readFile(stage.path("kong.json")), SAVED.config);
  });

  it.skipIf(!existsSync(FULL))(
    "though nobody takes its report, which is then in the log",
    async () => {
      await using stage = await savedStage();
      const environment = stage.environment(NO_CONTROL_PLANE);
      const { status, stderr } = await runOnFullDisk(["import", "--json"], "stdout", environment);
      assert.equal(status, 0, stderr);
      assert.deepEqual(await readFile(stage.path("kong.json")), SAVED.config);
      assert.match(stderr, /"report":\{"outcome":"imported".*"msg":"report could not be written"/);
      assert.ok(!stderr.includes("    at "), stderr);
    },
  );

  it("though files are missing that neither its store nor its target needs", async () => {
    await using stage = await savedStage();
    const more = {
      AWS_CA_BUNDLE: stage.path("missing.pem"),
      KONG_FALLBACK_ADMIN_CERT: stage.path("missing.crt"),
      KONG_FALLBACK_ADMIN_CERT_KEY: stage.path("missing.key"),
    };
    const { status, stderr } = await runOnce(["import"], stage.environment(NO_CONTROL_PLANE, more));
    assert.equal(status, 0, stderr);
    assert.deepEqual(await readFile(stage.path("kong.json")), SAVED.config);
  });

  it("though one of several stores can never be used, and says which", async () => {
    await using stage = await savedStage();
    const environment = stage.environment(NO_CONTROL_PLANE, {
      KONG_CLUSTER_FALLBACK_CONFIG_STORAGE: `s3://bucket/prefix,file://${stage.path("store")}`,
      AWS_CA_BUNDLE: stage.path("missing.pem"),
    });
    const { status, stderr, log } = await runOnce(["import"], environment);
    assert.equal(status, 0, stderr);
    assert.deepEqual(await readFile(stage.path("kong.json")), SAVED.config);
    const said = log.find((line) => line["msg"] === "one of several stores cannot be used");
    assert.equal(said?.["store"], "s3://bucket/prefix");
    const only = { ...environment, KONG_CLUSTER_FALLBACK_CONFIG_STORAGE: "s3://bucket/prefix" };
    assert.equal((await runOnce(["import"], only)).status, 2);
  });

  it("from S3 though the user has no home directory", async () => {
    await using stage = await savedStage();
    await using s3 = await FakeS3.start();
    s3.buckets.get("bucket")?.set("3.9.1/config.json", {
      body: await stage.saved(),
      etag: '"1"',
      headers: {},
      putAt: new Date(),
    });
    const { status, stderr } = await runOnce(
      ["import"],
      stage.environment(NO_CONTROL_PLANE, {
        KONG_CLUSTER_FALLBACK_CONFIG_STORAGE: "s3://bucket",
        AWS_CONFIG_STORAGE_ENDPOINT: s3.endpoint,
        AWS_REGION: "us-east-1",
        AWS_ACCESS_KEY_ID: "fake-key-id",
        AWS_SECRET_ACCESS_KEY: "fake-secret-key",
        NODE_OPTIONS: HOMELESS,
      }),
    );
    assert.equal(status, 0, stderr);
    assert.deepEqual(await readFile(stage.path("kong.json")), SAVED.config);
  });
});

/** For NODE_OPTIONS: no entry in /etc/passwd, as for a user whom only the container runtime knows. */
const HOMELESS = `--import data:text/javascript,${encodeURIComponent(`
import os from "node:os";
import { syncBuiltinESMExports } from "node:module";
os.homedir = () => {
  if (process.env.HOME) return process.env.HOME;
  const said = "A system error occurred: uv_os_homedir returned ENOENT (no such file or directory)";
  throw Object.assign(new Error(said), { code: "ERR_SYSTEM_ERROR" });
};
syncBuiltinESMExports();
`)}`;

describe("kong-fallback keys generate", () => {
  it("ends where no directory can be made, as below /proc", async () => {
    const argv = ["keys", "generate", "--signing", "--out", "/proc/kong-fallback/keys"];
    const { status, stderr } = await runOnce(argv, {});
    assert.equal(status, 2, stderr);
    assert.match(stderr, /\[KEYS_NOT_WRITTEN\]/);
  });
});

describe("kong-fallback --help", () => {
  it.skipIf(!existsSync(FULL))("says why nobody can read it, and no more", async () => {
    const { status, stderr } = await runOnFullDisk(["--help"], "stdout", {});
    assert.equal(status, 4);
    assert.match(
      stderr,
      /^kong-fallback: could not write to standard output: ENOSPC.*\[TARGET_UNWRITABLE\]\n/,
    );
  });
});

describe.each([
  ["serve", "fallback control plane listens"],
  ["export", "exporter started"],
])("kong-fallback %s goes on", (command, started) => {
  async function assertStarts(
    stage: Stage,
    changes: Readonly<Record<string, string>>,
    said: string,
  ): Promise<void> {
    const environment = stage.environment(NO_CONTROL_PLANE, { ...HASTE, ...changes });
    await using run = new Run([command], environment);
    assert.match(String((await run.logged(said))["level"]), /warn|error/);
    await run.logged(started);
    run.signal("SIGTERM");
    const status = await run.ended();
    assert.ok(status === 143 || status === "SIGTERM", `${status}: ${run.stderr.join("\n")}`);
  }

  const NO_STATE = "state directory cannot be used, the node id is derived from the host name";

  it("though the state directory cannot be used", async () => {
    await using stage = await savedStage();
    await mkdir(stage.path("state", "node-id"), { recursive: true });
    for (const path of [stage.path("state"), stage.path("cluster.crt"), "/proc/kong-fallback"]) {
      await assertStarts(stage, { KONG_FALLBACK_STATE_DIR: path }, NO_STATE);
    }
  });

  it("though the state directory hangs", async () => {
    await using stage = await savedStage();
    await mkdir(stage.path("state"));
    await using _ = await makeFifo(stage.path("state", "node-id"));
    await assertStarts(stage, {}, NO_STATE);
  });

  it("though somebody else listens where it would tell of itself", async () => {
    await using stage = await savedStage();
    const holder = createServer().listen(0, "127.0.0.1");
    await once(holder, "listening");
    const address = holder.address();
    assert.ok(typeof address === "object" && address !== null);
    const taken = { KONG_FALLBACK_STATUS_LISTEN: `127.0.0.1:${address.port}` };
    await assertStarts(
      stage,
      taken,
      "status server cannot listen, going on without it and trying again",
    );
    holder.close();
  });
});

describe("kong-fallback serve", () => {
  it("takes the snapshot from the store though the state directory hangs, and leaves that alone", async () => {
    await using stage = await savedStage();
    await mkdir(stage.path("state"));
    await using _ = await makeFifo(stage.path("state", "node-id"));
    const environment = stage.environment(NO_CONTROL_PLANE, HASTE);
    await using run = new Run(["serve"], environment);
    await run.logged("snapshot taken from the store");
    assert.ok(!existsSync(stage.path("state", "snapshots")));
  });

  it("gives data planes the snapshot though it cannot keep it", async () => {
    await using stage = await savedStage();
    const environment = stage.environment(NO_CONTROL_PLANE, {
      ...HASTE,
      KONG_FALLBACK_STATE_DIR: stage.path("cluster.crt"),
    });
    await using run = new Run(["serve"], environment);
    await run.logged(
      "config not kept on the local disk, will try again; it is served all the same",
    );
    assert.equal(run.child.exitCode, null);
  });
});
