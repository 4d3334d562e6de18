/** Makes a shared cluster certificate, as `kong hybrid gen_cert` does. */

import { KeyObject, webcrypto } from "node:crypto";
import { X509CertificateGenerator } from "@peculiar/x509";
import { Secret } from "../core/secret.ts";
import { SHARED_SERVER_NAME } from "./wire.ts";

export interface ClusterCertificate {
  /** PEM. */
  readonly cert: string;
  /** PEM, PKCS #8, not encrypted. */
  readonly key: Secret;
}

const ALGORITHM = { name: "ECDSA", namedCurve: "P-384", hash: "SHA-384" };
const DAY_MS = 24 * 60 * 60 * 1000;

/**
 * A new EC P-384 key and a self-signed certificate for `CN=kong_clustering` without extensions,
 * valid from `now` for `days`. Kong/kong@3.9.1 kong/cmd/hybrid.lua
 */
export async function makeClusterCertificate(now: Date, days = 1095): Promise<ClusterCertificate> {
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const certificate = await X509CertificateGenerator.createSelfSigned(
    {
      name: `CN=${SHARED_SERVER_NAME}`,
      notBefore: now,
      notAfter: new Date(now.getTime() + days * DAY_MS),
      signingAlgorithm: ALGORITHM,
      keys,
    },
    webcrypto,
  );
  const key = KeyObject.from(keys.privateKey).export({ type: "pkcs8", format: "pem" });
  return { cert: `${certificate.toString("pem")}\n`, key: new Secret(key.toString()) };
}
