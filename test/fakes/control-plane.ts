/**
 * A control plane that behaves, towards a data plane, as Kong 3.9.1 was seen to (test/fixtures/captures/README.md),
 * and misbehaves on request. It records everything it got.
 */

import { createHash } from "node:crypto";
import { EventEmitter, once } from "node:events";
import type { IncomingMessage } from "node:http";
import https from "node:https";
import type { AddressInfo, Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { HostPort } from "../../src/core/host-port.ts";
import type { ClusterTls } from "../../src/kong/cluster-tls.ts";
import { FakeSession, type FakeSessionOptions } from "./control-plane-session.ts";

export interface FakeControlPlaneOptions extends FakeSessionOptions {
  /** Its own certificate; in mode `shared` the only client certificate it takes. */
  readonly tls: ClusterTls;
  /** TLS settings that differ from Kong's. */
  readonly server?: https.ServerOptions;
  /** Written in place of the answer to the upgrade, and the end; empty: drops the connection, as Kong does with a wrong certificate. */
  readonly answer?: string;
  /** Frames written together with the answer to the upgrade, before any `basic_info`. */
  readonly greeting?: Uint8Array;
  /** Takes the upgrade and never answers it. */
  readonly hangs?: boolean;
}

/** RFC 6455 1.3. */
const WEBSOCKET_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

export class FakeControlPlane implements AsyncDisposable {
  readonly sessions: FakeSession[] = [];
  readonly #options: FakeControlPlaneOptions;
  readonly #server: https.Server;
  readonly #sockets = new Set<Socket>();
  readonly #events = new EventEmitter();

  private constructor(options: FakeControlPlaneOptions) {
    const { tls } = options;
    this.#options = options;
    this.#server = https.createServer({
      cert: tls.cert,
      key: tls.key.reveal(),
      ...(tls.ca !== undefined && { ca: [...tls.ca] }),
      requestCert: true,
      rejectUnauthorized: false,
      ...options.server,
    });
    this.#server.on("connection", (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket)).on("error", () => {});
    });
    this.#server.on("tlsClientError", () => {});
    this.#server.on("upgrade", (request: IncomingMessage, socket: TLSSocket) => {
      socket.on("error", () => {});
      this.#upgrade(request, socket);
    });
  }

  static async listen(options: FakeControlPlaneOptions): Promise<FakeControlPlane> {
    const controlPlane = new FakeControlPlane(options);
    controlPlane.#server.listen(0, "127.0.0.1");
    await once(controlPlane.#server, "listening");
    return controlPlane;
  }

  get address(): HostPort {
    return { host: "127.0.0.1", port: (this.#server.address() as AddressInfo).port };
  }

  /** The session of this number, from 1, once it is up. */
  async session(number = 1): Promise<FakeSession> {
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
    for (const socket of this.#sockets) await once(socket, "close");
  }

  /** The machine is gone: every connection is reset, and new ones are refused. Resolves once it is so. */
  async kill(): Promise<void> {
    for (const socket of this.#sockets) socket.resetAndDestroy();
    await this[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    if (!this.#server.listening) return;
    this.#server.close();
    await once(this.#server, "close");
  }

  #upgrade(request: IncomingMessage, socket: TLSSocket): void {
    const { answer = this.#refusal(request, socket), hangs = false } = this.#options;
    this.#events.emit("upgrade");
    if (hangs) return;
    if (answer === "") {
      socket.destroy();
      return;
    }
    if (answer !== undefined) {
      socket.end(answer);
      return;
    }
    const key = request.headers["sec-websocket-key"];
    const accept = createHash("sha1").update(`${key}${WEBSOCKET_GUID}`).digest("base64");
    const head = `HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`;
    const { greeting = Buffer.alloc(0) } = this.#options;
    socket.write(Buffer.concat([Buffer.from(head), greeting]));
    this.sessions.push(new FakeSession(request, socket, this.#options));
    this.#events.emit("session");
  }

  /** As Kong refuses: `""` to drop the connection, else nginx's page; undefined where there is nothing to refuse. */
  #refusal(request: IncomingMessage, socket: TLSSocket): string | undefined {
    const { tls } = this.#options;
    const query = new URL(request.url ?? "", "https://cp").searchParams;
    if (tls.mtls === "pki" && !socket.authorized) return page(400);
    if (!request.url?.startsWith("/v1/outlet?")) return page(404);
    const shown = socket.getPeerX509Certificate();
    if (tls.mtls === "shared" && shown?.fingerprint256 !== tls.fingerprint256) return "";
    return query.get("node_id") && query.get("node_version") ? undefined : page(400);
  }
}

/** An HTTP answer, HTML like nginx's unless told otherwise. */
export function page(status: number, headers = "", body = "<html></html>"): string {
  return `HTTP/1.1 ${status} \r\nContent-Type: text/html\r\nContent-Length: ${body.length}\r\n${headers}Connection: close\r\n\r\n${body}`;
}
