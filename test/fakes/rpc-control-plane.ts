/**
 * A control plane's `/v2/outlet`: takes the upgrade as Kong 3.9.1 does, records every frame, answers
 * none, and sends what a test tells it to.
 */

import { EventEmitter, once } from "node:events";
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { ClusterTls } from "../../src/kong/cluster-tls.ts";
import { page, UpgradeServer } from "./upgrade-server.ts";
import { CLOSE, encodeFrame, type Frame, FrameReader } from "./websocket-frames.ts";

export class FakeRpcControlPlane extends UpgradeServer<FakeRpcSession> {
  /** What an upgrade meets; 404, as without `cluster_rpc`; nothing at all. */
  meets: "success" | "absence" | "silence" = "success";

  static listen(tls: ClusterTls): Promise<FakeRpcControlPlane> {
    return new FakeRpcControlPlane(tls).listening();
  }

  protected override upgrade(request: IncomingMessage, socket: TLSSocket): void {
    if (this.meets === "silence") return;
    if (this.meets === "absence" || request.url !== "/v2/outlet") {
      socket.end(page(404));
    } else if (request.headers["sec-websocket-protocol"]?.includes("kong.meta.v1") !== true) {
      socket.destroy();
    } else {
      const begin = () => {
        const tcp = [...this.sockets].find(({ remotePort }) => remotePort === socket.remotePort);
        return new FakeRpcSession(request, socket, tcp ?? socket);
      };
      const headers = "Sec-WebSocket-Protocol: kong.meta.v1\r\n";
      this.take(request, socket, begin, { headers });
    }
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
