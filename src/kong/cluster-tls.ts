/** The certificates of a cluster, read and checked as a data plane takes them: a path, PEM text, or base64 of PEM. */

import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { isIP } from "node:net";
import { createSecureContext, rootCertificates } from "node:tls";
import { describeCause, ServiceError } from "../core/errors.ts";
import { isEncryptedKey, isPem, locatePem } from "../core/pem.ts";
import { Secret } from "../core/secret.ts";
import { printableLine } from "./config-refusal.ts";
import { SHARED_SERVER_NAME } from "./wire.ts";

export interface ClusterTlsSettings {
  /** KONG_CLUSTER_CERT */
  readonly cert: string;
  /** KONG_CLUSTER_CERT_KEY */
  readonly key: Secret;
  /** KONG_CLUSTER_CA_CERT; looked at in mode `pki` only, as Kong does. */
  readonly ca: string | undefined;
  /** KONG_LUA_SSL_TRUSTED_CERTIFICATE; looked at in mode `pki` only. */
  readonly trusted?: readonly string[];
  /** KONG_CLUSTER_MTLS */
  readonly mtls: "shared" | "pki";
  /** KONG_CLUSTER_SERVER_NAME; looked at in mode `pki` only, as Kong does. */
  readonly serverName: string | undefined;
  /** Host part of KONG_CLUSTER_CONTROL_PLANE. */
  readonly controlPlaneHost: string;
}

/** PEM, or in a setting also a path or base64 of PEM. */
export interface CertificatePair {
  readonly cert: string;
  readonly key: Secret;
}

export interface ClusterTls {
  readonly mtls: "shared" | "pki";
  /** PEM; may hold intermediate certificates after the first. */
  readonly cert: string;
  /** PEM. */
  readonly key: Secret;
  /** Whom to trust, PEM each: in mode `shared` the cluster certificate itself. Undefined: the system's roots, as Konnect needs. */
  readonly ca: readonly string[] | undefined;
  /** Whom else to trust as the control plane, in the same form. */
  readonly trusted: readonly string[];
  /** Which data planes are let in, in mode `pki`; absent: all whose certificate holds. */
  readonly names?: NameRule;
  /** SNI, and the name the control plane's certificate must bear; undefined where the host is an IP address, which is then checked instead. */
  readonly servername: string | undefined;
  /** Of the first certificate. It may lie in the past: loading does not judge it. */
  readonly expiresAt: Date;
  /** SHA-256 of the first certificate, upper-case hex with colons. */
  readonly fingerprint256: string;
}

/** `CLUSTER_CERT_INVALID`: the certificate, its key or the CA is missing, unreadable, or they do not belong together. Fix the setting named in the message. */
export class ClusterTlsError extends ServiceError {
  readonly code = "CLUSTER_CERT_INVALID";
  readonly exitStatus = 2;

  constructor(message: string, details: { readonly hint?: string; readonly cause?: unknown } = {}) {
    super(message, { retryable: false, ...details });
  }
}

type Setting =
  | "KONG_CLUSTER_CERT"
  | "KONG_CLUSTER_CERT_KEY"
  | "KONG_CLUSTER_CA_CERT"
  | "KONG_LUA_SSL_TRUSTED_CERTIFICATE"
  | "KONG_FALLBACK_SERVER_CERT"
  | "KONG_FALLBACK_SERVER_CERT_KEY"
  | "KONG_FALLBACK_ADMIN_CERT"
  | "KONG_FALLBACK_ADMIN_CERT_KEY"
  | "KONG_FALLBACK_ADMIN_CA_CERT";

interface Pem {
  readonly text: string;
  /** How to name it in a message: the setting, and the file if it was one. */
  readonly name: string;
}

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/**
 * Reads files anew at every call, so that a rotated certificate is picked up. Throws ClusterTlsError
 * naming setting and path, never the content. A certificate past its date loads: whoever uses it says so.
 */
export async function loadClusterTls(settings: ClusterTlsSettings): Promise<ClusterTls> {
  const { mtls, serverName, controlPlaneHost } = settings;
  const { cert, key, own } = await readPair(settings, "KONG_CLUSTER_CERT", "KONG_CLUSTER_CERT_KEY");
  const pki = mtls === "pki";
  const ca = pki ? await readAuthorities("KONG_CLUSTER_CA_CERT", settings.ca) : [cert];
  const trusted = pki ? await readTrusted(settings.trusted ?? []) : [];
  return {
    mtls,
    cert,
    key,
    ca,
    trusted,
    servername: pki ? nameFor(serverName ?? controlPlaneHost) : SHARED_SERVER_NAME,
    expiresAt: new Date(own.validTo),
    fingerprint256: own.fingerprint256,
  };
}

