/** Why no session with a control plane came about, and what to do, in words. */

import type { X509Certificate } from "node:crypto";
import { describeCause } from "../core/errors.ts";
import { isTlsCode, nodeCodeOf } from "../core/node-code.ts";
import type { ClusterTls } from "../kong/cluster-tls.ts";
import { CLUSTER_PATH, SHARED_SERVER_NAME } from "../kong/wire.ts";
import { ConnectRefused } from "../network/forward-proxy.ts";
import { StepTimeout, TlsFailure, UpgradeRefused } from "./connect.ts";
import { SourceError } from "./port.ts";

export interface Peer {
  /** The control plane's `host:port`. */
  readonly address: string;
  /** The forward proxy in between, without credentials; undefined where there is none. */
  readonly proxy: string | undefined;
  readonly mtls: ClusterTls["mtls"];
  /** What the control plane's certificate must be for: the SNI, or the host where that is an IP address. */
  readonly expectedName: string;
}

/** `control plane cp:8005`, with the proxy where there is one. */
export function namePeer(peer: Peer): string {
  return `control plane ${peer.address}${peer.proxy === undefined ? "" : ` through proxy ${peer.proxy}`}`;
}

/** Text from the other side, fit for one line of a message: control characters blanked, at most 200 characters. */
export function quote(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is removed
  const line = text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, " ").trim();
  return line.length > 200 ? `${line.slice(0, 200)}...` : line;
}

/** No TCP connection to the control plane. */
export function diagnoseDial(cause: unknown, peer: Peer): SourceError {
  return new SourceError(
    "SOURCE_UNREACHABLE",
    `cannot connect to ${namePeer(peer)}: ${describeCause(cause)}`,
    { cause, hint: dialHint(nodeCodeOf(cause), "KONG_CLUSTER_CONTROL_PLANE") },
  );
}

/** No tunnel through the forward proxy. */
export function diagnoseProxy(cause: unknown, peer: Peer): SourceError {
  const proxy = `proxy ${peer.proxy}`;
  const code = nodeCodeOf(cause);
  if (cause instanceof ConnectRefused) return diagnoseConnect(cause, proxy, peer);
  if (code.startsWith("HPE_")) {
    return new SourceError("SOURCE_PROXY", `${proxy} does not answer in HTTP (${code})`, {
      cause,
      hint: "Check the scheme and port in KONG_PROXY_SERVER; without a port, Kong's default is 443.",
    });
  }
  if (isTlsError(cause)) {
    const [why, hint] = isPlainText(cause)
      ? ["it does not speak TLS", "Write http:// in KONG_PROXY_SERVER."]
      : [
          quote(code || describeCause(cause)),
          "Its certificate must be trusted by this machine and be for the name in KONG_PROXY_SERVER; KONG_PROXY_SERVER_SSL_VERIFY=off takes any.",
        ];
    return new SourceError("SOURCE_PROXY", `TLS with ${proxy} failed: ${why}`, { cause, hint });
  }
  return new SourceError(
    "SOURCE_UNREACHABLE",
    `cannot connect to ${proxy}: ${describeCause(cause)}`,
    {
      cause,
      hint: dialHint(code, "KONG_PROXY_SERVER"),
    },
  );
}

function diagnoseConnect(cause: ConnectRefused, proxy: string, peer: Peer): SourceError {
  const { status } = cause;
  if (status >= 500) {
    return new SourceError(
      "SOURCE_UNREACHABLE",
      `${proxy} could not connect to control plane ${peer.address}: it answered HTTP ${status}`,
      { cause, hint: "Look at the control plane first, then at the proxy's log." },
    );
  }
  const hint =
    status === 407
      ? "Put the right user and password into KONG_PROXY_SERVER, percent-encoded."
      : `Let the proxy allow CONNECT to ${peer.address}.`;
  return new SourceError(
    "SOURCE_PROXY",
    `${proxy} refused to connect to control plane ${peer.address}: it answered HTTP ${status}`,
    { cause, hint },
  );
}

/** No TLS over the connection. */
export function diagnoseSecure(cause: unknown, peer: Peer): SourceError {
  const error = cause instanceof TlsFailure ? cause.cause : cause;
  if (error instanceof StepTimeout || /^(ECONNRESET|EPIPE|ETIMEDOUT)$/.test(nodeCodeOf(error))) {
    return new SourceError(
      "SOURCE_UNREACHABLE",
      `${namePeer(peer)} takes connections but did not complete TLS: ${describeCause(error)}`,
      {
        cause,
        hint: `A load balancer with no control plane behind it does so, and a middlebox that does not know the name ${peer.expectedName}.`,
      },
    );
  }
  return diagnoseTls(error, cause instanceof TlsFailure ? cause.certificate : undefined, peer);
}

