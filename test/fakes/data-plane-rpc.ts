/**
 * The other connection of a data plane, with `cluster_rpc` on: `/v2/outlet`, JSON-RPC. It goes as far
 * as the hello, recorded from Kong 3.9.1, and the heartbeat; a test sends what else it wants to travel.
 */

import { readFileSync } from "node:fs";
import { PING_INTERVAL_MS } from "../../src/kong/wire.ts";
import { step } from "../../src/source/connect.ts";
import type { FakeDataPlane } from "./data-plane.ts";
import type { Arrival } from "./data-plane-frames.ts";
import type { DataPlaneLink, DataPlaneLinkOptions } from "./data-plane-link.ts";
import { ReconnectingPlane, type ReconnectingPlaneOptions } from "./reconnecting-plane.ts";
import { BINARY, PING, PONG } from "./websocket-frames.ts";

export interface FakeRpcDataPlaneOptions extends ReconnectingPlaneOptions {
  /** Replace what the recorded hello says. */
  readonly nodeId?: string;
  readonly hostname?: string;
  readonly version?: string;
  /** Started, and kept running, once a control plane answers the hello without `kong.sync.v2`: 3.10 does, 3.9.1 stays empty. */
  readonly fallsBackToV1?: FakeDataPlane;
}

const RPC_PATH = "/v2/outlet";
const SUBPROTOCOL = "kong.meta.v1";
const SYNC = "kong.sync.v2";

/** How long it waits for a frame before it looks at the time. Kong/kong@3.9.1 kong/constants.lua:CLUSTERING_TIMEOUT */
const TICK_MS = 5_000;

export class FakeRpcDataPlane extends ReconnectingPlane {
  /** What the control plane answered the newest hello with. */
  capabilities: readonly string[] | undefined;
  pings = 0;
  readonly #options: FakeRpcDataPlaneOptions;
  readonly #hello: Buffer;
  #isFallenBack = false;

  constructor(options: FakeRpcDataPlaneOptions) {
    super(options);
    this.#options = options;
    this.#hello = hello(options);
  }

  /** Sends a binary message: JSON-RPC, compressed with snappy. */
  sendMessage(message: Uint8Array): void {
    this.send(BINARY, message);
  }

  protected override linkOptions(): DataPlaneLinkOptions {
    const { controlPlane, tls, clock } = this.#options;
    return {
      controlPlane,
      tls,
      clock,
      target: RPC_PATH,
      subprotocol: SUBPROTOCOL,
      maxPayloadBytes: 16_777_216,
      keeps: true,
    };
  }

  /** Resolves once the hello is answered as it must be; else hangs up and rejects. */
  protected override async begin(link: DataPlaneLink): Promise<void> {
    try {
      if (link.headers.get("sec-websocket-protocol") !== SUBPROTOCOL) {
        throw new Error(`the control plane did not choose the subprotocol ${SUBPROTOCOL}`);
      }
      const answer = this.#start(link);
      link.send(BINARY, this.#hello);
      this.capabilities = readAnswer(await answer);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      if (!link.signal.aborted) this.violation(reason);
      link.hangUp(reason);
      throw error;
    }
    void this.#beat(link);
    this.#fallBack();
  }

  /** Gives the first message, which must come within `STEP_TIMEOUT_MS`. */
  #start(link: DataPlaneLink): Promise<Buffer> {
    return step(
      this.clock,
      link.signal,
      (limit) =>
        new Promise((resolve, reject) => {
          limit.addEventListener("abort", () => reject(limit.reason), { once: true });
          link.start({
            frame: (arrival) => {
              if (arrival.opcode === BINARY) resolve(arrival.payload);
              this.#take(arrival, link);
            },
            violation: (what) => this.violation(what),
          });
        }),
    );
  }

  #take({ opcode, payload, bytes }: Arrival, link: DataPlaneLink): void {
    if (opcode === PONG) {
      this.pongs += 1;
    } else if (opcode === PING) {
      link.send(PONG, Buffer.alloc(0));
    } else if (opcode === BINARY) {
      this.bytesReceived += bytes;
      this.received.push({ frame: payload, isBinary: true, at: this.clock.monotonicMs() });
    } else {
      this.violation("a message that is not binary");
      link.hangUp("a message that is not binary");
    }
    this.changed();
  }

  /** Pings only a control plane it has not heard of for a whole interval, and looks every 5 s. */
  async #beat(link: DataPlaneLink): Promise<void> {
    void link.watchSilence();
    try {
      for (;;) {
        await this.clock.sleep(TICK_MS, link.signal);
        if (link.silentForMs <= PING_INTERVAL_MS) continue;
        this.pings += 1;
        link.send(PING, Buffer.alloc(0));
      }
    } catch {
      // The connection is over.
    }
  }

  #fallBack(): void {
    const { fallsBackToV1 } = this.#options;
    if (this.capabilities?.includes(SYNC) === true || this.#isFallenBack) return;
    this.#isFallenBack = true;
    void fallsBackToV1?.run(this.gone);
  }
}

/** Unchanged bytes where there is nothing to replace. */
function hello({ nodeId, hostname, version }: FakeRpcDataPlaneOptions): Buffer {
  const name = "../fixtures/captures/3.9.1/rpc-v2/00.data-plane-to-control-plane.bin";
  const recorded = readFileSync(new URL(name, import.meta.url));
  const replacements = Object.entries({
    kong_node_id: nodeId,
    kong_hostname: hostname,
    kong_version: version,
  }).filter(([, value]) => value !== undefined);
  if (replacements.length === 0) return recorded;
  const request = JSON.parse(recorded.toString("utf8")) as { params: [object] };
  const params = [{ ...request.params[0], ...Object.fromEntries(replacements) }];
  return Buffer.from(JSON.stringify({ ...request, params }));
}

/** The capabilities. Throws where a data plane would not take the answer. Kong/kong@3.9.1 kong/clustering/rpc/manager.lua */
function readAnswer(message: Buffer): readonly string[] {
  const { jsonrpc, id, result } = JSON.parse(message.toString("utf8")) as {
    readonly jsonrpc?: unknown;
    readonly id?: unknown;
    readonly result?: {
      readonly rpc_capabilities?: unknown;
      readonly rpc_frame_encoding?: unknown;
    };
  };
  const { rpc_capabilities: capabilities, rpc_frame_encoding: encoding } = result ?? {};
  if (jsonrpc !== "2.0" || id !== 1) throw new Error("the first message does not answer the hello");
  if (encoding !== "x-snappy-framed")
    throw new Error("the hello was answered with no frame encoding");
  if (!Array.isArray(capabilities)) throw new Error("the hello was answered with no capabilities");
  return capabilities;
}
