/** The demo's two ends of Kong's protocol, made of the project's own parts. */

import type { Clock } from "../../core/clock.ts";
import type { Log } from "../../core/log.ts";
import { Scope, within } from "../../core/waiting.ts";
import type { ClusterTls } from "../../kong/cluster-tls.ts";
import type { ConfigUpdate } from "../../kong/reconfigure.ts";
import type { KongVersion } from "../../kong/version.ts";
import { createMetrics } from "../../runtime/metrics.ts";
import { nodeIdFor } from "../../runtime/node-id.ts";
import { readSettings } from "../../runtime/settings.ts";
import { FallbackControlPlane } from "../../sidecar/control-plane.ts";
import { Remember } from "../../sidecar/shelf/remember.ts";
import { Shelf } from "../../sidecar/shelf/shelf.ts";
import type { ConfigSource, SourceEvent } from "../../source/port.ts";
import { openHybridSource, requireCluster } from "../cluster.ts";
import type { DemoConfig } from "./config.ts";
import { BrokenPromise, environmentFor, PATIENCE_MS, type Stage } from "./stage.ts";

export interface DemoControlPlaneOptions {
  readonly tls: ClusterTls;
  /** 0: any. */
  readonly port: number;
  readonly clock: Clock;
  readonly log: Log;
}

const MAX_BYTES = 2 ** 24;

/** The fallback control plane with nothing behind it, given a config. */
export class DemoControlPlane implements AsyncDisposable {
  readonly #server: FallbackControlPlane;
  readonly #remember: Remember;
  readonly #scope = new Scope();
  readonly #remembering: Promise<void>;

  private constructor(server: FallbackControlPlane, remember: Remember) {
    this.#server = server;
    this.#remember = remember;
    this.#remembering = remember.run(this.#scope.signal);
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
    const gauges = { dataPlanes: () => ({}), snapshotAges: () => ({}), heldBack: () => ({}) };
    const server = await FallbackControlPlane.listen({
      host: "127.0.0.1",
      port,
      tls,
      limits: { maxConnections: 100, handshakesPerSecond: 100 },
      dialer: undefined,
      probeTarget: "",
      inquiry: { target: () => "", plugins: [] },
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
    this.#scope.end();
    await this.#remembering;
  }
}

/** The project's own client, which takes a config and reports it, as a real data plane does. */
export class DemoDataPlane implements AsyncDisposable {
  readonly nodeId: string;
  readonly #stage: Stage;
  readonly #source: ConfigSource;
  readonly #scope = new Scope();
  /** One session: it ends if the connection does. */
  readonly #events: AsyncIterator<SourceEvent>;

  private constructor(stage: Stage, source: ConfigSource, nodeId: string) {
    this.nodeId = nodeId;
    this.#stage = stage;
    this.#source = source;
    this.#events = source.watch(this.#scope.signal)[Symbol.asyncIterator]();
  }

  /** `port`: of the control plane, or of what stands in its place. Connects with the first `nextConfig`. */
  static async create(stage: Stage, port: number, version: KongVersion): Promise<DemoDataPlane> {
    const settings = readSettings(environmentFor(stage, port));
    const cluster = requireCluster("a data plane", settings);
    const nodeId = nodeIdFor("demo", "data plane");
    const source = await openHybridSource({
      settings,
      cluster,
      nodeId,
      hostname: "demo-data-plane",
      version,
      clock: stage.context.clock,
    });
    return new DemoDataPlane(stage, source, nodeId);
  }

  /** Takes the next config and reports its hash. Rejects with BrokenPromise if none comes, or with SourceError if the connection ends. */
  async nextConfig(): Promise<ConfigUpdate> {
    const { clock } = this.#stage.context;
    const late = () => new BrokenPromise(`no config came within ${PATIENCE_MS / 1000} s`);
    const deadline = { ms: PATIENCE_MS, clock, late };
    const update = await within(deadline, this.#scope.signal, () => this.#next());
    if (update.configHash !== undefined) this.#source.acknowledge(update.configHash);
    return update;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#scope.end();
    await this.#source[Symbol.asyncDispose]();
  }

  async #next(): Promise<ConfigUpdate> {
    for (;;) {
      const { value, done } = await this.#events.next();
      if (done === true) throw new BrokenPromise("the session ended without a config");
      if (value.kind === "config") return value.update;
    }
  }
}