/** No WebSocket over TLS. `now` serves to read a `Retry-After` that is a date. */
export function diagnoseUpgrade(cause: unknown, peer: Peer, now: Date): SourceError {
  const code = nodeCodeOf(cause);
  if (cause instanceof UpgradeRefused) return diagnoseStatus(cause, peer, now);
  if (cause instanceof StepTimeout) {
    return new SourceError(
      "SOURCE_UNREACHABLE",
      `${namePeer(peer)} completed TLS but did not answer: ${cause.message}`,
      { cause, hint: "It is overloaded, or hangs; look at its log and its database." },
    );
  }
  if (isTlsError(cause)) return diagnoseTls(cause, undefined, peer);
  if (code === "ECONNRESET" || code === "EPIPE") {
    return new SourceError(
      "SOURCE_REFUSED",
      `${namePeer(peer)} dropped the connection without an answer (${code})`,
      {
        cause,
        hint:
          peer.mtls === "shared"
            ? "It does so when the certificate is not its own: give this service the same KONG_CLUSTER_CERT as the control plane has, or set KONG_CLUSTER_MTLS=pki if it uses that."
            : "It does so when it refuses the certificate: KONG_CLUSTER_CERT must be signed by its cluster_ca_cert and not be revoked; set KONG_CLUSTER_MTLS=shared if it uses that.",
      },
    );
  }
  if (code.startsWith("HPE_")) {
    return new SourceError(
      "SOURCE_NOT_FOUND",
      `${namePeer(peer)} does not answer in HTTP (${code})`,
      {
        cause,
        hint: NOT_A_CLUSTER_PORT,
      },
    );
  }
  return new SourceError(
    "SOURCE_REFUSED",
    `${namePeer(peer)} did not open a WebSocket: ${quote(describeCause(cause))}`,
    {
      cause,
      hint: "Something in between does not pass WebSocket on; connect to the cluster port itself.",
    },
  );
}

const NOT_A_CLUSTER_PORT =
  "Check KONG_CLUSTER_CONTROL_PLANE: it must name the cluster port, 8005 by default (443 at Konnect), not the Admin API or the proxy.";

function diagnoseStatus(cause: UpgradeRefused, peer: Peer, now: Date): SourceError {
  const { status } = cause;
  const said = cause.reason === undefined ? "" : `: ${quote(cause.reason)}`;
  const message = `${namePeer(peer)} answered HTTP ${status}${said}`;
  const retryAfterMs = parseRetryAfter(cause.retryAfter, now);
  if (status === 429 || status === 503 || retryAfterMs !== undefined) {
    const wait =
      retryAfterMs === undefined ? "" : `, and asks to wait ${Math.ceil(retryAfterMs / 1000)} s`;
    const hint = "It is overloaded or not ready; look at its log if it stays so.";
    return new SourceError("SOURCE_BUSY", `${message}${wait}`, { cause, hint, retryAfterMs });
  }
  if (status >= 500) {
    const hint =
      "A load balancer answers so when no control plane is behind it; else look at the control plane's log.";
    return new SourceError("SOURCE_UNREACHABLE", message, { cause, hint });
  }
  switch (status) {
    case 400:
      return new SourceError("SOURCE_REFUSED", message, {
        cause,
        hint:
          peer.mtls === "pki"
            ? "It does not accept the client certificate: KONG_CLUSTER_CERT must be signed by its cluster_ca_cert and be within its dates, and with pki_check_cn its common name must be one of those it allows."
            : "A control plane in mode pki answers so to a shared certificate: set KONG_CLUSTER_MTLS=pki and give a certificate its CA signed.",
      });
    case 401:
    case 403:
      return new SourceError("SOURCE_REFUSED", message, {
        cause,
        hint: "It does not know the certificate: with Konnect, upload KONG_CLUSTER_CERT to this control plane, and check that KONG_CLUSTER_CONTROL_PLANE and KONG_CLUSTER_SERVER_NAME are its own.",
      });
    case 404:
      return new SourceError("SOURCE_NOT_FOUND", `${message} for ${CLUSTER_PATH}`, {
        cause,
        hint: `${NOT_A_CLUSTER_PORT} Kong 3.1 has no ${CLUSTER_PATH}: upgrade it to 3.2 or later.`,
      });
    default:
      if (status >= 300 && status < 400) return diagnoseRedirect(cause, message);
      return status < 300
        ? new SourceError("SOURCE_NOT_FOUND", `${message} instead of opening a WebSocket`, {
            cause,
            hint: NOT_A_CLUSTER_PORT,
          })
        : new SourceError("SOURCE_REFUSED", message, {
            cause,
            hint: "Kong's cluster port does not answer so: look at what stands in between.",
          });
  }
}

