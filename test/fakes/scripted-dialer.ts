/** A dialer whose control plane is up, down, or hanging as the test says; its connections are WebSockets on a socket in memory. */

import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { Duplex } from "node:stream";
import { type WebSocket, WebSocketServer } from "ws";
import type { Clock } from "../../src/core/clock.ts";
import {
  type DialedConnection,
  type Dialer,
  type DialRequest,
  SourceError,
} from "../../src/source/port.ts";

export interface Dial extends DialRequest {
  /** By the monotonic clock. */
  readonly atMs: number;
}

export class ScriptedDialer implements Dialer {
  readonly name = "cp.example:8005";
  readonly dials: Dial[] = [];
  /** Of those that were made, in their order. */
  readonly connections: DialedConnection[] = [];
  /** What a dial meets; an error is what it rejects with. */
  meets: "success" | "silence" | Error = "success";
  readonly #clock: Clock;
  readonly #server = new WebSocketServer({ noServer: true, clientTracking: false });

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Connections that are open. */
  get open(): readonly DialedConnection[] {
    return this.connections.filter(({ webSocket }) => webSocket.readyState === webSocket.OPEN);
  }

  async dial(request: DialRequest, signal: AbortSignal): Promise<DialedConnection> {
    signal.throwIfAborted();
    this.dials.push({ ...request, atMs: this.#clock.monotonicMs() });
    if (this.meets === "silence") await once(signal, "abort");
    signal.throwIfAborted();
    if (this.meets instanceof Error) throw this.meets;
    const connection = this.#connect();
    this.connections.push(connection);
    return connection;
  }

  /** Refuses from now on, and breaks every connection; resolves once they are closed. */
  async down(error: Error = unreachable()): Promise<void> {
    this.meets = error;
    const { open } = this;
    const closed = open.map(({ webSocket }) => once(webSocket, "close"));
    for (const { socket } of open) socket.destroy();
    await Promise.all(closed);
  }

  up(): void {
    this.meets = "success";
  }

  #connect(): DialedConnection {
    const socket = new Duplex({ read() {}, write: (_, __, done) => done() });
    const webSockets: WebSocket[] = [];
    this.#server.handleUpgrade(UPGRADE as IncomingMessage, socket, Buffer.alloc(0), (made) =>
      webSockets.push(made),
    );
    const [webSocket] = webSockets;
    if (webSocket === undefined) throw new Error("ws refused the fake's own request");
    return { webSocket, socket, explain: () => unreachable() };
  }
}

const UPGRADE: Partial<IncomingMessage> = {
  method: "GET",
  headers: {
    upgrade: "websocket",
    connection: "Upgrade",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    "sec-websocket-version": "13",
  },
};

export function unreachable(): SourceError {
  return new SourceError("SOURCE_UNREACHABLE", "cp.example:8005 cannot be reached");
}
