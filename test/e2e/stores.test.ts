import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { describe, it } from "vitest";
import { leaseName } from "../../src/election/kubernetes.ts";
import { LEASES } from "../election/kubernetes-client.ts";
import { KubernetesStage } from "../election/kubernetes-stage.ts";
import { kongVersion } from "../fakes/config.ts";
import { FakeGcsServer } from "../fakes/gcs-server.ts";
import { FakeS3, type Fault } from "../fakes/s3-server.ts";
import { startAzurite } from "../servers/azurite.ts";
import { startFakeGcs } from "../servers/fake-gcs.ts";
import { kubeApiserverCommands } from "../servers/kube-apiserver.ts";
import { titled, whyMissing } from "../servers/locate.ts";
import { startMinio } from "../servers/minio.ts";
import { containerOf } from "../store/azure-support.ts";
import { createBucket } from "../store/s3-support.ts";
import { Run, runOnce } from "./cli.ts";
import { captured, Stage } from "./stage.ts";

const SECRET = "fake-secret-key-of-the-test";

function s3Environment(endpoint: string): Record<string, string> {
  return {
    KONG_CLUSTER_FALLBACK_CONFIG_STORAGE: "s3://bucket/some/prefix",
    AWS_CONFIG_STORAGE_ENDPOINT: endpoint,
    AWS_REGION: "us-east-1",
    AWS_ACCESS_KEY_ID: "fake-key-id",
    AWS_SECRET_ACCESS_KEY: SECRET,
    AWS_EC2_METADATA_DISABLED: "true",
  };
}

async function roundTrip(environment: Readonly<Record<string, string>>): Promise<void> {
  await using stage = await Stage.open();
  const { frame, configTable } = captured("3.9.1", "rich");
  const controlPlane = await stage.controlPlane({ config: frame });
  const settings = stage.environment(controlPlane.address.port, environment);
  const run = new Run(["export"], settings);
  const saved = await run.logged("snapshot saved");
  assert.match(String(saved["key"]), /\/3\.9\.1\/config\.json$/);
  const message = "store honours conditional writes";
  assert.equal((await run.logged(message))["support"], "honoured");
  const raw = run.stderr.find((line) => line.includes(message)) ?? "";
  assert.equal(raw.split('"store":').length, 2, `one store: ${raw}`);
  run.signal("SIGTERM");
  assert.equal(await run.ended(), 143);
  assert.equal(run.log.length, run.stderr.length, "an SDK's notice is noise to the user");
  await controlPlane[Symbol.asyncDispose]();
  const { status, stderr } = await runOnce(["import"], settings);
  assert.equal(status, 0, stderr);
  assert.deepEqual(await readFile(stage.path("kong.json")), configTable);
}

describe("the main job over a store's own protocol", () => {
  it("saves to S3 and restores from it", async () => {
    await using s3 = await FakeS3.start();
    await roundTrip(s3Environment(s3.endpoint));
    assert.ok(s3.buckets.get("bucket")?.has("some/prefix/3.9.1/config.json"));
  });

  it("saves to Google Cloud Storage and restores from it", async () => {
    await using gcs = await FakeGcsServer.start("bucket");
    await roundTrip({
      KONG_CLUSTER_FALLBACK_CONFIG_STORAGE: "gs://bucket/some/prefix",
      STORAGE_EMULATOR_HOST: gcs.endpoint,
    });
  });
});

const noAzurite = whyMissing("azurite");

describe.skipIf(noAzurite)(titled("the main job over Azurite", noAzurite), () => {
  it("saves to it and restores from it", async () => {
    await using azurite = await startAzurite();
    await containerOf(azurite).create();
    await roundTrip({
      KONG_CLUSTER_FALLBACK_CONFIG_STORAGE: `azure://${azurite.account}/backups/some/prefix`,
      AZURE_STORAGE_ENDPOINT: azurite.endpoint,
      AZURE_STORAGE_KEY: azurite.accountKey,
    });
  });
});

const noFakeGcs = whyMissing("fake-gcs-server");

describe.skipIf(noFakeGcs)(titled("the main job over fake-gcs-server", noFakeGcs), () => {
  it("saves to it and restores from it", async () => {
    await using server = await startFakeGcs();
    const created = await fetch(`${server.endpoint}/storage/v1/b?project=test`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ name: "backups" }),
    });
    assert.equal(created.status, 200);
    await roundTrip({
      KONG_CLUSTER_FALLBACK_CONFIG_STORAGE: "gs://backups/some/prefix",
      STORAGE_EMULATOR_HOST: server.endpoint,
    });
  });
});

const noMinio = whyMissing("minio");

