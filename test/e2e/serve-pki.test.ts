import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { describe, it } from "vitest";
import { certificateAuthority, pkiTls } from "../fakes/certificates.ts";
import { snapshotOf, updateOf } from "../fakes/config.ts";
import { FakeControlPlane } from "../fakes/control-plane.ts";
import { Gate, Sidecar } from "./sidecar.ts";
import { frameOf, Stage } from "./stage.ts";

const hashOf = (name: string) => updateOf(name).configHash ?? "";

describe("kong-fallback serve with KONG_CLUSTER_MTLS=pki", () => {
  it("shows its own certificate, lets in whom the authority signed, and reaches the control plane as a client", async () => {
    const authority = await certificateAuthority();
    const client = await authority.issue("sidecar.client");
    await using stage = await Stage.open(client);
    const server = await authority.issue("fallback.internal");
    await writeFile(stage.path("ca.crt"), authority.cert);
    await writeFile(stage.path("server.crt"), server.cert);
    await writeFile(stage.path("server.key"), server.key.reveal());
    await stage.save(snapshotOf("saved"));
    await using controlPlane = await FakeControlPlane.listen({
      tls: await pkiTls(authority.issue("127.0.0.1"), authority.cert),
      config: frameOf("live", Math.floor(Date.now() / 1000)).frame,
    });
    await using gate = await Gate.shut();
    await using sidecar = await Sidecar.start(stage, gate.port, {
      KONG_CLUSTER_MTLS: "pki",
      KONG_CLUSTER_CA_CERT: stage.path("ca.crt"),
      KONG_FALLBACK_SERVER_CERT: stage.path("server.crt"),
      KONG_FALLBACK_SERVER_CERT_KEY: stage.path("server.key"),
    });
    const own = await pkiTls(authority.issue("dp-1"), authority.cert, "fallback.internal");
    const plane = sidecar.plane({ tls: own });
    await plane.connect();
    await plane.configured(hashOf("saved"));

    const stranger = await (await certificateAuthority("Another Authority")).issue("dp-1");
    const shown = { ...own, cert: stranger.cert, key: stranger.key };
    await assert.rejects(sidecar.plane({ tls: shown }).connect(), {
      name: "HandshakeRefused",
      status: 400,
    });
    const expecting = { ...own, servername: "sidecar.client" };
    await assert.rejects(sidecar.plane({ tls: expecting }).connect(), {
      code: "ERR_TLS_CERT_ALTNAME_INVALID",
    });

    await gate.open(controlPlane.address);
    await plane.configured(hashOf("live"));
    assert.equal(plane.connections, 1);
    assert.equal(await sidecar.stop(), 143);
  });
});
