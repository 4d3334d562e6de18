/** Turns a secured socket into a session's WebSocket. */

import type { IncomingMessage } from "node:http";
import type { TLSSocket } from "node:tls";
import { WebSocket } from "ws";
import { CLUSTER_PATH } from "../kong/wire.ts";

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
 * `resume()`. It never pongs. Rejects with UpgradeRefused, or with an error of Node or ws.
 */
export function upgrade(
  socket: TLSSocket,
  request: UpgradeRequest,
  signal: AbortSignal,
): Promise<WebSocket> {
  const { address, target, protocol } = request;
  const protocols = protocol?.split(",").map((name) => name.trim()) ?? [];
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
  return new Promise((resolve, reject) => {
    let refusal: UpgradeRefused | undefined;
    const stop = (): void => {
      reject(refusal ?? signal.reason);
      webSocket.terminate();
    };
    signal.addEventListener("abort", stop, { once: true });
    webSocket.on("error", (error) => {
      signal.removeEventListener("abort", stop);
      socket.destroy();
      reject(error);
    });
    webSocket.once("unexpected-response", (outgoing, response) => {
      const refuse = (body: Buffer): void => {
        signal.removeEventListener("abort", stop);
        reject(new UpgradeRefused(response, body));
        outgoing.destroy();
      };
      refusal = new UpgradeRefused(response, Buffer.alloc(0));
      // Where there is a message worth telling, it is short and comes at once.
      response.once("data", refuse);
      response.once("end", () => refuse(Buffer.alloc(0)));
    });
    webSocket.once("open", () => {
      signal.removeEventListener("abort", stop);
      webSocket.pause();
      resolve(webSocket);
    });
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
