/** The door of the fallback control plane: who may come in, how many, how fast. Answers and silences are Kong's: Kong/kong@3.9.1 kong/clustering/init.lua, kong/templates/nginx_kong.lua. */

import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import https from "node:https";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { SecureContextOptions, TLSSocket } from "node:tls";
import type { Clock } from "../../core/clock.ts";
import { describeCause } from "../../core/errors.ts";
import { FailureNews } from "../../core/failure-news.ts";
import { formatHostPort, type HostPort } from "../../core/host-port.ts";
import { ListenError } from "../../core/listen-error.ts";
import type { Log } from "../../core/log.ts";
import type { Secret } from "../../core/secret.ts";
import { Scope } from "../../core/waiting.ts";
import type { ClusterTls } from "../../kong/cluster-tls.ts";
import { STEP_TIMEOUT_MS } from "../../kong/wire.ts";
import { type Arrival, admit, answer, arrive, NO_UPGRADE } from "./admission.ts";
import { Turnstile, WarningLimit } from "./rate-limit.ts";

/** What data planes are shown in mode `pki`, where the cluster certificate may be a client's. */
export interface ServerCertificate {
  /** PEM; may hold intermediate certificates after the first. */
  readonly cert: string;
  /** PEM. */
  readonly key: Secret;
}

export interface ListenerOptions extends HostPort {
  /** Whom it takes, and what it shows. */
  readonly tls: ClusterTls;
  /** The pair in `tls` by default. */
  readonly serverCertificate?: ServerCertificate;
  /** Whole numbers, at least 1. */
  readonly limits: {
    /** Open TCP connections, those of strangers included; the next is dropped. */
    readonly maxConnections: number;
    /** TLS handshakes begun, also how many may begin at once; the next wait, 4 s at most, or are dropped. */
    readonly handshakesPerSecond: number;
  };
  readonly clock: Clock;
  readonly log: Log;
  /** Decides on each data plane let in, at once or later. Must not throw. */
  readonly onRequest: (arrival: Arrival) => void;
  /** Called for each data plane that leaves since it does not take the certificate it is shown. */
  readonly onDistrust: () => void;
  /** For a TLS handshake, milliseconds of the machine's time; default 5,000. */
  readonly handshakeTimeoutMs?: number;
}

/** A data plane gives its handshake up after 5 s: nobody is made to wait for that. */
const MAX_WAIT_SECONDS = 4;

const KEEP_ALIVE_MS = 60_000;

/** Hosts whose distrust is remembered as told; more than have data planes. */
const MAX_TOLD = 1_000;

export class Listener implements AsyncDisposable {
  readonly #options: ListenerOptions;
  readonly #tcp: Server;
  /** Never listens: it is handed the connections that may begin their handshake. */
  readonly #https: https.Server;
  readonly #turnstile: Turnstile<Socket>;
  readonly #warnings: WarningLimit;
  readonly #connections = new Set<Socket>();
  /** Of each secured connection that has asked nothing yet. Over when it is let in, or has gone. */
  readonly #deadlines = new WeakMap<Duplex, Scope>();
  /** By host. */
  readonly #distrust = new Map<string, FailureNews>();
  readonly #closed = new Scope();
  #tls: ClusterTls;

