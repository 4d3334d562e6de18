import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { describe, it } from "vitest";
import { clusterCertificate } from "../fakes/certificates.ts";
import { Run, runOnce } from "./cli.ts";
import { Gate, HASTE, Sidecar } from "./sidecar.ts";
import { Stage } from "./stage.ts";

/** Starts `serve` with these changes; what it says on standard error as it ends with 2, leaving nothing open. */
async function refusal(stage: Stage, changes: Readonly<Record<string, string>>): Promise<string> {
  await using run = new Run(["serve"], stage.environment(1, { ...HASTE, ...changes }));
  const outcome = await run.logged("fallback control plane listens").then(
    () => "it started",
    () => run.ended(),
  );
  const said = run.stderr.join("\n");
  assert.equal(outcome, 2, said);
  assert.ok(!said.includes("still open"), said);
  return said;
}

describe("kong-fallback serve refuses, with exit status 2,", () => {
  it("to start without what it needs, naming all of it", async () => {
    const { status, stderr } = await runOnce(["serve"], {});
    assert.equal(status, 2);
    assert.match(stderr, /3 settings cannot be used.*\[SETTINGS_INVALID\]/s);
    for (const name of ["CONTROL_PLANE", "CERT", "CERT_KEY"]) {
      assert.match(stderr, new RegExp(`KONG_CLUSTER_${name}: is not set, and serve needs it`));
    }
  });

  it("to listen for data planes where somebody else does", async () => {
    await using stage = await Stage.open();
    const holder = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => holder.once("listening", resolve));
    const address = holder.address();
    assert.ok(typeof address === "object" && address !== null);
    const taken = `127.0.0.1:${address.port}`;
    const said = await refusal(stage, { KONG_FALLBACK_LISTEN: taken });
    assert.match(said, new RegExp(`cannot listen on ${taken} for .*EADDRINUSE.*LISTEN_FAILED`));
    holder.close();
  });

  it("to stand before itself, however that is written", async () => {
    await using stage = await Stage.open();
    const listening = { KONG_FALLBACK_LISTEN: "0.0.0.0:8005" };
    for (const own of ["127.0.0.1:8005", "localhost:8005"]) {
      const said = await refusal(stage, { ...listening, KONG_CLUSTER_CONTROL_PLANE: own });
      assert.match(said, new RegExp(`KONG_CLUSTER_CONTROL_PLANE: is ${own}, which is where serve`));
      assert.match(said, /names the real control plane/);
    }
  });

  it("certificates that do not go together, or are not there", async () => {
    await using stage = await Stage.open();
    const other = await clusterCertificate();
    await writeFile(stage.path("other.key"), other.key.reveal());
    const key = { KONG_CLUSTER_CERT_KEY: stage.path("other.key") };
    assert.match(await refusal(stage, key), /other\.key: the key does not belong to/);
    const missing = { KONG_CLUSTER_CERT: stage.path("missing.crt") };
    assert.match(await refusal(stage, missing), /missing\.crt: cannot be read: ENOENT/);
  });

  it("mode pki without an authority, and half a certificate of its own", async () => {
    await using stage = await Stage.open();
    const pki = { KONG_CLUSTER_MTLS: "pki" };
    assert.match(await refusal(stage, pki), /KONG_CLUSTER_CA_CERT: is not set, and serve with/);
    const half = {
      ...pki,
      KONG_CLUSTER_CA_CERT: stage.path("cluster.crt"),
      KONG_FALLBACK_SERVER_CERT: stage.path("cluster.crt"),
    };
    assert.match(await refusal(stage, half), /KONG_FALLBACK_SERVER_CERT_KEY: is not set/);
    const shared = { KONG_FALLBACK_SERVER_CERT: stage.path("cluster.crt") };
    assert.match(await refusal(stage, shared), /works only with KONG_CLUSTER_MTLS=pki/);
  });

  it("a store that could never work", async () => {
    await using stage = await Stage.open();
    const storage = { KONG_CLUSTER_FALLBACK_CONFIG_STORAGE: "s3://bucket/prefix" };
    const said = await refusal(stage, { ...storage, AWS_CA_BUNDLE: stage.path("missing.pem") });
    assert.match(said, /AWS_CA_BUNDLE: .*missing\.pem cannot be read/);
  });
});

describe("kong-fallback serve does not refuse", () => {
  it("a store that fails later: it says that an operator must act, and is not ready", async () => {
    await using stage = await Stage.open();
    await using gate = await Gate.shut();
    await writeFile(stage.path("store"), "a file where a directory is needed");
    await using sidecar = await Sidecar.start(stage, gate.port);
    const said = await sidecar.run.logged(
      "store gives no snapshot, an operator must act; what is there is served",
    );
    assert.equal((said["err"] as { code: string }).code, "STORE_MISCONFIGURED");
    await sidecar.run.logged("control plane lost, and there is no snapshot for new data planes");
    assert.equal((await sidecar.get("/readyz")).status, 503);
    assert.equal(await sidecar.stop(), 143);
  });

  it("both roles on, when it is named", async () => {
    await using stage = await Stage.open();
    await using gate = await Gate.shut();
    await using sidecar = await Sidecar.start(stage, gate.port, {
      KONG_CLUSTER_FALLBACK_CONFIG_EXPORT: "on",
      KONG_CLUSTER_FALLBACK_CONFIG_IMPORT: "on",
    });
    assert.equal((await sidecar.get("/livez")).status, 200);
    sidecar.run.signal("SIGINT");
    assert.equal(await sidecar.run.ended(), 130);
  });
});
