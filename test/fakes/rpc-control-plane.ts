/**
 * A control plane's `/v2/outlet`: takes the upgrade as Kong 3.9.1 does, records every frame, answers
 * none, and sends what a test tells it to.
 */

import { createHash } from "node:crypto";
import { EventEmitter, once } from "node:events";
import type { IncomingMessage } from "node:http";
import https from "node:https";
import type { AddressInfo, Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { HostPort } from "../../src/core/host-port.ts";
import type { ClusterTls } from "../../src/kong/cluster-tls.ts";
import { page } from "./control-plane.ts";
import { CLOSE, encodeFrame, type Frame, FrameReader } from "./websocket-frames.ts";

/** RFC 6455 1.3. */
const WEBSOCKET_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

export class FakeRpcControlPlane implements AsyncDisposable {
  readonly sessions: FakeRpcSession[] = [];
  /** What an upgrade meets; 404, as without `cluster_rpc`; nothing at all. */
  meets: "success" | "absence" | "silence" = "success";
  readonly #server: https.Server;
  readonly #sockets = new Set<Socket>();
  readonly #events = new EventEmitter();

  private constructor(tls: ClusterTls) {
    this.#server = https.createServer({
      cert: tls.cert,
      key: tls.key.reveal(),
      requestCert: true,
      rejectUnauthorized: false,
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

  static async listen(tls: ClusterTls): Promise<FakeRpcControlPlane> {
    const controlPlane = new FakeRpcControlPlane(tls);
    controlPlane.#server.listen(0, "127.0.0.1");
    await once(controlPlane.#server, "listening");
    return controlPlane;
  }

  get address(): HostPort {
    return { host: "127.0.0.1", port: (this.#server.address() as AddressInfo).port };
  }

  /** The session of this number, from 1, once it is up. */
  async session(number = 1): Promise<FakeRpcSession> {
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

  /** Goes away: breaks every connection, and takes no new one. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    if (!this.#server.listening) return;
    this.#server.close();
    await once(this.#server, "close");
  }

  #upgrade(request: IncomingMessage, socket: TLSSocket): void {
    this.#events.emit("upgrade");
    if (this.meets === "silence") return;
    if (this.meets === "absence" || request.url !== "/v2/outlet") {
      socket.end(page(404));
      return;
    }
    const { "sec-websocket-key": key, "sec-websocket-protocol": protocols } = request.headers;
    if (protocols?.includes("kong.meta.v1") !== true) {
      socket.destroy();
      return;
    }
    const accept = createHash("sha1").update(`${key}${WEBSOCKET_GUID}`).digest("base64");
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accept}\r\nSec-WebSocket-Protocol: kong.meta.v1\r\n\r\n`,
    );
    const tcp = [...this.#sockets].find(({ remotePort }) => remotePort === socket.remotePort);
    this.sessions.push(new FakeRpcSession(request, socket, tcp ?? socket));
    this.#events.emit("session");
  }
}

export class FakeRpcSession {
  readonly request: IncomingMessage;
  readonly frames: Frame[] = [];
  /** Resolves once the connection is over. */
  readonly ended: Promise<void>;
  readonly #socket: TLSSocket;
  readonly #tcp: Socket;
  readonly #events = new EventEmitter();

  constructor(request: IncomingMessage, socket: TLSSocket, tcp: Socket) {
    this.request = request;
    this.#socket = socket;
    this.#tcp = tcp;
    this.ended = new Promise((resolve) => {
      socket.once("close", () => resolve());
    });
    const reader = new FrameReader();
    socket.on("data", (chunk: Buffer) => {
      for (const frame of reader.read(chunk)) {
        this.frames.push(frame);
        this.#events.emit("frame");
      }
    });
  }

  /** Resolves once at least `count` frames have come, with all of them. */
  async received(count: number): Promise<readonly Frame[]> {
    while (this.frames.length < count) await once(this.#events, "frame");
    return this.frames;
  }

  send(opcode: number, payload: Uint8Array, final = true): void {
    this.write(encodeFrame(opcode, payload, final));
  }

  write(bytes: Uint8Array): void {
    this.#socket.write(bytes);
  }

  /** A close frame, then the end. */
  close(payload: Uint8Array = Buffer.alloc(0)): void {
    this.#socket.end(encodeFrame(CLOSE, payload));
  }

  /** Stops reading; while it lasts, not even the end of the connection is noticed. */
  pause(): void {
    this.#socket.pause();
  }

  /** An end without a close frame. */
  drop(): void {
    this.#socket.destroy();
  }

  /** An end with a TCP reset. */
  reset(): void {
    this.#tcp.resetAndDestroy();
  }
}
