/** Whether a request is a data plane's, and how it is answered, both as Kong does: Kong/kong@3.9.1 kong/clustering/init.lua, utils.lua:connect_dp, rpc/manager.lua. */

import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { TLSSocket } from "node:tls";
import { type WebSocket, WebSocketServer } from "ws";
import { describeCause } from "../../core/errors.ts";
import { Scope } from "../../core/waiting.ts";
import { allowsName, type ClusterTls, commonNameOf } from "../../kong/cluster-tls.ts";
import { printableLine } from "../../kong/config-refusal.ts";
import { CLUSTER_PATH } from "../../kong/wire.ts";

/** Where a data plane's second WebSocket goes, from 3.9 on and if switched on. Kong/kong@3.9.1 kong/templates/nginx_kong.lua */
export const RPC_PATH = "/v2/outlet";

/** The one sub-protocol of version 2. Kong/kong@3.9.1 kong/clustering/rpc/manager.lua */
export const RPC_PROTOCOL = "kong.meta.v1";

export type OutletPath = typeof CLUSTER_PATH | typeof RPC_PATH;

/** What a data plane says of itself in the query of its request. */
export interface Introduction {
  readonly nodeId: string;
  /** `""` if it did not say. */
  readonly hostname: string;
  /** Kong version. */
  readonly version: string;
}

/** Whether a request is let in. */
export type Admission = Admitted | TurnedAway;

export type Admitted =
  | {
      readonly kind: "admitted";
      readonly path: typeof CLUSTER_PATH;
      readonly introduction: Introduction;
    }
  | { readonly kind: "admitted"; readonly path: typeof RPC_PATH; readonly introduction: undefined };

export interface TurnedAway {
  readonly kind: "turned away";
  /** One of a few texts: it may serve as a key. */
  readonly why: string;
  /** Undefined: close without an answer, as nginx does for its status 444. */
  readonly status: 400 | 404 | undefined;
}

/** A data plane at the door. One of `accept`, `refuse` and `drop` must be called; the first counts, later ones do nothing. */
export interface Arrival {
  readonly path: OutletPath;
  /** Undefined on version 2, which introduces itself in its first message. */
  readonly introduction: Introduction | undefined;
  /** Path and query exactly as sent. */
  readonly target: string;
  /** `Sec-WebSocket-Protocol` exactly as sent. */
  readonly protocol: string | undefined;
  /** The peer's `ip:port`, for logs. */
  readonly address: string;
  /** Aborts when the connection is gone, decided or not. */
  readonly gone: AbortSignal;
  /**
   * Answers 101 as Kong does: version 1 gets `protocol` back, version 2 `kong.meta.v1`. Undefined if
   * the data plane has gone meanwhile.
   */
  accept(options?: AcceptOptions): Accepted | undefined;
  /** Answers this status with an empty body and closes. */
  refuse(status: RefusalStatus, headers?: Readonly<Record<string, string>>): void;
  /** Closes without an answer. */
  drop(): void;
}

export type RefusalStatus = keyof typeof REASONS;

export interface AcceptOptions {
  /** Longest message taken, bytes; default 1 MiB. */
  readonly maxPayloadBytes?: number;
  /** Gives what the WebSocket reads and writes; default the bare socket. */
  readonly wrap?: (socket: Duplex) => Duplex;
}

export interface Accepted {
  /** Paused: nothing is read before `resume()`. It never pongs by itself. */
  readonly webSocket: WebSocket;
  /** What it reads and writes. */
  readonly socket: Duplex;
}

export interface Upgrade {
  readonly request: IncomingMessage;
  readonly socket: Duplex;
  readonly head: Buffer;
  readonly address: string;
}

/** A real data plane's `basic_info` has some 15 kB; it sends nothing longer on version 1. */
const MAX_PAYLOAD_BYTES = 1_048_576;

const REASONS = { 400: "Bad Request", 404: "Not Found", 503: "Service Unavailable" } as const;

/**
 * In Kong's order: path, certificate, node id and version, WebSocket. Lenient where Kong is: any
 * text will do for a node id and a version, the query of version 2 is not looked at.
 */
export function admit(request: IncomingMessage, tls: ClusterTls): Admission {
  const [path, query] = (request.url ?? "").split("?", 2);
  if (path !== CLUSTER_PATH && path !== RPC_PATH) return turnedAway("unknown path", 404);
  const fault = findCertificateFault(request.socket, tls);
  if (fault !== undefined) return fault;
  if (path === RPC_PATH) {
    const offered = request.headers["sec-websocket-protocol"]?.split(",") ?? [];
    if (!offered.some((protocol) => protocol.trim() === RPC_PROTOCOL)) {
      return turnedAway(`does not offer ${RPC_PROTOCOL}`);
    }
    return isUpgrade(request) ? { kind: "admitted", path, introduction: undefined } : NO_UPGRADE;
  }
  const introduction = introductionIn(query);
  if (introduction === undefined) return turnedAway("no node_id or no node_version", 400);
  return isUpgrade(request) ? { kind: "admitted", path, introduction } : NO_UPGRADE;
}

