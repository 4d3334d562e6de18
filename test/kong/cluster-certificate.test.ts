import assert from "node:assert/strict";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { describe, it } from "vitest";
import { makeClusterCertificate } from "../../src/kong/cluster-certificate.ts";

describe("a cluster certificate", async () => {
  // Seconds are all a certificate can tell.
  const now = new Date("2026-11-21T12:34:56Z");
  const { cert, key } = await makeClusterCertificate(now);
  const certificate = new X509Certificate(cert);

  it("is as `kong hybrid gen_cert` makes it: P-384, CN=kong_clustering, self-signed, 1095 days, no names beside", () => {
    assert.equal(certificate.subject, "CN=kong_clustering");
    assert.equal(certificate.issuer, "CN=kong_clustering");
    assert.equal(certificate.subjectAltName, undefined);
    assert.equal(certificate.publicKey.asymmetricKeyDetails?.namedCurve, "secp384r1");
    assert.equal(Date.parse(certificate.validFrom), now.getTime());
    assert.equal(Date.parse(certificate.validTo), Date.parse("2029-11-20T12:34:56Z"));
    assert.ok(certificate.verify(certificate.publicKey));
    assert.ok(certificate.checkPrivateKey(createPrivateKey(key.reveal())));
  });

  it("is another each time", async () => {
    const other = new X509Certificate((await makeClusterCertificate(now)).cert);
    assert.notEqual(other.serialNumber, certificate.serialNumber);
    assert.notEqual(other.fingerprint256, certificate.fingerprint256);
  });
});
