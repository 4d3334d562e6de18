/** How a fake data plane opens a connection: TLS with the cluster's certificate, then the upgrade as captured from real ones. */

import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { type TLSSocket, connect as tlsConnect } from "node:tls";
import { formatHostPort, type HostPort } from "../../src/core/host-port.ts";
import type { ClusterTls } from "../../src/kong/cluster-tls.ts";

export interface DialOptions {
  readonly controlPlane: HostPort;
  readonly tls: ClusterTls;
  /** Path and query, sent as they are. */
  readonly target: string;
  /** `Sec-WebSocket-Protocol`; none by default. */
  readonly subprotocol?: string;
}

/** The upgrade was answered with something else than 101, or not at all. */
export class HandshakeRefused extends Error {
  override readonly name = "HandshakeRefused";
  /** HTTP; undefined where the connection was closed without an answer. */
  readonly status: number | undefined;
  /** Of the answer, names in lower case. */
  readonly headers: ReadonlyMap<string, string>;

  constructor(status: number | undefined, headers: ReadonlyMap<string, string> = new Map()) {
    super(status === undefined ? "closed without an answer" : `HTTP ${status}`);
    this.status = status;
    this.headers = headers;
  }
}

/** Rejects with Node's own error. */
export async function dial(options: DialOptions, signal: AbortSignal): Promise<TLSSocket> {
  const { controlPlane, tls } = options;
  const socket = tlsConnect({
    ...controlPlane,
    servername: tls.servername ?? "",
    cert: tls.cert,
    key: tls.key.reveal(),
    ...(tls.ca !== undefined && { ca: [...tls.ca], allowPartialTrustChain: tls.mtls === "shared" }),
  });
  // Else a ping may wait 40 ms of the machine's time, in which a clock of ours goes minutes.
  socket.setNoDelay();
  // Errors after this step show as the end of the connection.
  socket.on("error", () => {});
  try {
    await once(socket, "secureConnect", { signal });
    return socket;
  } catch (error) {
    socket.destroy();
    signal.throwIfAborted();
    throw error;
  }
}

/**
 * Gives the headers of the 101, names in lower case; the socket is paused then. Rejects with
 * HandshakeRefused. Headers and their order are those of data planes 2.8.5, 3.4.2 and 3.9.1.
 */
export function upgrade(
  socket: TLSSocket,
  { target, controlPlane, subprotocol }: DialOptions,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, string>> {
  const lines = [
    `GET ${target} HTTP/1.1`,
    "Upgrade: websocket",
    `Host: ${formatHostPort(controlPlane)}`,
    `Sec-WebSocket-Key: ${randomBytes(16).toString("base64")}`,
    ...(subprotocol === undefined ? [] : [`Sec-WebSocket-Protocol: ${subprotocol}`]),
    "Sec-WebSocket-Version: 13",
    "Connection: Upgrade",
  ];
  return new Promise((resolve, reject) => {
    let bytes = Buffer.alloc(0);
    const settle = (): void => {
      socket.off("data", take).off("close", refuse).pause();
      signal.removeEventListener("abort", stop);
    };
    const refuse = (): void => {
      settle();
      reject(new HandshakeRefused(undefined));
    };
    const stop = (): void => {
      settle();
      reject(signal.reason);
    };
    const take = (chunk: Buffer): void => {
      bytes = Buffer.concat([bytes, chunk]);
      const end = bytes.indexOf("\r\n\r\n");
      if (end < 0) return;
      settle();
      const { status, headers } = readHead(bytes.toString("latin1", 0, end));
      if (bytes.length > end + 4) socket.unshift(bytes.subarray(end + 4));
      if (status === 101) resolve(headers);
      else reject(new HandshakeRefused(status, headers));
    };
    socket.on("data", take).once("close", refuse);
    signal.addEventListener("abort", stop, { once: true });
    if (socket.destroyed) return refuse();
    socket.write(`${lines.join("\r\n")}\r\n\r\n`);
  });
}

function readHead(head: string) {
  const [statusLine = "", ...lines] = head.split("\r\n");
  const headers = lines.map((line): [string, string] => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
  });
  return { status: Number(statusLine.split(" ")[1]), headers: new Map(headers) };
}