function diagnoseRedirect(cause: UpgradeRefused, message: string): SourceError {
  const to = cause.redirectHost === undefined ? "" : ` and redirects to ${cause.redirectHost}`;
  return new SourceError("SOURCE_REFUSED", `${message}${to}`, {
    cause,
    hint: "Kong does not redirect, and a data plane does not follow: let KONG_CLUSTER_CONTROL_PLANE name the control plane itself.",
  });
}

/** Milliseconds from `now`, not below 0; RFC 9110 10.2.3: seconds, or a date. Undefined if neither. */
export function parseRetryAfter(value: string | undefined, now: Date): number | undefined {
  if (value === undefined) return undefined;
  if (/^\d{1,9}$/.test(value)) return Number(value) * 1000;
  const date = /^[A-Z][a-z]{2}/.test(value) ? Date.parse(value) : Number.NaN;
  return Number.isNaN(date) ? undefined : Math.max(0, date - now.getTime());
}

function dialHint(code: string, setting: string): string {
  switch (code) {
    case "ENOTFOUND":
      return `The name does not resolve: check ${setting} and DNS.`;
    case "EAI_AGAIN":
      return "DNS does not answer: check this machine's resolver.";
    case "ECONNREFUSED":
      return `Nothing listens there: it is down, or ${setting} names another port.`;
    default:
      return `No answer on the network: it is down, or a firewall is in between. It is set by ${setting}.`;
  }
}

interface Explanation {
  readonly why: string;
  readonly hint: string;
}

/**
 * SOURCE_TLS for whatever Node or OpenSSL reported. `certificate` is what the control plane showed,
 * undefined if it did not come to that.
 */
function diagnoseTls(
  cause: unknown,
  certificate: X509Certificate | undefined,
  peer: Peer,
): SourceError {
  const code = nodeCodeOf(cause);
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
function isTlsError(cause: unknown): boolean {
  return isTlsCode(nodeCodeOf(cause));
}

/** Whether the other side answered the TLS hello with something that is not TLS. Node says so in the code, or under EPROTO in the text. */
function isPlainText(cause: unknown): boolean {
  return /wrong.version.number|packet.length.too.long|http.request/i.test(
    `${nodeCodeOf(cause)} ${describeCause(cause)}`,
  );
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
    return { why: `${shown} is not trusted (${code})`, hint: trustHint(code, certificate, peer) };
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

function trustHint(code: string, certificate: X509Certificate | undefined, peer: Peer): string {
  const isShared = certificate?.subject.includes(`CN=${SHARED_SERVER_NAME}`) ?? false;
  if (peer.mtls === "shared") {
    return isShared || certificate === undefined
      ? "Give this service the same KONG_CLUSTER_CERT and KONG_CLUSTER_CERT_KEY as the control plane has now."
      : "It is no cluster certificate: if the control plane uses certificates of a CA, set KONG_CLUSTER_MTLS=pki; if a load balancer ends TLS there, let it pass TLS through.";
  }
  if (isShared) return "It is a shared cluster certificate: set KONG_CLUSTER_MTLS=shared.";
  if (code === "UNABLE_TO_GET_ISSUER_CERT") {
    return "KONG_CLUSTER_CA_CERT has an intermediate certificate that signed it, but not the root above: add the root to KONG_CLUSTER_CA_CERT.";
  }
  const issuer = certificate?.issuer.replaceAll("\n", ", ");
  const signed = issuer === undefined ? "" : ` ("${quote(issuer)}")`;
  const chain =
    code === "UNABLE_TO_VERIFY_LEAF_SIGNATURE"
      ? " If its root is there already, the control plane leaves out an intermediate certificate: have it sent, or add it there, too."
      : "";
  return `Set KONG_CLUSTER_CA_CERT to the CA that signed it${signed}, with the root above it; if a public CA did, KONG_LUA_SSL_TRUSTED_CERTIFICATE=system.${chain}`;
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
