/** What the tests of the fallback control plane's door share: a door, and strangers and data planes before it. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as connectTcp, type Socket } from "node:net";
import { setImmediate } from "node:timers/promises";
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from "node:tls";
import type { ClusterCertificate } from "../../../src/kong/cluster-certificate.ts";
import type { Accepted, Arrival } from "../../../src/sidecar/door/admission.ts";
import { Listener, type ListenerOptions } from "../../../src/sidecar/door/listener.ts";
import { ManualClock } from "../../fakes/manual-clock.ts";
import { RecordingLog } from "../../fakes/recording-log.ts";
import { clusterTls, NODE_ID } from "../../source/harness.ts";

export const OUTLET = `/v1/outlet?node_id=${NODE_ID}&node_hostname=dp-0&node_version=3.9.1`;

/** As a real data plane sends them, in its order. */
export const UPGRADE: Readonly<Record<string, string>> = {
  Upgrade: "websocket",
  Host: "127.0.0.1:8005",
  "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
  "Sec-WebSocket-Version": "13",
  Connection: "Upgrade",
};

/** A request; headers that are undefined are left out. */
export function request(
  target = OUTLET,
  changes: Readonly<Record<string, string | undefined>> = {},
  start = "GET",
): string {
  const headers = Object.entries({ ...UPGRADE, ...changes })
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}: ${value}\r\n`);
  return `${start} ${target} HTTP/1.1\r\n${headers.join("")}\r\n`;
}

export class Door implements AsyncDisposable {
  readonly listener: Listener;
  readonly clock: ManualClock;
  readonly log: RecordingLog;
  readonly arrivals: Arrival[] = [];
  distrusts = 0;
  /** Called with each arrival. */
  onArrival: (arrival: Arrival) => void = () => {};
  readonly #clients = new Set<Socket>();

  private constructor(listener: Listener, clock: ManualClock, log: RecordingLog) {
    this.listener = listener;
    this.clock = clock;
    this.log = log;
  }

  static async open(changes: Partial<ListenerOptions> = {}): Promise<Door> {
    const clock = new ManualClock(new Date());
    const log = new RecordingLog();
    const listener = await Listener.listen({
      host: "127.0.0.1",
      port: 0,
      tls: clusterTls,
      limits: { maxConnections: 100, handshakesPerSecond: 100 },
      clock,
      log,
      onDistrust: () => {
        door.distrusts += 1;
      },
      onRequest: (arrival) => {
        door.arrivals.push(arrival);
        door.onArrival(arrival);
      },
      ...changes,
    });
    const door = new Door(listener, clock, log);
    return door;
  }

  /** A connection without TLS, connected as far as the kernel is concerned. */
  async tcp(): Promise<Socket> {
    const socket = this.#keep(connectTcp(this.listener.port, "127.0.0.1"));
    await once(socket, "connect");
    return socket;
  }

  /** A TLS connection of a data plane with the cluster certificate. Rejects if the handshake fails. */
  async tls(changes: ConnectionOptions = {}): Promise<TLSSocket> {
    const socket = this.#keep(
      connectTls({
        host: "127.0.0.1",
        port: this.listener.port,
        cert: clusterTls.cert,
        key: clusterTls.key.reveal(),
        ca: clusterTls.cert,
        servername: "kong_clustering",
        ...changes,
      }),
    );
    await once(socket, "secureConnect");
    return socket;
  }

  /** A data plane that was let in and is yet undecided. */
  async knock(text: string | Uint8Array = request(), changes: ConnectionOptions = {}) {
    const socket = await this.tls(changes);
    const arrived = new Promise<Arrival>((resolve) => {
      this.onArrival = resolve;
    });
    socket.write(text);
    return { socket, arrival: await arrived };
  }

  /** A data plane whose WebSocket is open, on both sides. */
  async enter(): Promise<{ readonly socket: TLSSocket; readonly accepted: Accepted }> {
    const { socket, arrival } = await this.knock();
    const answered = once(socket, "data");
    const accepted = arrival.accept();
    assert.ok(accepted);
    await answered;
    return { socket, accepted };
  }

  /** Polls: it happens on sockets of this process. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await setImmediate();
  }

  /** Of all warnings, in order. */
  get reasons(): readonly unknown[] {
    return this.log.find("warn").map((line) => line.fields["reason"]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.listener[Symbol.asyncDispose]();
    for (const client of this.#clients) client.destroy();
  }

  #keep<S extends Socket>(socket: S): S {
    this.#clients.add(socket);
    return socket.on("error", () => {});
  }
}

/** All it receives until the connection closes: `""` if it was closed without an answer. */
export async function answerTo(socket: Socket, text?: string | Uint8Array): Promise<string> {
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  if (text !== undefined) socket.write(text);
  // `once` would reject on a reset.
  if (!socket.destroyed) await new Promise((resolve) => socket.once("close", resolve));
  return Buffer.concat(chunks).toString("latin1");
}

/** The first data it receives. */
export async function firstAnswerTo(socket: Socket): Promise<string> {
  const [chunk] = await once(socket, "data");
  return String(chunk);
}

/** As a client of Node's TLS shows it. */
export async function shown(pair: ClusterCertificate | Promise<ClusterCertificate>) {
  const { cert, key } = await pair;
  return { cert, key: key.reveal() };
}
