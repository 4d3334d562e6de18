import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";
import { describe, it } from "vitest";
import { expiredClusterCertificate } from "../fakes/certificates.ts";
import { CLOSE } from "../fakes/websocket-frames.ts";
import { Run, runOnce } from "./cli.ts";
import { captured, frameOf, Stage } from "./stage.ts";

async function metadataOf(stage: Stage, version = "3.9.1"): Promise<Record<string, string>> {
  const folder = stage.path("store", version, ".kong-fallback");
  const digest = createHash("sha256")
    .update(await stage.saved(version))
    .digest("hex");
  const name = (await readdir(folder)).find((file) => file.includes(digest));
  assert.ok(name, "the object has no companion");
  const companion = JSON.parse(await readFile(`${folder}/${name}`, "utf8"));
  return companion.metadata;
}

/** Undefined where nothing was saved yet. */
function savedSoFar(stage: Stage): Promise<Buffer | undefined> {
  return stage.saved().catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw error;
    return undefined;
  });
}

describe("kong-fallback export", () => {
  for (const [version, name] of [
    ["3.9.1", "empty"],
    ["3.9.1", "small"],
    ["3.9.1", "rich"],
    ["3.4.2", "rich"],
  ] as const) {
    it(`saves ${version}/${name}, recorded from a real Kong, byte for byte with a matching hash`, async () => {
      await using stage = await Stage.open();
      const { frame, configTable } = captured(version, name);
      await using controlPlane = await stage.controlPlane({ config: frame, version });
      const run = new Run(
        ["export"],
        stage.environment(controlPlane.address.port, { KONG_VERSION: version }),
      );
      await run.logged("snapshot saved");
      assert.deepEqual(await stage.saved(version), configTable);
      const metadata = await metadataOf(stage, version);
      assert.equal(metadata["hash-match"], "true");
      assert.equal(metadata["kong-version"], version);
      run.signal("SIGTERM");
      assert.equal(await run.ended(), 143);
    });
  }

  it("shows itself to the control plane as a data plane, and reports a hash only once it is saved", async () => {
    await using stage = await Stage.open();
    await using controlPlane = await stage.controlPlane({});
    const run = new Run(["export"], stage.environment(controlPlane.address.port));
    const session = await controlPlane.session();
    await session.received(2);
    const { frame } = frameOf("a");
    session.sendConfig(frame);
    const saved = await run.logged("snapshot saved");
    await session.received(3);
    assert.deepEqual(session.pings, ["0".repeat(32), saved["configHash"]]);
    assert.deepEqual(session.violations, []);
    const query = new URL(session.request.url ?? "", "wss://x").searchParams;
    assert.equal(query.get("node_version"), "3.9.1");
    assert.match(query.get("node_hostname") ?? "", /^kong-fallback-exporter\./);
    const nodeId = query.get("node_id");
    const started = await run.logged("exporter started");
    assert.deepEqual(started["nodeIds"], { "3.9.1": nodeId });
    run.signal("SIGTERM");
    await run.ended();
    assert.equal(session.frames.at(-1)?.opcode, CLOSE);

    const again = new Run(["export"], stage.environment(controlPlane.address.port));
    const second = await controlPlane.session(2);
    await second.received(2);
    const secondQuery = new URL(second.request.url ?? "", "wss://x").searchParams;
    assert.equal(secondQuery.get("node_id"), nodeId, "the node id survives a restart");
    assert.ok((await again.logged("snapshot found"))["configHash"] === saved["configHash"]);
    again.signal("SIGINT");
    assert.equal(await again.ended(), 130);
  });

  it("writes nothing but JSON lines to standard error, and nothing to standard output", async () => {
    await using stage = await Stage.open();
    const { frame } = captured("3.9.1", "small");
    await using controlPlane = await stage.controlPlane({ config: frame });
    const run = new Run(["export"], stage.environment(controlPlane.address.port));
    await run.logged("snapshot saved");
    run.signal("SIGTERM");
    await run.ended();
    assert.equal(run.log.length, run.stderr.length, run.stderr.join("\n"));
    assert.equal(run.stdout.length, 0);
  });

  it("keeps one backup for each version of a list, over one connection each", async () => {
    await using stage = await Stage.open();
    await using controlPlane = await stage.controlPlane();
    const more = { KONG_VERSION: "3.8.1,3.9.1" };
    const run = new Run(["export"], stage.environment(controlPlane.address.port, more));
    for (const version of ["3.8.1", "3.9.1"]) {
      await run.logged(
        (line) => line["msg"] === "snapshot saved" && line["kongVersion"] === version,
      );
      assert.deepEqual(await stage.saved(version), frameOf("a").configTable);
    }
    const ids = controlPlane.sessions.map(({ request }) =>
      new URL(request.url ?? "", "wss://x").searchParams.get("node_id"),
    );
    assert.equal(new Set(ids).size, 2);
    run.signal("SIGTERM");
    await run.ended();
  });

  it("saves what still waits for the export delay when it is told to stop", async () => {
    await using stage = await Stage.open();
    await using controlPlane = await stage.controlPlane();
    const more = { KONG_CLUSTER_FALLBACK_CONFIG_EXPORT_DELAY: "3600" };
    const run = new Run(["export"], stage.environment(controlPlane.address.port, more));
    await run.logged("snapshot saved");
    const last = frameOf("b");
    controlPlane.sessions[0]?.sendConfig(last.frame);
    await run.logged("config received", 2);
    assert.deepEqual(await stage.saved(), frameOf("a").configTable);
    run.signal("SIGTERM");
    assert.equal(await run.ended(), 143);
    assert.deepEqual(await stage.saved(), last.configTable);
  });

  it("is killed at any moment and leaves a whole object, which the next one goes on from", async () => {
    await using stage = await Stage.open();
    const { frame, configTable } = captured("3.9.1", "rich");
    await using controlPlane = await stage.controlPlane({ config: frame });
    // The lease of a killed one has to run out first.
    const more = { KONG_FALLBACK_LEASE_TTL: "1" };
    const environment = stage.environment(controlPlane.address.port, more);
    for (const moment of ["connected to control plane", "config received", "snapshot saved"]) {
      const run = new Run(["export"], environment);
      await run.logged((line) => line["msg"] === moment || line["msg"] === "snapshot found");
      run.signal("SIGKILL");
      assert.equal(await run.ended(), "SIGKILL");
      const saved = await savedSoFar(stage);
      if (moment === "snapshot saved" || saved !== undefined) assert.deepEqual(saved, configTable);
    }
    const run = new Run(["export"], environment);
    await run.logged(
      (line) => line["msg"] === "snapshot saved" || line["msg"] === "snapshot found",
    );
    assert.deepEqual(await stage.saved(), configTable);
    run.signal("SIGTERM");
    await run.ended();
  });

  it("reconnects after the control plane dropped it, and what is saved stays", async () => {
    await using stage = await Stage.open();
    await using controlPlane = await stage.controlPlane();
    const run = new Run(["export"], stage.environment(controlPlane.address.port));
    await run.logged("snapshot saved");
    controlPlane.sessions[0]?.drop();
    const lost = await run.logged("control plane not available, will try again");
    assert.equal((lost["err"] as { code: string }).code, "SOURCE_LOST");
    await (await controlPlane.session(2)).received(2);
    assert.deepEqual(await stage.saved(), frameOf("a").configTable);
    run.signal("SIGTERM");
    await run.ended();
  });

  const badFrames: readonly [string, Buffer, string][] = [
    ["not gzip", Buffer.from('{"type":"reconfigure"}'), "FRAME_NOT_GZIP"],
    ["truncated gzip", captured("3.9.1", "rich").frame.subarray(0, 3000), "FRAME_CORRUPT"],
    ["not JSON", gzipSync("hello"), "FRAME_NOT_JSON"],
    ["without config_table", gzipSync('{"type":"reconfigure"}'), "FRAME_NOT_CONFIG"],
    [
      "with a config_table that is no object",
      gzipSync('{"type":"reconfigure","config_table":[]}'),
      "FRAME_NOT_CONFIG",
    ],
    ["a decompression bomb", gzipSync(Buffer.alloc(8_000_000)), "FRAME_TOO_LARGE"],
  ];
  it("refuses bad frames one after the other, keeps what is saved, and saves the next good one", async () => {
    await using stage = await Stage.open();
    await using controlPlane = await stage.controlPlane();
    const more = { KONG_FALLBACK_MAX_CONFIG_BYTES: "4000000" };
    const run = new Run(["export"], stage.environment(controlPlane.address.port, more));
    await run.logged("snapshot saved");
    for (const [index, [what, frame, code]] of badFrames.entries()) {
      controlPlane.sessions[0]?.sendConfig(frame);
      const message = "config refused, what is saved stays as it is";
      const refused = await run.logged(message, index + 1);
      assert.equal((refused["err"] as { code: string }).code, code, what);
      assert.deepEqual(await stage.saved(), frameOf("a").configTable);
    }
    controlPlane.sessions[0]?.sendConfig(frameOf("b").frame);
    await run.logged("snapshot saved", 2);
    assert.deepEqual(await stage.saved(), frameOf("b").configTable);
    assert.equal(controlPlane.sessions.length, 1, "over one and the same session");
    run.signal("SIGTERM");
    await run.ended();
  });

  it("names KONG_CLUSTER_MAX_PAYLOAD for a frame above the cap", async () => {
    await using stage = await Stage.open();
    await using controlPlane = await stage.controlPlane({ config: Buffer.alloc(2_000_000) });
    const more = { KONG_CLUSTER_MAX_PAYLOAD: "1048576" };
    const run = new Run(["export"], stage.environment(controlPlane.address.port, more));
    const { err } = await run.logged("control plane refuses, an operator must act");
    assert.equal((err as { code: string }).code, "SOURCE_FRAME_TOO_LARGE");
    assert.match((err as { hint: string }).hint, /KONG_CLUSTER_MAX_PAYLOAD/);
    run.signal("SIGTERM");
    await run.ended();
  });

  it("keeps the config in memory while the store is unusable, and saves it once it is usable", async () => {
    await using stage = await Stage.open();
    await using controlPlane = await stage.controlPlane();
    // The store's directory is a file at first.
    await writeFile(stage.path("store"), "in the way");
    const run = new Run(["export"], stage.environment(controlPlane.address.port));
    const failed = await run.logged("election fails, an operator must act");
    assert.equal((failed["err"] as { code: string }).code, "STORE_MISCONFIGURED");
    await rm(stage.path("store"));
    await run.logged("snapshot saved");
    assert.deepEqual(await stage.saved(), frameOf("a").configTable);
    run.signal("SIGTERM");
    assert.equal(await run.ended(), 143);
  });

  it("ends with 1 and says what is lost when the store stays unusable until the deadline", async () => {
    await using stage = await Stage.open();
    await using controlPlane = await stage.controlPlane();
    const more = {
      KONG_CLUSTER_FALLBACK_CONFIG_STORAGE: `file://${stage.path("cluster.crt")}`,
      KONG_FALLBACK_SHUTDOWN_TIMEOUT: "0.3",
    };
    const run = new Run(["export"], stage.environment(controlPlane.address.port, more));
    await run.logged("config received");
    run.signal("SIGTERM");
    assert.equal(await run.ended(), 1);
    assert.ok(
      run.log.some((line) => line["msg"] === "stopped before the newest config could be saved"),
    );
  });

  it("says that a certificate has expired, and when", async () => {
    await using stage = await Stage.open(await expiredClusterCertificate());
    await using controlPlane = await stage.controlPlane({});
    const run = new Run(["export"], stage.environment(controlPlane.address.port));
    const { err } = await run.logged("control plane refuses, an operator must act");
    assert.equal((err as { code: string }).code, "SOURCE_TLS");
    assert.match((err as { message: string }).message, /expired/);
    run.signal("SIGTERM");
    await run.ended();
  });

  it("says that the control plane refuses the version", async () => {
    await using stage = await Stage.open();
    await using controlPlane = await stage.controlPlane({ version: "3.9.1" });
    const run = new Run(
      ["export"],
      stage.environment(controlPlane.address.port, { KONG_VERSION: "3.10.0" }),
    );
    const { err } = await run.logged("control plane refuses, an operator must act");
    assert.equal((err as { code: string }).code, "SOURCE_REFUSED");
    assert.match((err as { hint: string }).hint, /KONG_VERSION/);
    run.signal("SIGTERM");
    await run.ended();
  });

  it("answers probes and scrapes while it runs", async () => {
    await using stage = await Stage.open();
    await using controlPlane = await stage.controlPlane();
    const more = { KONG_FALLBACK_STATUS_LISTEN: "127.0.0.1:0" };
    const run = new Run(["export"], stage.environment(controlPlane.address.port, more));
    const { port } = await run.logged("status server listens");
    await run.logged("snapshot saved");
    const ready = await fetch(`http://127.0.0.1:${port}/readyz`);
    assert.equal(ready.status, 200);
    const metrics = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
    assert.match(metrics, /kong_fallback_control_plane_connected\{kong_version="3\.9\.1"\} 1/);
    run.signal("SIGTERM");
    assert.equal(await run.ended(), 143);
  });
});

