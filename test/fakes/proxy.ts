/** A forward proxy that makes tunnels with CONNECT, or refuses. */

import { once } from "node:events";
import http, { type IncomingMessage } from "node:http";
import https from "node:https";
import { type AddressInfo, connect, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { ClusterCertificate } from "../../src/kong/cluster-certificate.ts";

export interface FakeProxyOptions {
  /** An https proxy; plain http without. */
  readonly certificate?: ClusterCertificate;
  /** Answered in place of making the tunnel. */
  readonly status?: number;
  /** Takes CONNECT and never answers. */
  readonly hangs?: boolean;
  /** Takes CONNECT and closes the connection. */
  readonly hangsUp?: boolean;
  /** Port of 127.0.0.1 that all tunnels lead to, whatever was asked for. */
  readonly leadsTo?: number;
}

export class FakeProxy implements AsyncDisposable {
  readonly requests: { readonly target: string; readonly headers: IncomingMessage["headers"] }[] =
    [];
  readonly #server: http.Server | https.Server;
  readonly #sockets = new Set<Socket>();

  private constructor(options: FakeProxyOptions) {
    const { certificate, status, hangs = false, hangsUp = false, leadsTo } = options;
    this.#server =
      certificate === undefined
        ? http.createServer()
        : https.createServer({ cert: certificate.cert, key: certificate.key.reveal() });
    this.#server.on("connection", (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket)).on("error", () => {});
    });
    this.#server.on("connect", (request: IncomingMessage, socket: Duplex) => {
      socket.on("error", () => {});
      const { url: target = "", headers } = request;
      this.requests.push({ target, headers });
      this.#server.emit("tunnel");
      if (hangs) return;
      if (hangsUp) {
        socket.destroy();
        return;
      }
      if (status !== undefined) {
        socket.end(`HTTP/1.1 ${status} Refused\r\nContent-Length: 0\r\n\r\n`);
        return;
      }
      const [host = "", port = ""] = target.split(":");
      const to = leadsTo === undefined ? { host, port: Number(port) } : { port: leadsTo };
      const upstream = connect(to, () => {
        socket.write("HTTP/1.1 200 Connection established\r\n\r\n");
        upstream.pipe(socket).pipe(upstream);
      });
      upstream.on("error", () => socket.destroy()).on("close", () => socket.destroy());
      socket.on("close", () => upstream.destroy());
    });
  }

  static async listen(options: FakeProxyOptions = {}): Promise<FakeProxy> {
    const proxy = new FakeProxy(options);
    proxy.#server.listen(0, "127.0.0.1");
    await once(proxy.#server, "listening");
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Resolves at the next CONNECT. */
  async asked(): Promise<void> {
    await once(this.#server, "tunnel");
  }

  /** Breaks every tunnel off with a TCP reset. */
  reset(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    if (!this.#server.listening) return;
    this.#server.close();
    await once(this.#server, "close");
  }
}
