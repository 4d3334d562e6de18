/** A control plane of our own: speaks Kong's side of hybrid mode, version 1, to real data planes. */

import { once } from "node:events";
import https from "node:https";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { type WebSocket, WebSocketServer } from "ws";
import type { Clock } from "../core/clock.ts";
import type { HostPort } from "../core/host-port.ts";
import { ListenError } from "../core/listen-error.ts";
import type { Log } from "../core/log.ts";
import { parseBasicInfo } from "../kong/basic-info.ts";
import type { ClusterTls } from "../kong/cluster-tls.ts";
import { SILENCE_LIMIT_MS, STEP_TIMEOUT_MS } from "../kong/wire.ts";
import { admit, type Introduction } from "./admission.ts";

export interface FallbackControlPlaneOptions extends HostPort {
  /** In mode `shared` the cluster certificate; in mode `pki` a server certificate, and `ca` signs the data planes'. */
  readonly tls: ClusterTls;
  readonly clock: Clock;
  readonly log?: Log;
}

/** A data plane whose session is up. */
export interface ConnectedPlane extends Introduction {
  /** Hash of the config it runs, from its last ping, 32 zeros if none; undefined before the first ping. */
  readonly hash: string | undefined;
}

/** A real data plane's `basic_info` has some 15 kB; it sends nothing longer. */
const MAX_MESSAGE_BYTES = 1_048_576;

type Plane = { -readonly [Member in keyof ConnectedPlane]: ConnectedPlane[Member] };

export class FallbackControlPlane implements AsyncDisposable {
  readonly #clock: Clock;
  readonly #log: Log | undefined;
  readonly #server: https.Server;
  readonly #webSockets = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    // Ours are empty, as Kong's are.
    autoPong: false,
    maxPayload: MAX_MESSAGE_BYTES,
  });
  readonly #connections = new Set<Duplex>();
  readonly #planes = new Map<WebSocket, Plane>();
  readonly #closed = new AbortController();
  #frame: Uint8Array | undefined;

  private constructor({ tls, clock, log }: FallbackControlPlaneOptions) {
    this.#clock = clock;
    this.#log = log;
    this.#server = https.createServer({
      cert: tls.cert,
      key: tls.key.reveal(),
      ...(tls.ca !== undefined && { ca: [...tls.ca] }),
      requestCert: true,
      // Judged at the upgrade, which is where a data plane expects the answer.
      rejectUnauthorized: false,
    });
    this.#server.on("connection", (connection: Duplex) => {
      this.#connections.add(connection);
      connection.on("close", () => this.#connections.delete(connection));
    });
    this.#server.on("request", (_, response) => response.writeHead(404).end());
    this.#server.on("upgrade", (request, socket, head) => {
      socket.on("error", () => {});
      const admission = admit(request.url, socket, tls);
      if (admission.kind === "refused") {
        this.#log?.warn({ reason: admission.why }, "data plane refused");
        socket.end(admission.answer, () => socket.destroy());
        return;
      }
      this.#webSockets.handleUpgrade(request, socket, head, (webSocket) => {
        void this.#serve(webSocket, { ...admission.introduction, hash: undefined });
      });
    });
  }

  /** Rejects with ListenError. Port 0 takes any free one. */
  static async listen(options: FallbackControlPlaneOptions): Promise<FallbackControlPlane> {
    const controlPlane = new FallbackControlPlane(options);
    controlPlane.#server.listen(options.port, options.host);
    try {
      await once(controlPlane.#server, "listening");
    } catch (cause) {
      throw new ListenError("data planes", options, cause);
    }
    return controlPlane;
  }

  get port(): number {
    const address: AddressInfo | string | null = this.#server.address();
    return typeof address === "object" ? (address?.port ?? 0) : 0;
  }

  /** Those that have introduced themselves. */
  get planes(): readonly ConnectedPlane[] {
    return [...this.#planes.values()];
  }

  /** Sends the frame (gzip of a `reconfigure`) to every data plane, and from now on to each that connects. */
  publish(frame: Uint8Array): void {
    this.#frame = frame;
    for (const webSocket of this.#planes.keys()) webSocket.send(frame, { binary: true });
  }

  /** Drops every data plane and stops listening; they reconnect after 5 to 10 s, wherever they find a control plane. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed.abort();
    for (const connection of this.#connections) connection.destroy();
    if (!this.#server.listening) return;
    this.#server.close();
    await once(this.#server, "close");
  }

  async #serve(webSocket: WebSocket, plane: Plane): Promise<void> {
    const over = new AbortController();
    const stop = (): void => over.abort();
    this.#closed.signal.addEventListener("abort", stop, { once: true });
    let heardAtMs = this.#clock.monotonicMs();
    webSocket.on("error", (error) =>
      this.#log?.debug({ err: error }, "data plane's connection failed"),
    );
    webSocket.once("close", () => {
      this.#closed.signal.removeEventListener("abort", stop);
      over.abort();
      if (this.#planes.delete(webSocket)) this.#log?.info({ ...plane }, "data plane disconnected");
    });
    webSocket.on("ping", (payload) => {
      heardAtMs = this.#clock.monotonicMs();
      plane.hash = payload.toString("latin1").match(/^[0-9a-f]{32}$/)?.[0];
      webSocket.pong();
    });
    webSocket.once("message", (data, isBinary) => {
      const info = isBinary && Buffer.isBuffer(data) ? parseBasicInfo(data) : undefined;
      if (info === undefined) {
        this.#log?.warn({ nodeId: plane.nodeId }, "data plane did not begin with basic_info");
        webSocket.close();
        return;
      }
      this.#planes.set(webSocket, plane);
      this.#log?.info({ ...plane }, "data plane connected");
      if (this.#frame !== undefined) webSocket.send(this.#frame, { binary: true });
    });
    try {
      await this.#clock.sleep(STEP_TIMEOUT_MS, over.signal);
      while (this.#planes.has(webSocket)) {
        const silentForMs = this.#clock.monotonicMs() - heardAtMs;
        if (silentForMs >= SILENCE_LIMIT_MS) break;
        await this.#clock.sleep(SILENCE_LIMIT_MS - silentForMs, over.signal);
      }
      this.#log?.warn({ nodeId: plane.nodeId }, "data plane fell silent");
    } catch {
      // The session is over: the sleep ended early.
    }
    webSocket.terminate();
  }
}