describe("kong-fallback export with settings that cannot work", () => {
  it("names everything that is missing at once and ends with 2", async () => {
    const { status, stderr } = await runOnce(["export"], {});
    assert.equal(status, 2);
    for (const name of ["CONTROL_PLANE", "CERT", "CERT_KEY", "FALLBACK_CONFIG_STORAGE"]) {
      assert.match(stderr, new RegExp(`KONG_CLUSTER_${name}: is not set`));
    }
    assert.match(stderr, /KONG_VERSION: is not set/);
    assert.ok(!stderr.includes("    at "), "no stack trace");
  });

  it("names the certificate that is missing, and the pair that does not belong together", async () => {
    await using stage = await Stage.open();
    await using other = await Stage.open();
    const environment = stage.environment(1);
    const missing = await runOnce(["export"], {
      ...environment,
      KONG_CLUSTER_CERT: "/nowhere/cluster.crt",
    });
    assert.equal(missing.status, 2);
    assert.match(missing.stderr, /KONG_CLUSTER_CERT=\/nowhere\/cluster\.crt: cannot be read/);
    const wrong = await runOnce(["export"], {
      ...environment,
      KONG_CLUSTER_CERT_KEY: other.path("cluster.key"),
    });
    assert.equal(wrong.status, 2);
    assert.match(wrong.stderr, /the key does not belong to/);
  });
});
