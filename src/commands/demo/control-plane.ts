/** The demo's control plane: the fallback control plane with nothing behind it, given a config. */

import type { Clock } from "../../core/clock.ts";
import type { Log } from "../../core/log.ts";
import type { ClusterTls } from "../../kong/cluster-tls.ts";
import { createMetrics } from "../../runtime/metrics.ts";
import { FallbackControlPlane } from "../../sidecar/control-plane.ts";
import { Remember } from "../../sidecar/shelf/remember.ts";
import { Shelf } from "../../sidecar/shelf/shelf.ts";
import type { DemoConfig } from "./config.ts";

export interface DemoControlPlaneOptions {
  readonly tls: ClusterTls;
  /** 0: any. */
  readonly port: number;
  readonly clock: Clock;
  readonly log: Log;
}

const MAX_BYTES = 2 ** 24;

export class DemoControlPlane implements AsyncDisposable {
  readonly #server: FallbackControlPlane;
  readonly #remember: Remember;
  readonly #stop = new AbortController();
  readonly #remembering: Promise<void>;

  private constructor(server: FallbackControlPlane, remember: Remember) {
    this.#server = server;
    this.#remember = remember;
    this.#remembering = remember.run(this.#stop.signal);
  }

  static async listen({
    tls,
    port,
    clock,
    log,
  }: DemoControlPlaneOptions): Promise<DemoControlPlane> {
    const shelf = new Shelf();
    const remember = new Remember({
      shelf,
      exporterId: "demo",
      maxConfigBytes: MAX_BYTES,
      clock,
      log,
    });
    const gauges = { dataPlanes: () => ({}), snapshotAges: () => ({}) };
    const server = await FallbackControlPlane.listen({
      host: "127.0.0.1",
      port,
      tls,
      limits: { maxConnections: 100, handshakesPerSecond: 100 },
      dialer: undefined,
      probeTarget: "",
      timing: { retryMs: 0, reconnectMs: 0, recoveryMs: 0, releaseMs: 0, configWaitMs: 0 },
      maxPayloadBytes: MAX_BYTES,
      shelf,
      onVersion: async () => {},
      remember: undefined,
      clock,
      random: Math.random,
      log,
      metrics: createMetrics().sidecar(gauges),
    });
    return new DemoControlPlane(server, remember);
  }

  get port(): number {
    return this.#server.port;
  }

  /** Node ids of the data planes that are connected. */
  get dataPlanes(): readonly string[] {
    return this.#server.planes.map(({ introduction }) => introduction.nodeId);
  }

  /** Sends it to the data planes that are there, and to those that come. */
  publish({ frame, version }: DemoConfig): void {
    this.#remember.offer(version, frame);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server[Symbol.asyncDispose]();
    this.#stop.abort();
    await this.#remembering;
  }
}