  private constructor(options: ListenerOptions) {
    const { tls, serverCertificate, limits, clock, log } = options;
    const signal = this.#closed.signal;
    this.#options = options;
    this.#tls = tls;
    this.#warnings = new WarningLimit(log, clock, signal);
    this.#https = this.#createHttps(contextOf(tls, serverCertificate));
    this.#turnstile = new Turnstile({
      perSecond: limits.handshakesPerSecond,
      maxWaiting: limits.handshakesPerSecond * MAX_WAIT_SECONDS,
      clock,
      pass: (socket) => this.#https.emit("connection", socket),
      signal,
    });
    this.#tcp = createServer({
      // Nothing is read of those that wait.
      pauseOnConnect: true,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: KEEP_ALIVE_MS,
    });
    this.#tcp.maxConnections = limits.maxConnections;
    this.#tcp.on("connection", (socket) => this.#queue(socket));
    this.#tcp.on("drop", (peer) => {
      const address = addressOf(peer ?? {});
      this.#warn(`there are ${limits.maxConnections} connections already`, address, 60_000);
    });
  }

  /** Rejects with ListenError. Port 0 takes any free one. */
  static async listen(options: ListenerOptions): Promise<Listener> {
    const listener = new Listener(options);
    const tcp = listener.#tcp.listen(options.port, options.host);
    try {
      await once(tcp, "listening");
    } catch (cause) {
      throw new ListenError("data planes", options, cause);
    }
    // A connection that could not be taken must not end the others.
    tcp.on("error", (error) => listener.#warn(describeCause(error), "unknown"));
    return listener;
  }

  get port(): number {
    const address: AddressInfo | string | null = this.#tcp.address();
    return typeof address === "object" ? (address?.port ?? 0) : 0;
  }

  /**
   * From now on handshakes show the new certificate and requests are judged by `tls`; whoever was let
   * in stays. Throws OpenSSL's error, and changes nothing, on a pair that does not fit.
   */
  rotate(tls: ClusterTls, serverCertificate?: ServerCertificate): void {
    this.#https.setSecureContext(contextOf(tls, serverCertificate));
    this.#tls = tls;
  }

  /** Drops every connection, whatever its state, and stops listening. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed.end();
    for (const connection of this.#connections) connection.destroy();
    await new Promise((resolve) => this.#tcp.close(resolve));
  }

  #createHttps(context: SecureContextOptions): https.Server {
    const server = https.createServer({
      ...context,
      requestCert: true,
      // Judged at the request, which is where a data plane expects the answer.
      rejectUnauthorized: false,
      handshakeTimeout: this.#options.handshakeTimeoutMs ?? STEP_TIMEOUT_MS,
    });
    server.on("secureConnection", (socket) => this.#awaitRequest(socket));
    // Of TLS and of HTTP. Node would answer the latter.
    server.on("clientError", (error: NodeJS.ErrnoException, socket) => {
      const address = addressOf(socket);
      // Whoever hangs up before it asks, as a load balancer's probe does, is no fault.
      if (error.code?.includes("_ALERT_")) {
        this.#tellDistrust(address, error.code);
      } else if (error.code === "ECONNRESET") {
        this.#options.log.debug({ address }, "connection ended before its request");
      } else {
        this.#deadlines.delete(socket);
        this.#warn(error.code ?? error.message, address);
      }
      socket.destroy();
    });
    server.on("request", (request) => this.#decide(request, undefined));
    server.on("upgrade", (request, _, head) => this.#decide(request, head));
    return server;
  }

  #queue(socket: Socket): void {
    this.#connections.add(socket);
    socket.once("close", () => this.#connections.delete(socket));
    socket.on("error", () => {});
    if (this.#turnstile.enter(socket)) return;
    this.#warn("too many wait for their TLS handshake", addressOf(socket));
    socket.destroy();
  }

  /** The head of a request has 5 s, however it drips. Node enforces `headersTimeout` only in a server that listens. */
  #awaitRequest(socket: TLSSocket): void {
    const over = new Scope();
    this.#deadlines.set(socket, over);
    const address = addressOf(socket);
    // Not to be asked of a closed one.
    const isDataPlane = socket.getPeerX509Certificate() !== undefined;
    socket.once("close", () => {
      over.end();
      // OpenResty looks at the certificate when the handshake is over, and says nothing.
      const hasLeft = this.#deadlines.delete(socket) && !this.#closed.isOver;
      if (hasLeft && isDataPlane) this.#tellDistrust(address, undefined);
    });
    // Node's own listeners end with the upgrade.
    socket.on("error", () => {});
    this.#options.clock.sleep(STEP_TIMEOUT_MS, over.signal).then(
      () => {
        this.#deadlines.delete(socket);
        this.#warn("no request within 5 s", address);
        socket.destroy();
      },
      // A data plane was let in, or the connection is gone.
      () => {},
    );
  }

  /** `head`: undefined if the request is no upgrade. */
  #decide(request: IncomingMessage, head: Buffer | undefined): void {
    const { socket } = request;
    const deadline = this.#deadlines.get(socket);
    // What comes behind a refused request in the same breath is not looked at.
    if (deadline === undefined) return;
    this.#deadlines.delete(socket);
    const address = addressOf(socket);
    const admission = admit(request, this.#tls);
    if (admission.kind === "admitted" && head !== undefined) {
      deadline.end();
      this.#options.onRequest(arrive(admission, { request, socket, head, address }));
      return;
    }
    const { why, status } = admission.kind === "admitted" ? NO_UPGRADE : admission;
    this.#warn(why, address);
    answer(socket, status);
  }

  /** Once per host, and again after 5 minutes. `code`: of the TLS alert, if it sent one. */
  #tellDistrust(address: string, code: string | undefined): void {
    const { onDistrust, clock, log } = this.#options;
    onDistrust();
    const host = address.slice(0, address.lastIndexOf(":"));
    let news = this.#distrust.get(host);
    if (news === undefined) {
      if (this.#distrust.size >= MAX_TOLD) this.#distrust.clear();
      news = new FailureNews(clock);
      this.#distrust.set(host, news);
    }
    if (!news.isNews(code ?? "")) return;
    log.warn(
      { address, code, hint: DISTRUST_HINTS[this.#tls.mtls] },
      "data plane breaks off the TLS handshake: it does not take the certificate it is shown",
    );
  }

  #warn(reason: string, address: string, everyMs?: number): void {
    this.#warnings.warn({ reason, address }, "data plane refused", everyMs);
  }
}

const DISTRUST_HINTS: { readonly [Mode in ClusterTls["mtls"]]: string } = {
  shared:
    "The data plane must have the same KONG_CLUSTER_CERT as serve: after a rotation, restart whoever kept the old one. Its log says what it does not take.",
  pki: "The data plane's KONG_CLUSTER_CA_CERT must have signed the certificate of serve (KONG_FALLBACK_SERVER_CERT, else KONG_CLUSTER_CERT), and its KONG_CLUSTER_SERVER_NAME must stand in that. Its log says what it does not take.",
};

function contextOf(tls: ClusterTls, own: ServerCertificate | undefined): SecureContextOptions {
  const { cert, key } = own ?? tls;
  return { cert, key: key.reveal(), ...(tls.ca !== undefined && { ca: [...tls.ca] }) };
}

function addressOf(peer: object): string {
  if (!("remoteAddress" in peer && "remotePort" in peer)) return "unknown";
  const { remoteAddress: host, remotePort: port } = peer;
  if (typeof host !== "string" || typeof port !== "number") return "unknown";
  return formatHostPort({ host, port });
}
