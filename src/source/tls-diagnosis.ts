/** Why TLS with a control plane failed, and what to do, in words. */

import type { X509Certificate } from "node:crypto";
import { describeCause } from "../core/errors.ts";
import { SHARED_SERVER_NAME } from "../kong/wire.ts";
import { namePeer, type Peer, quote } from "./peer.ts";
import { SourceError } from "./port.ts";

interface Explanation {
  readonly why: string;
  readonly hint: string;
}

/**
 * SOURCE_TLS for whatever Node or OpenSSL reported. `certificate` is what the control plane showed,
 * undefined if it did not come to that.
 */
export function diagnoseTls(
  cause: unknown,
  certificate: X509Certificate | undefined,
  peer: Peer,
): SourceError {
  const code = codeOf(cause);
  const { why, hint } =
    explainVerification(code, certificate, peer) ??
    explainAlert(code, peer) ??
    explainOpenSsl(cause, peer);
  return new SourceError("SOURCE_TLS", `TLS with ${namePeer(peer)} failed: ${why}`, {
    cause,
    hint,
  });
}

/** Whether the error came out of OpenSSL, or of Node's verification. */
export function isTlsError(cause: unknown): boolean {
  const code = codeOf(cause);
  return /^ERR_(SSL|TLS)_|^EPROTO$/.test(code) || VERIFICATION.has(code);
}

/** Whether the other side answered the TLS hello with something that is not TLS. Node says so in the code, or under EPROTO in the text. */
export function isPlainText(cause: unknown): boolean {
  return /wrong.version.number|packet.length.too.long|http.request/i.test(
    `${codeOf(cause)} ${describeCause(cause)}`,
  );
}

/** `""` where there is none. */
export function codeOf(cause: unknown): string {
  return cause instanceof Error && "code" in cause && typeof cause.code === "string"
    ? cause.code
    : "";
}

/** OpenSSL's results of verification as Node names them: nodejs/node doc/api/tls.md, "X509 certificate error codes". */
const UNTRUSTED: ReadonlySet<string> = new Set([
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "CERT_SIGNATURE_FAILURE",
  "CERT_UNTRUSTED",
  "CERT_REJECTED",
  "INVALID_CA",
]);
const VERIFICATION: ReadonlySet<string> = new Set([
  ...UNTRUSTED,
  "CERT_HAS_EXPIRED",
  "CERT_NOT_YET_VALID",
  "ERR_TLS_CERT_ALTNAME_INVALID",
  "CERT_CHAIN_TOO_LONG",
  "CERT_REVOKED",
  "INVALID_PURPOSE",
]);

function explainVerification(
  code: string,
  certificate: X509Certificate | undefined,
  peer: Peer,
): Explanation | undefined {
  const shown = `its certificate${certificate === undefined ? "" : ` (${nameCertificate(certificate)})`}`;
  if (UNTRUSTED.has(code)) {
    return { why: `${shown} is not trusted (${code})`, hint: trustHint(certificate, peer) };
  }
  switch (code) {
    case "CERT_HAS_EXPIRED":
      return {
        why: `${shown} or that of its CA has expired${certificate === undefined ? "" : `; it was valid until ${dateOf(certificate.validTo)}`}`,
        hint: "Renew it on the control plane. If that date lies in the future, check its CA's date, and this machine's clock.",
      };
    case "CERT_NOT_YET_VALID":
      return {
        why: `${shown} is not valid yet${certificate === undefined ? "" : `, but from ${dateOf(certificate.validFrom)} on`}`,
        hint: "Check this machine's clock.",
      };
    case "ERR_TLS_CERT_ALTNAME_INVALID":
      return {
        why: `${shown} is not for ${peer.expectedName}`,
        hint:
          peer.mtls === "shared"
            ? `In mode shared the cluster certificate must be for ${SHARED_SERVER_NAME}, as \`kong hybrid gen_cert\` makes it; if the control plane has a certificate of its own, set KONG_CLUSTER_MTLS=pki.`
            : "Set KONG_CLUSTER_SERVER_NAME to a name that is in it.",
      };
    default:
      return VERIFICATION.has(code)
        ? { why: `${shown} is refused (${code})`, hint: "Replace the control plane's certificate." }
        : undefined;
  }
}

function trustHint(certificate: X509Certificate | undefined, peer: Peer): string {
  const isShared = certificate?.subject.includes(`CN=${SHARED_SERVER_NAME}`) ?? false;
  if (peer.mtls === "shared") {
    return isShared || certificate === undefined
      ? "Give this service the same KONG_CLUSTER_CERT and KONG_CLUSTER_CERT_KEY as the control plane has now."
      : "It is no cluster certificate: if the control plane uses certificates of a CA, set KONG_CLUSTER_MTLS=pki; if a load balancer ends TLS there, let it pass TLS through.";
  }
  return isShared
    ? "It is a shared cluster certificate: set KONG_CLUSTER_MTLS=shared."
    : "Set KONG_CLUSTER_CA_CERT to the CA that signed it; if it is the right one, the control plane does not send its intermediate certificates.";
}

/** Alerts the other side sends about our certificate or our hello: RFC 8446 6.2, as OpenSSL names them. */
function explainAlert(code: string, peer: Peer): Explanation | undefined {
  // `ERR_SSL_SSLV3_ALERT_...`, from OpenSSL 3.2 on also `ERR_SSL_SSL/TLS_ALERT_...`.
  const alert = /^ERR_SSL_.*ALERT_(\w+)$/.exec(code)?.[1]?.toLowerCase().replaceAll("_", " ");
  if (alert === undefined && code !== "ERR_SSL_TLSV1_UNRECOGNIZED_NAME") return undefined;
  if (alert === "protocol version" || alert === "insufficient security") {
    return {
      why: `it offers no TLS version or cipher in common (alert ${alert})`,
      hint: "Kong speaks TLS 1.2 and 1.3; look for an old middlebox in between.",
    };
  }
  if (alert !== undefined && /certificate|unknown ca|access denied|decrypt error/.test(alert)) {
    return {
      why: `it refuses the certificate this service showed (alert ${alert})`,
      hint:
        peer.mtls === "pki"
          ? "KONG_CLUSTER_CERT must be signed by the CA in the control plane's cluster_ca_cert, be within its dates, and be good for client authentication."
          : "KONG_CLUSTER_CERT must be the very certificate the control plane has.",
    };
  }
  return {
    why: `it broke off the handshake (alert ${alert ?? "unrecognized name"})`,
    hint: `The name asked for was ${peer.expectedName}; a middlebox that routes by name must let it through to the control plane.`,
  };
}

function explainOpenSsl(cause: unknown, peer: Peer): Explanation {
  if (isPlainText(cause)) {
    return {
      why: "what answers does not speak TLS",
      hint: `${peer.address} looks like a plain HTTP port, such as the Admin API's 8001; the cluster port is 8005 by default.`,
    };
  }
  return {
    why: quote(reasonOf(cause)),
    hint: "Check the certificates on both sides, and what stands in between.",
  };
}

/** OpenSSL's short reason where Node passes it on; its full text names its own source files. */
function reasonOf(cause: unknown): string {
  return cause instanceof Error && "reason" in cause && typeof cause.reason === "string"
    ? cause.reason
    : describeCause(cause);
}

function nameCertificate(certificate: X509Certificate): string {
  const subject = certificate.subject.replaceAll("\n", ", ");
  const names = certificate.subjectAltName;
  return quote(names === undefined ? subject : `${subject}; ${names}`);
}

function dateOf(text: string): string {
  return new Date(text).toISOString();
}
