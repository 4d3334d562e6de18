import assert from "node:assert/strict";
import { generateKeyPairSync, KeyObject, webcrypto, X509Certificate } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { X509CertificateGenerator } from "@peculiar/x509";
import { afterAll, beforeAll, describe, it } from "vitest";
import { Secret } from "../../src/core/secret.ts";
import {
  ClusterTlsError,
  type ClusterTlsSettings,
  loadClusterTls,
  loadServerCertificate,
} from "../../src/kong/cluster-tls.ts";
import {
  certificateAuthority,
  clusterCertificate,
  expiredClusterCertificate,
} from "../fakes/certificates.ts";

const pair = await clusterCertificate();
const other = await clusterCertificate();
const authority = await certificateAuthority();

function load(changes: Partial<ClusterTlsSettings> = {}) {
  return loadClusterTls({
    cert: pair.cert,
    key: pair.key,
    ca: undefined,
    mtls: "shared",
    serverName: undefined,
    controlPlaneHost: "cp.example",
    ...changes,
  });
}

async function refusal(changes: Partial<ClusterTlsSettings>): Promise<ClusterTlsError> {
  try {
    await load(changes);
  } catch (error) {
    assert.ok(error instanceof ClusterTlsError, String(error));
    assert.equal(error.code, "CLUSTER_CERT_INVALID");
    assert.equal(error.exitStatus, 2);
    return error;
  }
  assert.fail("the certificates were accepted");
}

/** Neither message, hint nor cause may hold a line of the key. */
function assertSilentAbout(error: ClusterTlsError, secret: string): void {
  const told = `${error.message} ${error.hint} ${error.stack} ${error.cause}`;
  for (const line of secret.split("\n").filter((text) => text.length > 20)) {
    assert.ok(!told.includes(line), "a line of the key is told");
  }
}

