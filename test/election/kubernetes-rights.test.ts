/** Who may elect by a Lease of a real kube-apiserver: the Role of deploy/kubernetes/exporter-rbac.yaml is enough, and no part of it can be left out. */

import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, it } from "vitest";
import { ElectionError } from "../../src/election/port.ts";
import type { ClusterCertificate } from "../../src/kong/cluster-certificate.ts";
import { certificateAuthority } from "../fakes/certificates.ts";
import { kubeApiserverCommands } from "../servers/kube-apiserver.ts";
import { titled, whyMissing } from "../servers/locate.ts";
import { base64, KubernetesStage, leaseDraft } from "./kubernetes-stage.ts";
import { LEASE_NAME } from "./kubernetes-world.ts";

const VERBS = ["get", "create", "update"];
const { signal } = new AbortController();

const missing = whyMissing(...kubeApiserverCommands);

describe.skipIf(missing)(
  titled("the rights on a kube-apiserver", missing),
  { timeout: 60_000 },
  () => {
    let stage: KubernetesStage;
    beforeAll(async () => {
      stage = await KubernetesStage.open(["kong", ...VERBS.map((verb) => `kong-without-${verb}`)]);
      await stage.prepare("kong");
    }, 180_000);
    afterAll(() => stage?.[Symbol.asyncDispose]());

    it("are enough with the documented Role to read, create and replace the Lease", async () => {
      const resource = await stage.podResource("kong", LEASE_NAME);
      assert.equal(await resource.read(signal), undefined);
      const created = await resource.write(leaseDraft(1), undefined, signal);
      const replaced = await resource.write(leaseDraft(2), created, signal);
      assert.equal((await resource.read(signal))?.version, replaced?.version);
    });

    it.each([
      ["get", /^could not read Lease .*\(403, .*cannot get resource/],
      ["create", /^could not create Lease .*\(403, .*cannot create resource/],
      ["update", /^could not replace Lease .*\(403, .*cannot update resource/],
    ] as const)("are too few without the verb %s, and the error says so", async (verb, message) => {
      const namespace = `kong-without-${verb}`;
      await stage.prepare(namespace, verb);
      const resource = await stage.podResource(namespace, LEASE_NAME);
      const useAll = async () => {
        await resource.read(signal);
        const created = await resource.write(leaseDraft(1), undefined, signal);
        await resource.write(leaseDraft(2), created, signal);
      };
      await assert.rejects(useAll(), (error) => {
        assert.ok(error instanceof ElectionError);
        assert.equal(error.code, "ELECTION_DENIED");
        assert.match(error.message, message);
        assert.match(error.hint ?? "", new RegExp(`Role in namespace ${namespace} with .*${verb}`));
        return true;
      });
    });

    it("do not reach another Lease with the documented Role", async () => {
      const resource = await stage.podResource("kong", "another");
      await assert.rejects(resource.read(signal), { code: "ELECTION_DENIED", message: /403/ });
    });

    it("may come with a client certificate", async () => {
      const client = await stage.authority.issue("exporter-with-certificate");
      const resource = await stage.kubeconfigResource(
        stage.authority.cert,
        certificateUser(client),
      );
      // Known, but without a Role.
      await assert.rejects(resource.read(signal), /403, .*"exporter-with-certificate" cannot get/);
    });

    it("are none for a client certificate or a token that the server does not know", async () => {
      const stranger = await certificateAuthority("Another Authority");
      const client = await stranger.issue("exporter-with-certificate");
      for (const user of [certificateUser(client), { token: "unknown" }]) {
        const resource = await stage.kubeconfigResource(stage.authority.cert, user);
        await assert.rejects(resource.read(signal), {
          code: "ELECTION_DENIED",
          message: /does not accept the credentials \(401/,
        });
      }
    });

    it("are not asked for where the server's certificate is not trusted", async () => {
      const stranger = await certificateAuthority("Another Authority");
      const resource = await stage.kubeconfigResource(stranger.cert, { token: "any" });
      await assert.rejects(resource.read(signal), {
        code: "ELECTION_DENIED",
        message: /a certificate is of no use \(.*unable to verify/,
      });
    });

    it("are of no use in a namespace that does not exist", async () => {
      const { token } = stage.server.admin;
      const resource = await stage.kubeconfigResource(stage.authority.cert, { token }, "nowhere");
      assert.equal(await resource.read(signal), undefined);
      await assert.rejects(resource.write(leaseDraft(1), undefined, signal), {
        code: "ELECTION_MISCONFIGURED",
        message: /there is no namespace nowhere/,
      });
    });
  },
);

function certificateUser({ cert, key }: ClusterCertificate): object {
  return { "client-certificate-data": base64(cert), "client-key-data": base64(key.reveal()) };
}
