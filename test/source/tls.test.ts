import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { type ClusterTls, ClusterTlsError, loadClusterTls } from "../../src/kong/cluster-tls.ts";
import {
  certificateAuthority,
  clusterCertificate,
  daysFromNow,
  expiredClusterCertificate,
  pkiTls,
  sharedTls,
} from "../fakes/certificates.ts";
import { FakeControlPlane } from "../fakes/control-plane.ts";
import { clusterTls, failure, hybridSource, refusal, tcpServer } from "./harness.ts";

const authority = await certificateAuthority("Company CA");

describe("TLS with a control plane", () => {
  /** A control plane with these certificates, met by a source with those. */
  async function meet(theirs: ClusterTls, ours: ClusterTls) {
    await using controlPlane = await FakeControlPlane.listen({ tls: theirs });
    return await refusal(
      { controlPlane: controlPlane.address, loadTls: async () => ours },
      "SOURCE_TLS",
    );
  }

  it("works in mode pki, where the control plane checks the client by its CA", async () => {
    const tls = await pkiTls(authority.issue("cp.example"), authority.cert, "cp.example");
    await using controlPlane = await FakeControlPlane.listen({ tls });
    const source = hybridSource({
      controlPlane: controlPlane.address,
      loadTls: () => pkiTls(authority.issue("dp.example"), authority.cert, "cp.example"),
    });
    const events = source.watch(new AbortController().signal);
    assert.deepEqual((await events.next()).value, { kind: "connected" });
    assert.equal((await controlPlane.session()).servername, "cp.example");
    await events.return(undefined as never);
  });

  it("trusts in mode pki whom Kong's lua_ssl_trusted_certificate names, beside the cluster's CA", async () => {
    const another = await certificateAuthority("Another CA");
    const tls = await pkiTls(another.issue("127.0.0.1"), authority.cert);
    await using controlPlane = await FakeControlPlane.listen({ tls });
    const settings = {
      ...(await authority.issue("dp.example")),
      mtls: "pki",
      ca: authority.cert,
    } as const;
    const ours = (trusted: readonly string[]) =>
      loadClusterTls({
        ...settings,
        trusted,
        serverName: undefined,
        controlPlaneHost: "127.0.0.1",
      });
    const withIt = await ours(["system", another.cert]);
    const source = hybridSource({
      controlPlane: controlPlane.address,
      loadTls: async () => withIt,
    });
    const events = source.watch(new AbortController().signal);
    assert.deepEqual((await events.next()).value, { kind: "connected" });
    await events.return(undefined as never);
    const without = await ours(["system"]);
    await refusal(
      { controlPlane: controlPlane.address, loadTls: async () => without },
      "SOURCE_TLS",
    );
  });

  it("sends no name to an IP address in mode pki, and checks the address", async () => {
    const tls = await pkiTls(authority.issue("127.0.0.1"), authority.cert);
    await using controlPlane = await FakeControlPlane.listen({ tls });
    const source = hybridSource({ controlPlane: controlPlane.address, loadTls: async () => tls });
    const events = source.watch(new AbortController().signal);
    assert.deepEqual((await events.next()).value, { kind: "connected" });
    assert.equal((await controlPlane.session()).servername, false);
    await events.return(undefined as never);
  });

  it("works with a shared certificate that an authority signed", async () => {
    const tls = await sharedTls(authority.issue("kong_clustering"));
    await using controlPlane = await FakeControlPlane.listen({ tls });
    const source = hybridSource({ controlPlane: controlPlane.address, loadTls: async () => tls });
    const events = source.watch(new AbortController().signal);
    assert.deepEqual((await events.next()).value, { kind: "connected" });
    await events.return(undefined as never);
  });

  it("fails on another shared certificate", async () => {
    const error = await meet(await sharedTls(clusterCertificate()), clusterTls);
    assert.match(
      error.message,
      /its certificate \(CN=kong_clustering\) is not trusted \(DEPTH_ZERO_SELF_SIGNED_CERT\)/,
    );
    assert.match(error.hint, /same KONG_CLUSTER_CERT and KONG_CLUSTER_CERT_KEY/);
    assert.equal(error.retryable, false);
  });

  it("fails on a control plane in the other mode, and names the setting", async () => {
    const pki = await pkiTls(authority.issue("127.0.0.1"), authority.cert);
    const asShared = await meet(pki, clusterTls);
    assert.match(asShared.message, /CN=127\.0\.0\.1/);
    assert.match(asShared.hint, /KONG_CLUSTER_MTLS=pki/);
    const asPki = await meet(clusterTls, pki);
    assert.match(asPki.hint, /KONG_CLUSTER_MTLS=shared/);
  });

  it("fails on a certificate of another CA, the system's included", async () => {
    const theirs = await pkiTls(authority.issue("127.0.0.1"), authority.cert);
    for (const ca of [(await certificateAuthority("Another CA")).cert, undefined]) {
      const error = await meet(theirs, await pkiTls(authority.issue("127.0.0.1"), ca));
      assert.match(error.message, /is not trusted \((UNABLE_TO|SELF_SIGNED)_/);
      assert.match(error.hint, /KONG_CLUSTER_CA_CERT/);
    }
  });

  it("tells a chain that ends early from an authority that is not the right one", async () => {
    const intermediate = await authority.intermediate("Company CA Europe");
    const { cert, key } = await intermediate.issue("127.0.0.1");
    const ours = (ca: string) => pkiTls(authority.issue("dp"), ca);
    const whole = await pkiTls({ cert: `${cert}${intermediate.cert}`, key }, authority.cert);
    const rootless = await meet(whole, await ours(intermediate.cert));
    assert.match(rootless.message, /UNABLE_TO_GET_ISSUER_CERT\)/);
    assert.match(rootless.hint, /add the root.*KONG_CLUSTER_CA_CERT/);

    const short = await meet(
      await pkiTls({ cert, key }, authority.cert),
      await ours(authority.cert),
    );
    assert.match(short.message, /UNABLE_TO_VERIFY_LEAF_SIGNATURE\)/);
    assert.match(
      short.hint,
      /KONG_CLUSTER_CA_CERT to the CA that signed it \("CN=Company CA Europe"\)/,
    );
    assert.match(short.hint, /leaves out an intermediate certificate/);
  });

  it("fails on an expired certificate, and says whose and since when", async () => {
    const notAfter = new Date("2026-02-03T04:05:06Z");
    const notBefore = new Date("2026-01-01T00:00:00Z");
    const theirs = await authority.issue("127.0.0.1", { notBefore, notAfter });
    const error = await meet(
      await pkiTls(theirs, authority.cert),
      await pkiTls(authority.issue("dp"), authority.cert),
    );
    assert.match(
      error.message,
      /its certificate \(CN=127\.0\.0\.1; .*\) or that of its CA has expired/,
    );
    assert.match(error.message, /valid until 2026-02-03T04:05:06\.000Z/);
    assert.match(error.hint, /on the control plane/);
  });

  it("fails on a certificate of the future", async () => {
    const theirs = await authority.issue("127.0.0.1", { notBefore: daysFromNow(100) });
    const error = await meet(
      await pkiTls(theirs, authority.cert),
      await pkiTls(authority.issue("dp"), authority.cert),
    );
    assert.match(error.message, /is not valid yet, but from 20/);
    assert.match(error.hint, /clock/);
  });

  it("fails on a certificate for another name", async () => {
    const error = await meet(
      await pkiTls(authority.issue("cp.example"), authority.cert),
      await pkiTls(authority.issue("dp"), authority.cert, "kong.example"),
    );
    assert.match(error.message, /CN=cp\.example; DNS:cp\.example\) is not for kong\.example/);
    assert.match(error.hint, /KONG_CLUSTER_SERVER_NAME/);
    const strange = await authority.issue("not-kong");
    const shared = await meet(await sharedTls(strange), await sharedTls(strange));
    assert.match(shared.message, /is not for kong_clustering/);
    assert.match(shared.hint, /kong hybrid gen_cert/);
  });

  it("is not even tried with an expired certificate of our own", async () => {
    const error = await refusal(
      { loadTls: () => sharedTls(expiredClusterCertificate()) },
      "SOURCE_TLS",
    );
    assert.match(error.message, /\(KONG_CLUSTER_CERT\) expired on \d{4}-\d\d-\d\dT/);
    assert.match(error.hint, /Renew it/);
  });

  it("waits for certificates that cannot be loaded now, since they may be in the middle of a rotation", async () => {
    const loadTls = async () => {
      throw new ClusterTlsError(
        "KONG_CLUSTER_CERT_KEY: the key does not belong to KONG_CLUSTER_CERT",
        {
          hint: "Give both halves of one pair.",
        },
      );
    };
    const error = await refusal({ loadTls }, "SOURCE_TLS");
    assert.match(error.message, /does not belong/);
    assert.match(error.hint, /both halves/);
  });

  it("passes on what is no fault of the certificates: a bug stays a bug", async () => {
    const bug = new TypeError("undefined is not a function");
    const source = hybridSource({ loadTls: () => Promise.reject(bug) });
    await assert.rejects(
      source.watch(new AbortController().signal).next(),
      (error) => error === bug,
    );
  });

  it("uses certificates rotated between two sessions", async () => {
    const rotated = await sharedTls(clusterCertificate());
    await using controlPlane = await FakeControlPlane.listen({ tls: rotated });
    const loaded = [clusterTls, rotated];
    const source = hybridSource({
      controlPlane: controlPlane.address,
      loadTls: async () => loaded.shift() ?? assert.fail("loaded too often"),
    });
    const { signal } = new AbortController();
    await failure(source.watch(signal).next(), "SOURCE_TLS");
    const events = source.watch(signal);
    assert.deepEqual((await events.next()).value, { kind: "connected" });
    await events.return(undefined as never);
  });

  it("fails on a plain HTTP port", async () => {
    await using server = await tcpServer((socket) => {
      socket.once("data", () => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"));
    });
    const error = await refusal({ controlPlane: server.address }, "SOURCE_TLS");
    assert.match(error.message, /what answers does not speak TLS/);
    assert.match(error.hint, /plain HTTP port/);
  });

  for (const [number, what, why, hint] of [
    [42, "bad certificate", /refuses the certificate this service showed/, /very certificate/],
    [48, "unknown ca", /refuses the certificate this service showed/, /very certificate/],
    [70, "protocol version", /no TLS version or cipher in common/, /TLS 1\.2/],
    [112, "unrecognized name", /broke off the handshake/, /kong_clustering/],
    [40, "handshake failure", /broke off the handshake/, /kong_clustering/],
  ] as const) {
    it(`explains the alert ${what}`, async () => {
      await using server = await tcpServer((socket) => {
        socket.once("data", () => socket.end(Buffer.from([0x15, 3, 3, 0, 2, 2, number])));
      });
      const error = await refusal({ controlPlane: server.address }, "SOURCE_TLS");
      assert.match(error.message, why);
      assert.match(error.hint, hint);
      assert.doesNotMatch(error.message, /deps|routines/);
    });
  }

  it("explains a client certificate refused after the handshake, as TLS 1.3 has it", async () => {
    const theirs = await pkiTls(authority.issue("127.0.0.1"), authority.cert);
    const ours = await pkiTls((await certificateAuthority("Ours")).issue("dp"), authority.cert);
    await using controlPlane = await FakeControlPlane.listen({
      tls: theirs,
      server: { rejectUnauthorized: true },
    });
    const error = await refusal(
      { controlPlane: controlPlane.address, loadTls: async () => ours },
      "SOURCE_REFUSED",
    );
    assert.match(error.message, /dropped the connection without an answer/);
    assert.match(error.hint, /cluster_ca_cert/);
  });
});
