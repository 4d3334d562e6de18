/** Which API server an exporter talks to, and what the operator is told where nothing says so. No error quotes a kubeconfig. */

import assert from "node:assert/strict";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { inspect } from "node:util";
import { afterAll, beforeAll, describe, it } from "vitest";
import { leaseName } from "../../src/election/kubernetes.ts";
import { findCluster, type KubernetesAccess } from "../../src/election/kubernetes-access.ts";
import { ApiLeaseResource } from "../../src/election/kubernetes-lease.ts";
import { ElectionError, type ElectionErrorCode } from "../../src/election/port.ts";
import { parseKongVersion } from "../../src/kong/version.ts";
import { freePort } from "../servers/process.ts";
import { kubeconfigText } from "./kubernetes-world.ts";

const SECRET = "c2VjcmV0LXRva2Vu";
const { signal } = new AbortController();
const service = { host: "10.0.0.1", port: 443 };

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "kubernetes-access-"));
});
afterAll(() => rm(directory, { recursive: true }));

async function file(name: string, content: string): Promise<string> {
  const path = join(directory, name);
  await writeFile(path, content);
  return path;
}

/** Asserts how `promise` is rejected, and that the error holds no secret. */
async function refused(
  promise: Promise<unknown>,
  message: RegExp,
  code: ElectionErrorCode,
): Promise<void> {
  const error = await promise.then(
    () => assert.fail("it succeeded"),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof ElectionError, inspect(error));
  assert.match(error.message, message);
  assert.equal(error.code, code);
  assert.equal(error.exitStatus, code === "ELECTION_MISCONFIGURED" ? 2 : 4);
  assert.ok(error.hint);
  assert.ok(!inspect(error, { depth: 9, showHidden: true }).includes(SECRET), inspect(error));
}

describe("the cluster", () => {
  it("is the kubeconfig's current one, in its context's namespace or the one that is set", async () => {
    const kubeconfig = await file("config", kubeconfigText("https://10.1.1.1:6443", SECRET));
    const found = await findCluster({ kubeconfig, service });
    assert.deepEqual([found.server, found.namespace], ["https://10.1.1.1:6443", "kong"]);
    assert.equal((await findCluster({ kubeconfig, namespace: "other" })).namespace, "other");
  });

  it("is the first file's where KUBECONFIG names several", async () => {
    const first = await file("first", kubeconfigText("https://10.1.1.1:6443", SECRET));
    const renamed = kubeconfigText("https://10.2.2.2:6443", SECRET).replaceAll('"test"', '"two"');
    const second = await file("second", renamed);
    const { server } = await findCluster({ kubeconfig: [first, second].join(delimiter) });
    assert.equal(server, "https://10.1.1.1:6443");
    const twice = findCluster({ kubeconfig: [first, first].join(delimiter) });
    await refused(twice, /has the name of one in a file before/, "ELECTION_MISCONFIGURED");
  });

  it("is that of the pod otherwise", async () => {
    await file("namespace", "kong\n");
    const access: KubernetesAccess = { service, serviceAccountDirectory: directory };
    const { server, namespace } = await findCluster(access);
    assert.deepEqual([server, namespace], ["https://10.0.0.1:443", "kong"]);
    const six = { host: "fd00::1", port: 443 };
    assert.equal((await findCluster({ ...access, service: six })).server, "https://[fd00::1]:443");
  });

  it.each<readonly [string, () => Promise<KubernetesAccess>, RegExp]>([
    ["nothing is set", async () => ({}), /^no Kubernetes API server is known/],
    [
      "the kubeconfig is missing",
      async () => ({ kubeconfig: join(directory, "absent") }),
      /absent: ENOENT/,
    ],
    [
      "the kubeconfig is no YAML",
      async () => ({ kubeconfig: await file("broken", `token: ${SECRET}\n  bad: [`) }),
      /broken: it is no kubeconfig$/,
    ],
    [
      "the kubeconfig has no context",
      async () => ({ kubeconfig: await file("empty", "clusters: []\nusers: []\ncontexts: []") }),
      /names no cluster/,
    ],
    [
      "the pod has no service account",
      async () => ({ service, serviceAccountDirectory: join(directory, "absent") }),
      /the pod's namespace is not known: .*ENOENT/,
    ],
  ])("is told to be unknown where %s", async (_, access, message) => {
    await refused(findCluster(await access()), message, "ELECTION_MISCONFIGURED");
  });
});

describe("a request", () => {
  const resource = async (user: object, server = "https://127.0.0.1:1") => {
    const config = { ...JSON.parse(kubeconfigText(server, "")), users: [{ name: "test", user }] };
    const kubeconfig = await file("user", JSON.stringify(config));
    return new ApiLeaseResource(await findCluster({ kubeconfig }), "lease");
  };

  it("tells that a file of the credentials is missing", async () => {
    const user = { "client-certificate": join(directory, "absent"), "client-key": "absent" };
    await refused(
      (await resource(user)).read(signal),
      /credentials could not be obtained \(ENOENT/,
      "ELECTION_DENIED",
    );
  });

  it("quotes nothing that the command of a kubeconfig prints", async () => {
    for (const [place_, script] of [`echo ${SECRET}`, `echo ${SECRET} >&2; exit 1`].entries()) {
      const command = await file(`command-${place_}`, `#!/bin/sh\n${script}\n`);
      await chmod(command, 0o755);
      const exec = { apiVersion: "client.authentication.k8s.io/v1", command };
      await refused(
        (await resource({ exec })).read(signal),
        /credentials could not be obtained$/,
        "ELECTION_DENIED",
      );
    }
  });

  it("tells that nobody listens, and may be tried again", async () => {
    const server = `https://127.0.0.1:${await freePort()}`;
    await assert.rejects((await resource({ token: SECRET }, server)).read(signal), {
      code: "ELECTION_UNAVAILABLE",
      retryable: true,
      message: new RegExp(
        `^could not read Lease kong/lease at ${server}: the server cannot be reached \\(connect ECONNREFUSED`,
      ),
    });
  });

  it("rejects with the reason of an abort", async () => {
    const reason = new Error("stopped");
    await assert.rejects(
      (await resource({ token: SECRET })).read(AbortSignal.abort(reason)),
      reason,
    );
  });
});

describe("the name of the Lease", () => {
  it.each([
    ["3.9.1", "exporter-3-9-1"],
    ["3.4.3.5", "exporter-3-4-3-5"],
    ["3.9.1-Enterprise.Edition", "exporter-3-9-1-enterprise-edition"],
  ])("has dashes for the dots of %s", (text, name) => {
    const version = parseKongVersion(text);
    assert.ok(version !== undefined);
    assert.equal(leaseName("exporter", version), name);
  });
});
