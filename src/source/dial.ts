/** Gets a socket to a control plane: TCP, by way of a forward proxy or not, then TLS with the cluster's certificate. */

import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import http from "node:http";
import https from "node:https";
import { isIP, connect as netConnect, type Socket } from "node:net";
import { type TLSSocket, connect as tlsConnect } from "node:tls";
import { formatHostPort, type HostPort } from "../core/host-port.ts";
import type { ClusterTls } from "../kong/cluster-tls.ts";
import type { ForwardProxy } from "../kong/forward-proxy.ts";

/** Node gives each of several addresses 250 ms, too little for another continent. */
const ADDRESS_TIMEOUT_MS = 1_500;

/** Rejects with Node's own error. */
export function dialTcp(to: HostPort, signal: AbortSignal): Promise<Socket> {
  const socket = netConnect({ ...to, autoSelectFamilyAttemptTimeout: ADDRESS_TIMEOUT_MS });
  return settled(socket, "connect", signal);
}

/** The proxy answered CONNECT with something else than 2xx. */
export class ConnectRefused extends Error {
  readonly status: number;

  constructor(status: number) {
    super(`HTTP ${status}`);
    this.name = "ConnectRefused";
    this.status = status;
  }
}

/** A tunnel made with CONNECT: RFC 9110 9.3.6. Rejects with ConnectRefused or Node's own error. */
export function dialThroughProxy(
  proxy: ForwardProxy,
  to: HostPort,
  signal: AbortSignal,
): Promise<Socket> {
  const authority = formatHostPort(to);
  const { host, port, credentials, ca } = proxy;
  const options: https.RequestOptions = {
    method: "CONNECT",
    host,
    port,
    path: authority,
    agent: false,
    headers: {
      Host: authority,
      "Proxy-Connection": "Keep-Alive",
      ...(credentials && {
        "Proxy-Authorization": `Basic ${Buffer.from(credentials.reveal()).toString("base64")}`,
      }),
    },
    // Else Node would ask the proxy for the name in `Host`.
    servername: isIP(host) === 0 ? host : "",
    rejectUnauthorized: proxy.verifyCertificate,
    ...(ca !== undefined && { ca }),
  };
  return new Promise((resolve, reject) => {
    const request = proxy.protocol === "https:" ? https.request(options) : http.request(options);
    const stop = (): void => {
      request.destroy();
      reject(signal.reason);
    };
    signal.addEventListener("abort", stop, { once: true });
    request.on("error", (error) => {
      signal.removeEventListener("abort", stop);
      reject(error);
    });
    request.once("connect", (response, socket: Socket, head) => {
      signal.removeEventListener("abort", stop);
      const { statusCode = 0 } = response;
      if (statusCode < 200 || statusCode > 299) {
        socket.destroy();
        reject(new ConnectRefused(statusCode));
        return;
      }
      socket.on("error", ignore);
      if (head.length > 0) socket.unshift(head);
      resolve(socket);
    });
    request.end();
  });
}

/** TLS failed; `cause` is Node's error, `certificate` what the other side showed, if it came to that. */
export class TlsFailure extends Error {
  readonly certificate: X509Certificate | undefined;

  constructor(cause: unknown, certificate: X509Certificate | undefined) {
    super("TLS failed", { cause });
    this.name = "TlsFailure";
    this.certificate = certificate;
  }
}

/** Verifies the control plane's certificate and name, and shows it ours. Rejects with TlsFailure. */
export async function secure(
  socket: Socket,
  host: string,
  tls: ClusterTls,
  signal: AbortSignal,
): Promise<TLSSocket> {
  const secured = tlsConnect({
    socket,
    host,
    servername: tls.servername ?? "",
    cert: tls.cert,
    key: tls.key.reveal(),
    // A shared certificate is trusted as it is, even where some authority signed it.
    ...(tls.ca !== undefined && { ca: [...tls.ca], allowPartialTrustChain: tls.mtls === "shared" }),
  });
  let certificate: X509Certificate | undefined;
  // "secure" comes before Node verifies and, on failure, lets go of the certificate. It is not
  // documented; without it a message lacks the certificate's name and dates, and no more.
  secured.prependOnceListener("secure", () => {
    // Not getPeerX509Certificate(), which on Node 20 takes the certificate away from Node's own check of the name.
    const { raw } = secured.getPeerCertificate();
    certificate = raw && new X509Certificate(raw);
  });
  try {
    return await settled(secured, "secureConnect", signal);
  } catch (cause) {
    signal.throwIfAborted();
    throw new TlsFailure(cause, certificate);
  }
}

/** The socket once `event` has come; destroyed if an error or the signal comes first. */
async function settled<S extends Socket>(
  socket: S,
  event: string,
  signal: AbortSignal,
): Promise<S> {
  // Errors after this step are told to whoever reads from the socket; unheard, they would end the process.
  socket.on("error", ignore);
  try {
    await once(socket, event, { signal });
    return socket;
  } catch (error) {
    socket.destroy();
    signal.throwIfAborted();
    throw error;
  }
}

function ignore(): void {}
