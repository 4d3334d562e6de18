/** What the fakes of a control plane share: an HTTPS server that takes upgrades to WebSocket, and how it goes away. */

import { createHash } from "node:crypto";
import { EventEmitter, once } from "node:events";
import type { IncomingMessage } from "node:http";
import https from "node:https";
import type { AddressInfo, Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { HostPort } from "../../src/core/host-port.ts";
import type { ClusterTls } from "../../src/kong/cluster-tls.ts";

/** RFC 6455 1.3. */
const WEBSOCKET_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

export abstract class UpgradeServer<Session> implements AsyncDisposable {
  readonly sessions: Session[] = [];
  protected readonly sockets = new Set<Socket>();
  readonly #server: https.Server;
  readonly #events = new EventEmitter();

  /** Asks for a client certificate, and takes any. `more`: TLS settings that differ from Kong's. */
  protected constructor(tls: ClusterTls, more: https.ServerOptions = {}) {
    this.#server = https.createServer({
      cert: tls.cert,
      key: tls.key.reveal(),
      ...(tls.ca !== undefined && { ca: [...tls.ca] }),
      requestCert: true,
      rejectUnauthorized: false,
      ...more,
    });
    this.#server.on("connection", (socket: Socket) => {
      this.sockets.add(socket);
      socket.on("close", () => this.sockets.delete(socket)).on("error", () => {});
    });
    this.#server.on("tlsClientError", () => {});
    this.#server.on("upgrade", (request: IncomingMessage, socket: TLSSocket) => {
      socket.on("error", () => {});
      this.#events.emit("upgrade");
      this.upgrade(request, socket);
    });
  }

  protected async listening(): Promise<this> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    return this;
  }

  /** What becomes of a request: `take`, another answer, or nothing. */
  protected abstract upgrade(request: IncomingMessage, socket: TLSSocket): void;

  /** Answers the upgrade, with `headers` each ended by CRLF, and `greeting` in the same write. */
  protected take(
    request: IncomingMessage,
    socket: TLSSocket,
    begin: () => Session,
    { headers = "", greeting = Buffer.alloc(0) }: { headers?: string; greeting?: Uint8Array } = {},
  ): void {
    const key = request.headers["sec-websocket-key"];
    const accept = createHash("sha1").update(`${key}${WEBSOCKET_GUID}`).digest("base64");
    const head = `HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accept}\r\n${headers}\r\n`;
    socket.write(Buffer.concat([Buffer.from(head), greeting]));
    this.sessions.push(begin());
    this.#events.emit("session");
  }

  get address(): HostPort {
    return { host: "127.0.0.1", port: (this.#server.address() as AddressInfo).port };
  }

  /** The session of this number, from 1, once it is up. */
  async session(number = 1): Promise<Session> {
    for (;;) {
      const session = this.sessions[number - 1];
      if (session !== undefined) return session;
      await once(this.#events, "session");
    }
  }

  /** Resolves at the next upgrade request, whatever becomes of it. */
  async asked(): Promise<void> {
    await once(this.#events, "upgrade");
  }

  /** Resolves once no connection is left. */
  async deserted(): Promise<void> {
    for (const socket of this.sockets) await once(socket, "close");
  }

  /** The machine is gone: every connection is reset, and new ones are refused. Resolves once it is so. */
  async kill(): Promise<void> {
    for (const socket of this.sockets) socket.resetAndDestroy();
    await this[Symbol.asyncDispose]();
  }

  /** Goes away: breaks every connection, and takes no new one. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    if (!this.#server.listening) return;
    this.#server.close();
    await once(this.#server, "close");
  }
}

/** An HTTP answer, HTML like nginx's unless told otherwise. */
export function page(status: number, headers = "", body = "<html></html>"): string {
  return `HTTP/1.1 ${status} \r\nContent-Type: text/html\r\nContent-Length: ${body.length}\r\n${headers}Connection: close\r\n\r\n${body}`;
}