describe("loading the cluster's certificates", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "cluster-tls-"));
    await writeFile(join(folder, "cluster.crt"), pair.cert);
    await writeFile(join(folder, "cluster.key"), pair.key.reveal());
    await writeFile(join(folder, "ca.crt"), authority.cert + other.cert);
    await writeFile(join(folder, "der.crt"), new X509Certificate(pair.cert).raw);
  });
  afterAll(() => rm(folder, { recursive: true }));

  it("trusts only the cluster certificate and asks for kong_clustering in mode shared, whatever else is set", async () => {
    const tls = await load({ ca: "/nowhere/ca.crt", serverName: "ignored.example" });
    assert.deepEqual(tls.ca, [pair.cert]);
    assert.equal(tls.servername, "kong_clustering");
    const certificate = new X509Certificate(pair.cert);
    assert.equal(tls.fingerprint256, certificate.fingerprint256);
    assert.equal(tls.expiresAt.getTime(), Date.parse(certificate.validTo));
  });

  it("trusts the authorities and asks for the host, or the server name, in mode pki", async () => {
    const byHost = await load({ mtls: "pki", ca: authority.cert });
    assert.deepEqual(byHost.ca, [authority.cert]);
    assert.equal(byHost.servername, "cp.example");
    const named = await load({ mtls: "pki", serverName: "konnect.example" });
    assert.equal(named.servername, "konnect.example");
    assert.equal(named.ca, undefined);
  });

  it("sends no server name to an IP address in mode pki", async () => {
    for (const controlPlaneHost of ["10.0.0.1", "::1"]) {
      assert.equal((await load({ mtls: "pki", controlPlaneHost })).servername, undefined);
    }
  });

  it("takes paths, and a file that holds several authorities", async () => {
    const tls = await load({
      cert: join(folder, "cluster.crt"),
      key: new Secret(join(folder, "cluster.key")),
      ca: join(folder, "ca.crt"),
      mtls: "pki",
    });
    assert.equal(tls.cert, pair.cert);
    assert.equal(tls.key.reveal(), pair.key.reveal());
    assert.deepEqual(tls.ca, [authority.cert, other.cert]);
  });

  it("takes base64 of PEM", async () => {
    const base64 = (text: string) => Buffer.from(text).toString("base64");
    const tls = await load({
      cert: base64(pair.cert),
      key: new Secret(base64(pair.key.reveal())),
    });
    assert.equal(tls.cert, pair.cert);
    assert.equal(tls.key.reveal(), pair.key.reveal());
  });

  it("takes a plain key below a comment that speaks of encryption", async () => {
    const fixture = (name: string) => new URL(`../fixtures/keys/${name}`, import.meta.url).pathname;
    const key = fixture("ec.bag.key");
    const tls = await load({ cert: fixture("ec.crt"), key: new Secret(key) });
    assert.equal(tls.key.reveal(), await readFile(key, "utf8"));
  });

  it("picks up a rotated file at the next load", async () => {
    const cert = join(folder, "rotated.crt");
    await writeFile(cert, pair.cert);
    const before = await load({ cert });
    await writeFile(cert, other.cert);
    const after = await load({ cert, key: other.key });
    assert.notEqual(after.fingerprint256, before.fingerprint256);
  });

  it("loads an expired certificate, for the importer works without the control plane", async () => {
    const expired = await expiredClusterCertificate();
    const tls = await load(expired);
    assert.ok(tls.expiresAt.getTime() < Date.now());
  });

  it("names the setting and the path of a missing file", async () => {
    const cert = join(folder, "missing.crt");
    const error = await refusal({ cert });
    assert.ok(error.message.startsWith(`KONG_CLUSTER_CERT=${cert}: cannot be read`));
    assert.match(error.message, /ENOENT/);
    assert.match(error.hint ?? "", /mounted/);
    const ca = join(folder, "missing-ca.crt");
    assert.match((await refusal({ ca, mtls: "pki" })).message, /^KONG_CLUSTER_CA_CERT=.*ENOENT/);
    const key = new Secret(join(folder, "missing.key"));
    assert.match((await refusal({ key })).message, /^KONG_CLUSTER_CERT_KEY=.*ENOENT/);
  });

  it("names a folder given as a file", async () => {
    assert.match((await refusal({ cert: folder })).message, /EISDIR/);
  });

  it("says that a file is not PEM", async () => {
    const error = await refusal({ cert: join(folder, "der.crt") });
    assert.match(error.message, /der\.crt: the file holds no PEM/);
    assert.match(error.hint ?? "", /DER/);
  });

  it("says that certificate and key are swapped", async () => {
    const error = await refusal({ cert: pair.key.reveal(), key: new Secret(pair.cert) });
    assert.match(error.message, /^KONG_CLUSTER_CERT: holds a private key/);
    assert.match(error.hint ?? "", /swapped/);
    assertSilentAbout(error, pair.key.reveal());
    const half = await refusal({ key: new Secret(pair.cert) });
    assert.match(half.message, /^KONG_CLUSTER_CERT_KEY: holds a certificate/);
  });

  it("says that a block is neither certificate nor key", async () => {
    const publicKey = new X509Certificate(pair.cert).publicKey
      .export({ type: "spki", format: "pem" })
      .toString();
    assert.match((await refusal({ cert: publicKey })).message, /holds no certificate/);
    assert.match((await refusal({ key: new Secret(publicKey) })).message, /holds no private key/);
  });

  it("says that the key does not belong to the certificate", async () => {
    const error = await refusal({ key: other.key });
    assert.equal(
      error.message,
      "KONG_CLUSTER_CERT_KEY: the key does not belong to KONG_CLUSTER_CERT",
    );
    assert.match(error.hint ?? "", /pair/);
    assertSilentAbout(error, other.key.reveal());
  });

  it("says that the key is encrypted", async () => {
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "secp384r1" });
    const key = privateKey
      .export({ type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "pass" })
      .toString();
    const error = await refusal({ key: new Secret(key) });
    assert.match(error.message, /^KONG_CLUSTER_CERT_KEY: the private key is encrypted/);
    assert.match(error.hint ?? "", /openssl pkey/);
    assertSilentAbout(error, key);
  });

  it("says that a certificate or a key is damaged, and shows neither", async () => {
    const damage = (pem: string) => pem.replace(/\n(.{20}).{20}/, "\n$1");
    assert.match(
      (await refusal({ cert: damage(pair.cert) })).message,
      /^KONG_CLUSTER_CERT: the certificate is damaged/,
    );
    const key = damage(pair.key.reveal());
    const error = await refusal({ key: new Secret(key) });
    assert.match(error.message, /^KONG_CLUSTER_CERT_KEY: the private key is damaged/);
    assertSilentAbout(error, key);
  });

  it("never shows a value that may be a damaged key", async () => {
    const damaged = Buffer.from(pair.key.reveal()).toString("base64").slice(3);
    for (const value of [damaged, damaged.slice(0, 120)]) {
      const error = await refusal({ key: new Secret(value) });
      assert.match(error.message, /^KONG_CLUSTER_CERT_KEY: cannot be read: neither PEM/);
      assertSilentAbout(error, value);
    }
  });

  it("says that a certificate is too weak for this machine", async () => {
    const algorithm = {
      name: "RSASSA-PKCS1-v1_5",
      hash: "SHA-256",
      modulusLength: 512,
      publicExponent: new Uint8Array([1, 0, 1]),
    };
    const keys = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
    const weak = await X509CertificateGenerator.createSelfSigned(
      { name: "CN=weak", keys, signingAlgorithm: algorithm },
      webcrypto,
    );
    const key = KeyObject.from(keys.privateKey).export({ type: "pkcs8", format: "pem" }).toString();
    const error = await refusal({ cert: weak.toString("pem"), key: new Secret(key) });
    assert.match(error.message, /^KONG_CLUSTER_CERT: cannot be used for TLS: .*key too small/);
    assert.match(error.hint ?? "", /gen_cert/);
    assertSilentAbout(error, key);
  });

  it("reads a server's certificate in the same way, under its own names", async () => {
    const own = await loadServerCertificate({
      cert: join(folder, "cluster.crt"),
      key: new Secret(join(folder, "cluster.key")),
    });
    assert.equal(own.cert, pair.cert);
    assert.equal(own.key.reveal(), pair.key.reveal());
    const wrong = loadServerCertificate({ cert: pair.cert, key: other.key });
    await assert.rejects(wrong, {
      name: "ClusterTlsError",
      message:
        "KONG_FALLBACK_SERVER_CERT_KEY: the key does not belong to KONG_FALLBACK_SERVER_CERT",
    });
  });
});