describe.skipIf(noMinio)(titled("the main job over MinIO", noMinio), () => {
  it("saves to it and restores from it", async () => {
    await using minio = await startMinio();
    await createBucket(minio, "bucket");
    await roundTrip({
      ...s3Environment(minio.endpoint),
      AWS_ACCESS_KEY_ID: minio.accessKeyId,
      AWS_SECRET_ACCESS_KEY: minio.secretAccessKey,
    });
  });
});

const noKubernetes = whyMissing(...kubeApiserverCommands);

describe.skipIf(noKubernetes)(titled("an election by a kube-apiserver", noKubernetes), () => {
  it("lets the program save", async () => {
    await using kubernetes = await KubernetesStage.open(["kong"]);
    await kubernetes.prepare("kong");
    const { authority, server } = kubernetes;
    const user = { token: server.admin.token };
    await using stage = await Stage.open();
    await using controlPlane = await stage.controlPlane();
    const settings = stage.environment(controlPlane.address.port, {
      KONG_FALLBACK_ELECTION: "kubernetes",
      KUBECONFIG: await kubernetes.kubeconfig(authority.cert, user, "kong"),
    });
    await using run = new Run(["export"], settings);
    await run.logged("snapshot saved");
    run.signal("SIGTERM");
    assert.equal(await run.ended(), 143);
    const lease = await kubernetes.admin.ask<{
      readonly spec: { readonly holderIdentity: string };
    }>("GET", `${LEASES}/${leaseName("kong-fallback-exporter", kongVersion("3.9.1"))}`);
    assert.equal(lease.spec.holderIdentity, "");
  }, 120_000);
});

describe("import from an S3 that does not serve", () => {
  const error = (status: number, code: string, more: object = {}): Fault => ({
    kind: "error",
    status,
    code,
    ...more,
  });
  const cases: readonly [string, Fault, string, RegExp][] = [
    ["a missing bucket", error(404, "NoSuchBucket"), "STORE_MISCONFIGURED", /bucket/],
    [
      "access denied",
      error(403, "AccessDenied"),
      "STORE_DENIED",
      /s3:GetObject|policy|permission/i,
    ],
    [
      "a wrong secret key",
      error(403, "SignatureDoesNotMatch"),
      "STORE_DENIED",
      /AWS_SECRET_ACCESS_KEY|secret/i,
    ],
    ["a skewed clock", error(403, "RequestTimeTooSkewed"), "STORE_MISCONFIGURED", /clock/i],
    ["throttling", error(503, "SlowDown"), "STORE_UNAVAILABLE", /./],
    [
      "something that is no S3 server",
      {
        kind: "raw",
        status: 200,
        headers: { "content-type": "text/html" },
        body: "<html>hello</html>",
      },
      "STORE_MISCONFIGURED",
      /no S3 server answers there.*AWS_CONFIG_STORAGE_ENDPOINT/s,
    ],
    [
      "a web server that has no such page",
      {
        kind: "raw",
        status: 404,
        headers: { "content-type": "text/html" },
        body: "<html>404</html>",
      },
      "STORE_MISCONFIGURED",
      /AWS_CONFIG_STORAGE_ENDPOINT|S3 server/,
    ],
    ["a truncated body", { kind: "body", bytes: 10, after: "reset" }, "STORE_UNAVAILABLE", /./],
  ];
  for (const [what, fault, code, says] of cases) {
    it(`tells ${what} in one message with a hint, no stack and no secret`, async () => {
      await using stage = await Stage.open();
      await using s3 = await FakeS3.start();
      s3.buckets.get("bucket")?.set("some/prefix/3.9.1/config.json", {
        body: captured("3.9.1", "small").configTable,
        metadata: {},
        etag: '"e"',
      } as never);
      s3.fault = () => fault;
      const { status, stderr } = await runOnce(
        ["import"],
        stage.environment(1, s3Environment(s3.endpoint)),
      );
      assert.equal(status, 4, stderr);
      assert.match(stderr, new RegExp(`\\[${code}\\]`));
      assert.match(stderr, says);
      assert.match(stderr, /\n {2}Try: {3}\S/);
      assert.ok(!stderr.includes("    at ") && !stderr.includes(SECRET), stderr);
    });
  }

  it("tells a server that is not there", async () => {
    await using stage = await Stage.open();
    const s3 = await FakeS3.start();
    await s3[Symbol.asyncDispose]();
    const { status, stderr } = await runOnce(
      ["import"],
      stage.environment(1, s3Environment(s3.endpoint)),
    );
    assert.equal(status, 4);
    assert.match(stderr, /ECONNREFUSED.*\[STORE_UNAVAILABLE\]/s);
  });
});
