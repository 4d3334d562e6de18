/** Certificates for tests: of clusters, of authorities, of servers; good, expired, and of the wrong name. */

import { KeyObject, webcrypto } from "node:crypto";
import { isIP } from "node:net";
import {
  BasicConstraintsExtension,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from "@peculiar/x509";
import { Secret } from "../../src/core/secret.ts";
import {
  type ClusterCertificate,
  makeClusterCertificate,
} from "../../src/kong/cluster-certificate.ts";
import { type ClusterTls, loadClusterTls } from "../../src/kong/cluster-tls.ts";

export interface CertificateAuthority {
  /** PEM. */
  readonly cert: string;
  /** For a DNS name or an IPv4 address, which is also the subject's common name. */
  issue(name: string, validity?: Validity): Promise<ClusterCertificate>;
}

export interface Validity {
  /** Yesterday by default. */
  readonly notBefore?: Date;
  /** A year from now by default. */
  readonly notAfter?: Date;
}

type Pair = ClusterCertificate | Promise<ClusterCertificate>;

const ALGORITHM = { name: "ECDSA", namedCurve: "P-384", hash: "SHA-384" };
const DAY_MS = 24 * 60 * 60 * 1000;

/** Good from yesterday on; each call another pair. */
export function clusterCertificate(): Promise<ClusterCertificate> {
  return makeClusterCertificate(daysFromNow(-1));
}

/** A cluster certificate whose last day was ten days ago. */
export function expiredClusterCertificate(): Promise<ClusterCertificate> {
  return makeClusterCertificate(daysFromNow(-30), 20);
}

export async function certificateAuthority(name = "Test Authority"): Promise<CertificateAuthority> {
  const authority = await keyPair();
  const common = { signingAlgorithm: ALGORITHM, notBefore: daysFromNow(-1) };
  const own = await X509CertificateGenerator.createSelfSigned(
    {
      ...common,
      name: `CN=${name}`,
      notAfter: daysFromNow(365),
      keys: authority,
      extensions: [new BasicConstraintsExtension(true, undefined, true)],
    },
    webcrypto,
  );
  return {
    cert: `${own.toString("pem")}\n`,
    async issue(subject, validity = {}) {
      const { publicKey, privateKey } = await keyPair();
      const type = isIP(subject) === 0 ? "dns" : "ip";
      const issued = await X509CertificateGenerator.create(
        {
          ...common,
          subject: `CN=${subject}`,
          issuer: own.subject,
          notAfter: daysFromNow(365),
          ...validity,
          signingKey: authority.privateKey,
          publicKey,
          extensions: [new SubjectAlternativeNameExtension([{ type, value: subject }])],
        },
        webcrypto,
      );
      const key = KeyObject.from(privateKey).export({ type: "pkcs8", format: "pem" });
      return { cert: `${issued.toString("pem")}\n`, key: new Secret(key.toString()) };
    },
  };
}

export function daysFromNow(days: number): Date {
  return new Date(Date.now() + days * DAY_MS);
}

export async function sharedTls(pair: Pair): Promise<ClusterTls> {
  return loadClusterTls({
    ...(await pair),
    ca: undefined,
    mtls: "shared",
    serverName: undefined,
    controlPlaneHost: "127.0.0.1",
  });
}

export async function pkiTls(
  pair: Pair,
  ca: string | undefined,
  serverName?: string,
): Promise<ClusterTls> {
  return loadClusterTls({
    ...(await pair),
    ca,
    mtls: "pki",
    serverName,
    controlPlaneHost: "127.0.0.1",
  });
}

function keyPair(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
}