/** What `serve` shows to data planes in mode `pki`, read and checked in the same way. */
export async function loadServerCertificate(settings: CertificatePair): Promise<CertificatePair> {
  const { cert, key } = await readPair(
    settings,
    "KONG_FALLBACK_SERVER_CERT",
    "KONG_FALLBACK_SERVER_CERT_KEY",
  );
  return { cert, key };
}

export interface AdminTlsSettings {
  /** KONG_FALLBACK_ADMIN_CERT and KONG_FALLBACK_ADMIN_CERT_KEY; undefined: Admin APIs are shown no certificate. */
  readonly pair: CertificatePair | undefined;
  /** KONG_FALLBACK_ADMIN_CA_CERT */
  readonly ca: string | undefined;
  /** KONG_FALLBACK_ADMIN_SERVER_NAME */
  readonly serverName: string | undefined;
}

/** How an Admin API is spoken to over `https:`. */
export interface AdminTls {
  readonly pair: CertificatePair | undefined;
  /** Whom to trust, PEM each; undefined: the system's roots. */
  readonly ca: readonly string[] | undefined;
  /** SNI, and the name that its certificate must bear; undefined: the host of its URL. */
  readonly servername: string | undefined;
}

/** Read and checked in the same way. */
export async function loadAdminTls({ pair, ca, serverName }: AdminTlsSettings): Promise<AdminTls> {
  return {
    pair:
      pair && (await readPair(pair, "KONG_FALLBACK_ADMIN_CERT", "KONG_FALLBACK_ADMIN_CERT_KEY")),
    ca: await readAuthorities("KONG_FALLBACK_ADMIN_CA_CERT", ca),
    servername: serverName,
  };
}

async function readPair(
  settings: CertificatePair,
  certName: Setting,
  keyName: Setting,
): Promise<CertificatePair & { readonly own: X509Certificate }> {
  const cert = await readPem(certName, settings.cert);
  const [own] = certificatesIn(cert);
  const key = await readPem(keyName, settings.key.reveal());
  if (!own.checkPrivateKey(privateKeyIn(key))) {
    throw new ClusterTlsError(`${key.name}: the key does not belong to ${cert.name}`, {
      hint: "Give both halves of one pair; after a rotation, replace both.",
    });
  }
  try {
    // The rest of the chain, and what this machine's OpenSSL finds too weak.
    createSecureContext({ cert: cert.text, key: key.text });
  } catch (cause) {
    throw new ClusterTlsError(`${cert.name}: cannot be used for TLS: ${describeCause(cause)}`, {
      cause,
      hint: "Kong's own command makes one that can: `kong hybrid gen_cert`.",
    });
  }
  return { cert: cert.text, key: new Secret(key.text), own };
}

async function readAuthorities(
  setting: Setting,
  value: string | undefined,
): Promise<readonly string[] | undefined> {
  if (value === undefined) return undefined;
  const pem = await readPem(setting, value);
  return certificatesIn(pem).map((certificate) => certificate.toString());
}

/** Where the systems that Kong runs on have their authorities. Kong/kong@3.9.1 kong/conf_loader/sys.lua */
const SYSTEM_BUNDLES = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/ca-bundle.pem",
  "/etc/pki/tls/cacert.pem",
  "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
  "/etc/ssl/cert.pem",
];

/** `system`: what Node brings along, and what this machine's bundle adds. */
async function readTrusted(items: readonly string[]): Promise<readonly string[]> {
  const setting = "KONG_LUA_SSL_TRUSTED_CERTIFICATE";
  const found = items.map(async (item) =>
    item === "system"
      ? [...rootCertificates, ...(await readSystemBundle())]
      : ((await readAuthorities(setting, item)) ?? []),
  );
  return (await Promise.all(found)).flat();
}

async function readSystemBundle(): Promise<readonly string[]> {
  for (const path of SYSTEM_BUNDLES) {
    try {
      return (await readFile(path, "latin1")).match(CERTIFICATE) ?? [];
    } catch {
      // Each system has one of them, a small image perhaps none.
    }
  }
  return [];
}

/** Which data planes are let in by the common names of their certificates, in mode `pki_check_cn`. */
export type NameRule =
  | { readonly kind: "listed"; readonly names: readonly string[] }
  /** Of this domain, one label below it. */
  | { readonly kind: "below"; readonly domain: string };

/**
 * Those listed; without a list, those with the same parent domain as the certificate that they are
 * shown. Throws ClusterTlsError where that has none. https://developer.konghq.com/gateway/configuration/#cluster_allowed_common_names
 */
