/** What the tests of version 2 share: a door behind which it is served, its upstream, and data planes that do nothing by themselves. */

import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import type { HostPort } from "../../../src/core/host-port.ts";
import type { Introduction } from "../../../src/sidecar/door/admission.ts";
import { PacedStream } from "../../../src/sidecar/door/paced-stream.ts";
import { Upstream } from "../../../src/sidecar/live/upstream.ts";
import { type RpcContext, serveRpc } from "../../../src/sidecar/rpc/rpc.ts";
import { ClusterDialer } from "../../../src/source/dialer.ts";
import type { Dialer } from "../../../src/source/port.ts";
import { type DialOptions, upgrade } from "../../fakes/data-plane-dial.ts";
import { type Arrival, ArrivalReader, encodeMasked } from "../../fakes/data-plane-frames.ts";
import type { ManualClock } from "../../fakes/manual-clock.ts";
import { BINARY, PING, PONG } from "../../fakes/websocket-frames.ts";
import { capture, clusterTls } from "../../source/harness.ts";
import { Door } from "../door/harness.ts";
import { PROBE, TIMING } from "../live/upstream-stage.ts";

export const MAX_PAYLOAD_BYTES = 16_777_216;
export const HELLO = capture("3.9.1/rpc-v2/00.data-plane-to-control-plane.bin");

export interface RpcStageOptions {
  /** No control plane by default. */
  readonly dialer?: Dialer | ((clock: ManualClock) => Dialer);
  readonly random?: () => number;
  /** Whether data planes get their config over version 1; true by default. */
  readonly isOnVersion1?: boolean;
}

/** A dialer for `RpcStageOptions`, as in production. */
export function dialerTo(controlPlane: HostPort): (clock: ManualClock) => Dialer {
  return (clock) =>
    new ClusterDialer({
      controlPlane,
      proxy: undefined,
      loadTls: async () => clusterTls,
      maxPayloadBytes: MAX_PAYLOAD_BYTES,
      clock,
    });
}

export class RpcStage implements AsyncDisposable {
  readonly clock: ManualClock;
  readonly address: HostPort;
  readonly upstream: Upstream;
  readonly #door: Door;
  /** One for each data plane, resolved when its session is over. */
  readonly served: Promise<void>[] = [];
  /** Those that get nothing now. */
  readonly unserved: Introduction[] = [];

  private constructor(door: Door, options: RpcStageOptions) {
    const { dialer, random = () => 0, isOnVersion1 = true } = options;
    const { clock, log } = door;
    this.clock = clock;
    this.address = { host: "127.0.0.1", port: door.listener.port };
    this.#door = door;
    this.upstream = new Upstream({
      dialer: typeof dialer === "function" ? dialer(clock) : dialer,
      probeTarget: PROBE,
      served: () => [],
      timing: TIMING,
      clock,
      random: () => 0,
      log,
    });
    const context: RpcContext = {
      upstream: this.upstream,
      maxPayloadBytes: MAX_PAYLOAD_BYTES,
      wrap: (socket) => new PacedStream(socket, { clock, stallMs: 15_000 }),
      releaseMs: TIMING.releaseMs,
      isOnVersion1: () => isOnVersion1,
      onUnserved: (introduction) => {
        this.unserved.push(introduction);
        return {
          [Symbol.dispose]: () => this.unserved.splice(this.unserved.indexOf(introduction), 1),
        };
      },
      clock,
      random,
    };
    door.onArrival = (arrival) => this.served.push(serveRpc(arrival, context));
  }

  static async open(options: RpcStageOptions = {}): Promise<RpcStage> {
    return new RpcStage(await Door.open(), options);
  }

  /** A data plane with a connection of its own. Rejects with HandshakeRefused. */
  async connect(changes: Partial<DialOptions> = {}): Promise<RpcPlane> {
    return (await this.knock(changes)).answered;
  }

  /** One that has asked; `answered` as `connect`. */
  async knock(changes: Partial<DialOptions> = {}) {
    const tcp = await this.#door.tcp();
    const socket = await this.#door.tls({ socket: tcp });
    const request: DialOptions = {
      controlPlane: this.address,
      tls: clusterTls,
      target: "/v2/outlet",
      subprotocol: "kong.meta.v1",
      ...changes,
    };
    const answered = upgrade(socket, request, new AbortController().signal).then(
      (headers) => new RpcPlane(tcp, socket, headers),
    );
    // Whoever calls looks at it later.
    answered.catch(() => {});
    return { tcp, answered };
  }

  /** Drops every data plane; nothing must be left: no session, no timer. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#door[Symbol.asyncDispose]();
    await Promise.all(this.served);
    await this.clock.advance(0);
    assert.equal(this.clock.sleepers, 0);
  }
}

export class RpcPlane {
  /** Of the 101, names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  readonly frames: Arrival[] = [];
  /** Resolves once the connection is over. */
  readonly ended: Promise<void>;
  readonly #tcp: Socket;
  readonly #socket: TLSSocket;
  readonly #events = new EventEmitter();

  constructor(tcp: Socket, socket: TLSSocket, headers: ReadonlyMap<string, string>) {
    this.headers = headers;
    this.#tcp = tcp;
    this.#socket = socket;
    this.ended = new Promise((resolve) => {
      socket.once("close", () => resolve());
    });
    const reader = new ArrivalReader({ maxPayloadBytes: MAX_PAYLOAD_BYTES, keeps: true });
    socket.on("data", (chunk: Buffer) => {
      for (const frame of reader.read(chunk)) {
        this.frames.push(frame);
        this.#events.emit("frame");
      }
    });
    socket.resume();
  }

  /** Resolves once at least `count` frames have come, with all of them. */
  async received(count: number): Promise<readonly Arrival[]> {
    while (this.frames.length < count) await once(this.#events, "frame");
    return this.frames;
  }

  /** Whether a ping is answered; false where the connection ends instead. */
  async isAnswered(): Promise<boolean> {
    const pongs = () => this.frames.filter(({ opcode }) => opcode === PONG).length;
    const before = pongs();
    const answered = async () => {
      while (pongs() === before) await once(this.#events, "frame");
      return true;
    };
    this.send(PING);
    return Promise.race([answered(), this.ended.then(() => false)]);
  }

  /** Says the recorded hello; gives the answer. */
  async greet(): Promise<{ readonly result: { readonly rpc_capabilities: readonly string[] } }> {
    const { length } = this.frames;
    this.send(BINARY, HELLO);
    await this.received(length + 1);
    return JSON.parse(String(this.frames[length]?.payload));
  }

  send(opcode: number, payload: Uint8Array = Buffer.alloc(0), final = true): void {
    this.write(encodeMasked(opcode, payload, final));
  }

  write(bytes: Uint8Array): void {
    this.#socket.write(bytes);
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
