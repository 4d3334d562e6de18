/** The steps to a control plane: TCP, by way of a forward proxy or not; TLS with the cluster's certificate; the upgrade to a WebSocket. */

import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { connect as netConnect, type Socket } from "node:net";
import { type TLSSocket, connect as tlsConnect } from "node:tls";
import { WebSocket } from "ws";
import type { Clock } from "../core/clock.ts";
import type { HostPort } from "../core/host-port.ts";
import { until, within } from "../core/waiting.ts";
import type { ClusterTls } from "../kong/cluster-tls.ts";
import { CLUSTER_PATH, STEP_TIMEOUT_MS } from "../kong/wire.ts";
import type { Addresses } from "../network/addresses.ts";

/** A step was not done within `STEP_TIMEOUT_MS`. */
export class StepTimeout extends Error {
  constructor() {
    super(`no answer within ${STEP_TIMEOUT_MS / 1000} s`);
    this.name = "StepTimeout";
  }
}

/** What `run` gives, under the time limit of one step; it must let go of what it holds once its signal aborts. */
export function step<T>(
  clock: Clock,
  signal: AbortSignal,
  run: (signal: AbortSignal) => Promise<T>,
  late: () => Error = () => new StepTimeout(),
): Promise<T> {
  return within({ ms: STEP_TIMEOUT_MS, clock, late }, signal, run);
}

/** Node gives each of several addresses 250 ms, too little for another continent. */
const ADDRESS_TIMEOUT_MS = 1_500;

/** Rejects with Node's own error. */
export function dialTcp(to: HostPort, addresses: Addresses, signal: AbortSignal): Promise<Socket> {
  const { lookup } = addresses;
  const socket = netConnect({
    ...to,
    lookup,
    autoSelectFamilyAttemptTimeout: ADDRESS_TIMEOUT_MS,
  });
  return settled(addresses.watch(socket), "connect", signal);
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
  const isTrustGiven = tls.ca !== undefined || tls.trusted.length > 0;
  const secured = tlsConnect({
    socket,
    host,
    servername: tls.servername ?? "",
    cert: tls.cert,
    key: tls.key.reveal(),
    // A shared certificate is trusted as it is, even where some authority signed it.
    ...(isTrustGiven && {
      ca: [...(tls.ca ?? []), ...tls.trusted],
      allowPartialTrustChain: tls.mtls === "shared",
    }),
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

export interface UpgradeRequest {
  /** The control plane's `host:port`, for the `Host` header. */
  readonly address: string;
  /** Path and query to ask for. */
  readonly target: string;
  /** `Sec-WebSocket-Protocol` to offer; undefined: none, as on version 1. */
  readonly protocol?: string | undefined;
  /** Longest message taken, bytes as they travel. */
  readonly maxPayloadBytes: number;
}

/** What version 1 is asked for by a data plane. */
export function outletTarget(node: {
  /** A UUID. */
  readonly nodeId: string;
  readonly hostname: string;
  /** Kong version to declare, e.g. `3.9.1`. */
  readonly version: string;
}): string {
  const { nodeId, hostname, version } = node;
  const query = Object.entries({ node_id: nodeId, node_hostname: hostname, node_version: version })
    .map(([name, value]) => `${name}=${encodeURIComponent(value)}`)
    .join("&");
  return `${CLUSTER_PATH}?${query}`;
}

/** The other side answered the upgrade with an HTTP status other than 101. */
export class UpgradeRefused extends Error {
  readonly status: number;
  /** `Retry-After`, as sent. */
  readonly retryAfter: string | undefined;
  /** Host in `Location`; the rest of a URL may hold a token. */
  readonly redirectHost: string | undefined;
  /** `message` of a short JSON body, as Konnect sends. */
  readonly reason: string | undefined;

  constructor(response: IncomingMessage, body: Buffer) {
    super(`HTTP ${response.statusCode}`);
    this.name = "UpgradeRefused";
    this.status = response.statusCode ?? 0;
    this.retryAfter = response.headers["retry-after"];
    const { location = "" } = response.headers;
    this.redirectHost = URL.canParse(location) ? new URL(location).host : undefined;
    this.reason = messageIn(body);
  }
}

/**
 * The open WebSocket, paused: nothing has been sent on it, and nothing will be read before
 * `resume()`. It never pongs. Rejects with UpgradeRefused, or with an error of Node or ws. `onRefusal`
 * is called as soon as the other side refuses, though the reason it gives may be long in coming.
 */
export function upgrade(
  socket: TLSSocket,
  request: UpgradeRequest,
  onRefusal: (refusal: UpgradeRefused) => void,
  signal: AbortSignal,
): Promise<WebSocket> {
  const { address, target, protocol } = request;
  const protocols = protocol?.split(",").map((name) => name.trim()) ?? [];
  return until(signal, (resolve, reject) => {
    let isOpen = false;
    // Kong's control plane takes no pong, no extension, and wants the port in Host.
    const webSocket = new WebSocket(`wss://${address}${target}`, protocols, {
      createConnection: () => socket,
      headers: { Host: address },
      perMessageDeflate: false,
      followRedirects: false,
      autoPong: false,
      skipUTF8Validation: true,
      maxPayload: request.maxPayloadBytes,
    });
    webSocket.on("error", (error) => {
      socket.destroy();
      reject(error);
    });
    webSocket.once("unexpected-response", (_, response) => {
      const refuse = (body: Buffer): void => reject(new UpgradeRefused(response, body));
      onRefusal(new UpgradeRefused(response, Buffer.alloc(0)));
      // Where there is a message worth telling, it is short and comes at once.
      response.once("data", refuse);
      response.once("end", () => refuse(Buffer.alloc(0)));
    });
    webSocket.once("open", () => {
      isOpen = true;
      webSocket.pause();
      resolve(webSocket);
    });
    return () => {
      if (!isOpen) webSocket.terminate();
    };
  });
}

function messageIn(body: Buffer): string | undefined {
  try {
    const { message } = JSON.parse(body.toString("utf8")) as { message?: unknown };
    return typeof message === "string" ? message : undefined;
  } catch {
    // nginx answers in HTML, which nobody wants to read in a log.
    return undefined;
  }
}