/** Of a request that cannot become a WebSocket. */
export const NO_UPGRADE: TurnedAway = turnedAway("no WebSocket upgrade");

export function arrive({ path, introduction }: Admitted, upgrade: Upgrade): Arrival {
  const { request, socket, address } = upgrade;
  const protocol = request.headers["sec-websocket-protocol"];
  const gone = new Scope();
  socket.once("close", () => gone.end(new Error("the data plane has gone")));
  let decided = false;
  return {
    path,
    introduction,
    target: request.url ?? "",
    protocol,
    address,
    gone: gone.signal,
    accept(options = {}) {
      if (decided) return undefined;
      decided = true;
      return open(upgrade, path === RPC_PATH ? RPC_PROTOCOL : protocol, options);
    },
    refuse(status, headers) {
      if (!decided) answer(socket, status, headers);
      decided = true;
    },
    drop() {
      if (!decided) socket.destroy();
      decided = true;
    },
  };
}

/** Undefined: closes without an answer. */
export function answer(
  socket: Duplex,
  status: RefusalStatus | undefined,
  headers?: Readonly<Record<string, string>>,
): void {
  if (status === undefined) {
    socket.destroy();
    return;
  }
  socket.end(page(status, headers), () => socket.destroy());
}

function page(status: RefusalStatus, headers: Readonly<Record<string, string>> = {}): string {
  const all = { ...headers, "Content-Length": "0", Connection: "close" };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return `HTTP/1.1 ${status} ${REASONS[status]}\r\n${lines.join("")}\r\n`;
}

function open(
  { request, socket, head }: Upgrade,
  protocol: string | undefined,
  { maxPayloadBytes = MAX_PAYLOAD_BYTES, wrap = (bare) => bare }: AcceptOptions,
): Accepted | undefined {
  if (!socket.readable || !socket.writable) return void socket.destroy();
  const wrapped = wrap(socket);
  const server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    // Ours are empty, as Kong's are.
    autoPong: false,
    maxPayload: maxPayloadBytes,
  });
  // ws would choose one of those offered; Kong gives the header back as it came.
  delete request.headers["sec-websocket-protocol"];
  if (protocol !== undefined) {
    server.on("headers", (headers) => headers.push(`Sec-WebSocket-Protocol: ${protocol}`));
  }
  let accepted: Accepted | undefined;
  server.handleUpgrade(request, wrapped, head, (webSocket) => {
    webSocket.pause();
    // ws ends the connection itself; unheard, a stranger's bad frame would end the process.
    webSocket.on("error", () => {});
    accepted = { webSocket, socket: wrapped };
  });
  return accepted;
}

function findCertificateFault(socket: Duplex, tls: ClusterTls): TurnedAway | undefined {
  if (!(socket instanceof TLSSocket)) return turnedAway("no TLS");
  const shown = socket.getPeerX509Certificate();
  const status = tls.mtls === "pki" ? 400 : undefined;
  // Node calls a resumed TLS 1.3 session without a certificate authorized.
  if (shown === undefined) return turnedAway("shows no certificate", status);
  if (tls.mtls === "shared" && shown.fingerprint256 !== tls.fingerprint256) {
    return turnedAway("its certificate is not the cluster certificate");
  }
  if (tls.mtls === "pki" && !socket.authorized) {
    return turnedAway(
      `its certificate is refused: ${describeCause(socket.authorizationError)}`,
      400,
    );
  }
  if (tls.names !== undefined && !allowsName(tls.names, shown)) {
    const name = printableLine(commonNameOf(shown) ?? "none");
    return turnedAway(`its certificate's common name is not allowed: ${name}`, 400);
  }
  return undefined;
}

function introductionIn(query: string | undefined): Introduction | undefined {
  const parameters = new URLSearchParams(query);
  const nodeId = parameters.get("node_id") ?? "";
  const version = parameters.get("node_version") ?? "";
  if (nodeId === "" || version === "") return undefined;
  return { nodeId, hostname: parameters.get("node_hostname") ?? "", version };
}

/** Kong/lua-resty-websocket@60eafc3 lib/resty/websocket/server.lua:new. `Connection` is Node's to judge: without it there is no event `upgrade`. */
function isUpgrade({ method, httpVersion, headers }: IncomingMessage): boolean {
  return (
    method === "GET" &&
    httpVersion === "1.1" &&
    headers.upgrade?.toLowerCase() === "websocket" &&
    headers["sec-websocket-version"] === "13" &&
    /^[+/0-9A-Za-z]{22}==$/.test(headers["sec-websocket-key"] ?? "")
  );
}

function turnedAway(why: string, status?: 400 | 404): TurnedAway {
  return { kind: "turned away", why, status };
}
