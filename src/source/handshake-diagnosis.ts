/** Why no session with a control plane came about, and what to do, in words. */

import { describeCause } from "../core/errors.ts";
import { CLUSTER_PATH } from "../kong/wire.ts";
import { ConnectRefused, TlsFailure } from "./dial.ts";
import { namePeer, type Peer, quote } from "./peer.ts";
import { SourceError } from "./port.ts";
import { StepTimeout } from "./step.ts";
import { codeOf, diagnoseTls, isPlainText, isTlsError } from "./tls-diagnosis.ts";
import { UpgradeRefused } from "./upgrade.ts";

/** No TCP connection to the control plane. */
export function diagnoseDial(cause: unknown, peer: Peer): SourceError {
  return new SourceError(
    "SOURCE_UNREACHABLE",
    `cannot connect to ${namePeer(peer)}: ${describeCause(cause)}`,
    { cause, hint: dialHint(codeOf(cause), "KONG_CLUSTER_CONTROL_PLANE") },
  );
}

/** No tunnel through the forward proxy. */
export function diagnoseProxy(cause: unknown, peer: Peer): SourceError {
  const proxy = `proxy ${peer.proxy}`;
  const code = codeOf(cause);
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
  if (error instanceof StepTimeout || /^(ECONNRESET|EPIPE|ETIMEDOUT)$/.test(codeOf(error))) {
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
  const code = codeOf(cause);
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
            ? "It does not accept the client certificate: KONG_CLUSTER_CERT must be signed by its cluster_ca_cert and be within its dates."
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
