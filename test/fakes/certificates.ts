/** Certificates for tests: of clusters, of authorities, of servers; good, expired, and of the wrong name. */

import { KeyObject, webcrypto } from "node:crypto";
import { isIP } from "node:net";
import {
  BasicConstraintsExtension,
  type Extension,
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
  /** An authority whose certificate this one signed. */
  intermediate(name: string): Promise<CertificateAuthority>;
}

/** With the key that signs what it issues. */
interface Issuer {
  readonly subject: string;
  readonly keys: webcrypto.CryptoKeyPair;
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

export function certificateAuthority(name = "Test Authority"): Promise<CertificateAuthority> {
  return authoritySignedBy(undefined, name);
}

/** `parent` undefined: by itself. */
async function authoritySignedBy(
  parent: Issuer | undefined,
  name: string,
): Promise<CertificateAuthority> {
  const issuer: Issuer = { subject: `CN=${name}`, keys: await keyPair() };
  const own = await certificate(parent ?? issuer, issuer, {
    extensions: [new BasicConstraintsExtension(true, undefined, true)],
  });
  return {
    cert: own,
    intermediate: (below) => authoritySignedBy(issuer, below),
    async issue(subject, validity = {}) {
      const keys = await keyPair();
      const type = isIP(subject) === 0 ? "dns" : "ip";
      const cert = await certificate(
        issuer,
        { subject: `CN=${subject}`, keys },
        {
          ...validity,
          extensions: [new SubjectAlternativeNameExtension([{ type, value: subject }])],
        },
      );
      const key = KeyObject.from(keys.privateKey).export({ type: "pkcs8", format: "pem" });
      return { cert, key: new Secret(key.toString()) };
    },
  };
}

/** PEM. */
async function certificate(
  { subject: issuer, keys: { privateKey: signingKey } }: Issuer,
  { subject, keys: { publicKey } }: Issuer,
  rest: Validity & { readonly extensions: Extension[] },
): Promise<string> {
  const made = await X509CertificateGenerator.create(
    {
      signingAlgorithm: ALGORITHM,
      notBefore: daysFromNow(-1),
      notAfter: daysFromNow(365),
      ...rest,
      subject,
      issuer,
      signingKey,
      publicKey,
    },
    webcrypto,
  );
  return `${made.toString("pem")}\n`;
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