export function nameRuleOf(listed: readonly string[], shownCert: string): NameRule {
  if (listed.length > 0) return { kind: "listed", names: listed };
  const name = commonNameOf(new X509Certificate(shownCert));
  const domain = name && parentOf(name);
  if (domain !== undefined) return { kind: "below", domain };
  throw new ClusterTlsError(
    `KONG_CLUSTER_ALLOWED_COMMON_NAMES: is not set, and the certificate that data planes are shown has no common name with a parent domain${name === undefined ? "" : ` (${printableLine(name)})`}`,
    {
      hint: "List the common names of the data planes' certificates there, or set KONG_CLUSTER_MTLS=pki.",
    },
  );
}

export function allowsName(rule: NameRule, certificate: X509Certificate): boolean {
  const name = commonNameOf(certificate);
  if (name === undefined) return false;
  return rule.kind === "listed" ? rule.names.includes(name) : parentOf(name) === rule.domain;
}

export function commonNameOf(certificate: X509Certificate): string | undefined {
  const { CN: name } = certificate.toLegacyObject().subject;
  return typeof name === "string" ? name : undefined;
}

function parentOf(name: string): string | undefined {
  return /^[A-Za-z0-9-]+\.(.+)$/.exec(name)?.[1];
}

/** RFC 6066 3: no address as SNI. */
function nameFor(host: string): string | undefined {
  return isIP(host) === 0 ? host : undefined;
}

async function readPem(setting: Setting, value: string): Promise<Pem> {
  const place = locatePem(value);
  if (place.kind === "text") return { text: place.text, name: setting };
  const name = place.isShown ? `${setting}=${value}` : setting;
  const text = await readText(name, value);
  if (isPem(text)) return { text, name };
  throw new ClusterTlsError(`${name}: the file holds no PEM`, {
    hint: "It must hold a block that starts with -----BEGIN; convert DER with openssl.",
  });
}

async function readText(name: string, path: string): Promise<string> {
  try {
    return await readFile(path, "latin1");
  } catch (cause) {
    const why = name.endsWith(path)
      ? describeCause(cause)
      : "neither PEM, nor base64 of PEM, nor the path of a file; its value is not shown, since it may be a damaged key";
    throw new ClusterTlsError(`${name}: cannot be read: ${why}`, {
      // Node's message repeats the path, which must stay unseen where it may be a key.
      ...(name.endsWith(path) && { cause }),
      hint: "Kong takes a path, PEM text, or base64 of PEM. In a container, check that the secret is mounted and readable by this user.",
    });
  }
}

/** At least one. */
function certificatesIn(pem: Pem): readonly [X509Certificate, ...X509Certificate[]] {
  const [first, ...rest] = pem.text.match(CERTIFICATE) ?? [];
  if (first === undefined) {
    const key = pem.text.includes("PRIVATE KEY-----");
    throw new ClusterTlsError(
      `${pem.name}: holds ${key ? "a private key" : "no certificate"}, where a certificate is needed`,
      key ? { hint: "Certificate and key look swapped." } : {},
    );
  }
  const parse = (text: string): X509Certificate => {
    try {
      return new X509Certificate(text);
    } catch (cause) {
      throw new ClusterTlsError(
        `${pem.name}: the certificate is damaged: ${describeCause(cause)}`,
        {
          cause,
          hint: "Copy it again, with its line breaks: `openssl x509 -noout -text` must read it.",
        },
      );
    }
  };
  return [parse(first), ...rest.map(parse)];
}

function privateKeyIn(pem: Pem): KeyObject {
  if (!pem.text.includes("PRIVATE KEY-----")) {
    const certificate = pem.text.includes("-----BEGIN CERTIFICATE-----");
    throw new ClusterTlsError(
      `${pem.name}: holds ${certificate ? "a certificate" : "no private key"}, where a private key is needed`,
      certificate ? { hint: "Certificate and key look swapped." } : {},
    );
  }
  if (isEncryptedKey(pem.text)) {
    throw new ClusterTlsError(`${pem.name}: the private key is encrypted with a passphrase`, {
      hint: "Kong takes none, nor does this service: decrypt it with `openssl pkey -in <key> -out <plain key>`.",
    });
  }
  try {
    return createPrivateKey(pem.text);
  } catch {
    // OpenSSL's own message may quote what it was given.
    throw new ClusterTlsError(`${pem.name}: the private key is damaged`, {
      hint: "Copy it again, with its line breaks: `openssl pkey -noout` must read it.",
    });
  }
}
