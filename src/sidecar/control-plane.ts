/** The fallback control plane: takes data planes in, and gives each a session. */

import type { Duplex } from "node:stream";
import type { Clock } from "../core/clock.ts";
import type { HostPort } from "../core/host-port.ts";
import type { Log } from "../core/log.ts";
import { inTime, orAborted, Scope, Slots } from "../core/waiting.ts";
import type { ClusterTls } from "../kong/cluster-tls.ts";
import { type KongVersion, parseKongVersion } from "../kong/version.ts";
import { type Dialer, SourceError } from "../source/port.ts";
import type { Arrival, Introduction } from "./door/admission.ts";
import { Listener, type ServerCertificate } from "./door/listener.ts";
import { PacedStream } from "./door/paced-stream.ts";
import { WarningLimit } from "./door/rate-limit.ts";
import type { UpstreamState } from "./live/evidence.ts";
import { Inquiry, type InquiryOptions } from "./live/inquiry.ts";
import { Upstream, type UpstreamTiming } from "./live/upstream.ts";
import type { SidecarMetrics } from "./metrics.ts";
import { type ListedPlane, type PlaneContext, PlaneSession } from "./plane/session.ts";
import { serveRpc } from "./rpc/rpc.ts";
import type { Shelf } from "./shelf/shelf.ts";

export interface FallbackControlPlaneOptions extends HostPort {
  /** In mode `shared` the cluster certificate; in mode `pki` `ca` signs the data planes' certificates. */
  readonly tls: ClusterTls;
  /** What data planes are shown; the pair in `tls` by default. */
  readonly serverCertificate?: ServerCertificate;
  readonly limits: { readonly maxConnections: number; readonly handshakesPerSecond: number };
  /** Undefined: there is no control plane, data planes are served from the shelf only. */
  readonly dialer: Dialer | undefined;
  /** Path and query asked for where no data plane shows whether the control plane lives. */
  readonly probeTarget: string;
  /** As whom the control plane is asked for a config where it gives a data plane none. */
  readonly inquiry: Pick<InquiryOptions, "target" | "plugins">;
  readonly timing: UpstreamTiming & Pick<PlaneContext, "configWaitMs">;
  /** Longest message relayed, bytes as they travel. */
  readonly maxPayloadBytes: number;
  readonly shelf: Shelf;
  /**
   * Told each version that a data plane declares. Where there is nothing else to serve, it is waited
   * for, 3 s at most: a snapshot may be found.
   */
  readonly onVersion: (version: KongVersion) => Promise<void> | void;
  readonly remember: PlaneContext["remember"];
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  readonly log: Log;
  readonly metrics: SidecarMetrics;
}

/** Enough to keep a fast line busy, few enough that each of them gets on. */
const SENDS_AT_ONCE = 16;
/** A data plane that takes no more data for this long is not coming back to it. */
const STALL_MS = 15_000;
/** Memory for messages that pass whole, bytes; each may be as long as a message can be. */
const RELAY_BYTES = 256 * 2 ** 20;
/** A data plane waits 5 s for the answer. Kong/kong@3.9.1 kong/constants.lua:CLUSTERING_TIMEOUT */
const SEARCH_MS = 3_000;
/** That there is nothing to serve is worth a line this often. */
const NOTHING_LOG_MS = 60_000;
/** A real data plane comes back after 5 to 10 s whatever it is told. */
const RETRY_AFTER = { "Retry-After": "10" };

export class FallbackControlPlane implements AsyncDisposable {
  readonly #options: FallbackControlPlaneOptions;
  readonly #context: PlaneContext;
  readonly #upstream: Upstream;
  readonly #warnings: WarningLimit;
  readonly #sessions = new Set<PlaneSession>();
  readonly #unserved = new Set<ListedPlane>();
  readonly #ends = new Set<Promise<void>>();
  readonly #closed = new Scope();
  #listener: Listener | undefined;

  private constructor(options: FallbackControlPlaneOptions) {
    const { timing, maxPayloadBytes, dialer, clock, log, metrics } = options;
    this.#options = options;
    this.#warnings = new WarningLimit(log, clock, this.#closed.signal);
    this.#upstream = new Upstream({
      ...options,
      served: () => options.shelf.versions(),
      onState: ({ kind }) => metrics.upstream(kind),
    });
    this.#context = {
      ...options,
      reconnectMs: timing.reconnectMs,
      configWaitMs: timing.configWaitMs,
      isAuthority: dialer === undefined,
      upstream: this.#upstream,
      inquiry: dialer && new Inquiry({ ...options, ...options.inquiry, ...timing, dialer }),
      sendSlots: new Slots(SENDS_AT_ONCE),
      slots: new Slots(Math.max(2, Math.floor(RELAY_BYTES / maxPayloadBytes))),
    };
  }

  /** Rejects with ListenError. Port 0 takes any free one. */
  static async listen(options: FallbackControlPlaneOptions): Promise<FallbackControlPlane> {
    const controlPlane = new FallbackControlPlane(options);
    controlPlane.#listener = await Listener.listen({
      ...options,
      onRequest: (arrival) => controlPlane.#take(arrival),
      onDistrust: () => options.metrics.distrusted(),
    });
    return controlPlane;
  }

  get port(): number {
    return this.#listener?.port ?? 0;
  }

  get state(): UpstreamState {
    return this.#upstream.state;
  }

  /** Those whose connection is up, in the order they came. */
  get planes(): readonly PlaneSession[] {
    return [...this.#sessions];
  }

  /** Those that get nothing, for they take their config over version 2 only, and no control plane is there. */
  get unserved(): readonly ListedPlane[] {
    return [...this.#unserved];
  }

  /** Watches the control plane while no data plane does. Ends by rejecting with `signal.reason`. */
  run(signal: AbortSignal): Promise<never> {
    return this.#upstream.run(signal);
  }

  /** See Listener. */
  rotate(tls: ClusterTls, serverCertificate?: ServerCertificate): void {
    this.#listener?.rotate(tls, serverCertificate);
  }

  /** Drops every data plane and stops listening; they reconnect after 5 to 10 s, wherever they find a control plane. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed.end();
    await this.#listener?.[Symbol.asyncDispose]();
    await Promise.all(this.#ends);
  }

  #take(arrival: Arrival): void {
    const session = arrival.introduction === undefined ? this.#serveRpc : this.#serve;
    const end = session
      .call(this, arrival)
      .catch((error: unknown) => {
        this.#options.log.error({ err: error, address: arrival.address }, "session failed");
        arrival.drop();
      })
      .finally(() => this.#ends.delete(end));
    this.#ends.add(end);
  }

  async #serve(arrival: Arrival): Promise<void> {
    const { introduction, target, protocol } = arrival;
    if (introduction === undefined) return;
    const version = parseKongVersion(introduction.version);
    if (!(await this.#canServe(version, arrival.gone))) {
      if (!arrival.gone.aborted) this.#warnNothing(arrival.address, version);
      arrival.refuse(503, RETRY_AFTER);
      return;
    }
    const connection = arrival.accept({ wrap: (socket) => this.#pace(socket) });
    if (connection === undefined) return;
    const request = { target, protocol };
    const session = new PlaneSession({ introduction, version, request, connection }, this.#context);
    this.#sessions.add(session);
    try {
      await session.run();
    } finally {
      connection.webSocket.terminate();
      this.#sessions.delete(session);
    }
  }

  /** Whether from the snapshot or by the control plane. `gone` ends the search. */
  async #canServe(version: KongVersion | undefined, gone: AbortSignal): Promise<boolean> {
    const { shelf, onVersion, clock } = this.#options;
    const searched = version && onVersion(version);
    const isReady = (): boolean =>
      this.#upstream.isAnswering || (version !== undefined && shelf.newest(version) !== undefined);
    if (isReady() || searched === undefined) return isReady();
    await orAborted(
      gone,
      inTime(SEARCH_MS, clock, gone, async () => searched),
    );
    return isReady();
  }

  #serveRpc(arrival: Arrival): Promise<void> {
    const { timing, maxPayloadBytes, clock, random } = this.#options;
    return serveRpc(arrival, {
      upstream: this.#upstream,
      maxPayloadBytes,
      wrap: (socket) => this.#pace(socket),
      releaseMs: timing.releaseMs,
      isOnVersion1: (nodeId) => this.planes.some((it) => it.introduction.nodeId === nodeId),
      onUnserved: (introduction) => this.#listUnserved(introduction),
      clock,
      random,
    });
  }

  #listUnserved(introduction: Introduction): Disposable {
    const { clock, log, metrics } = this.#options;
    const { nodeId, hostname, version: kongVersion } = introduction;
    const error = incrementalSync();
    metrics.unserved();
    log.warn({ nodeId, hostname, kongVersion, err: error }, "data plane gets no config");
    const since = clock.now();
    const plane: ListedPlane = {
      ...{ introduction, connectedAt: since, hash: undefined },
      state: { kind: "unserved", since, error },
    };
    this.#unserved.add(plane);
    return { [Symbol.dispose]: () => this.#unserved.delete(plane) };
  }

  #pace(socket: Duplex): Duplex {
    return new PacedStream(socket, { clock: this.#options.clock, stallMs: STALL_MS });
  }

  #warnNothing(address: string, version: KongVersion | undefined): void {
    const { shelf, metrics } = this.#options;
    metrics.unserved();
    const have = shelf.versions().join(", ");
    // What is no version is not repeated: each text is remembered, and a data plane may say anything.
    const wanted = version === undefined ? "what it gives as its version" : `Kong ${version}`;
    const reason = `the control plane is lost, and there is no snapshot for ${wanted}${have === "" ? "" : `, only for ${have}`}: run an exporter with this KONG_VERSION`;
    this.#warnings.warn({ reason, address }, "data plane gets no config", NOTHING_LOG_MS);
  }
}

function incrementalSync(): SourceError {
  return new SourceError(
    "SOURCE_WITHHELD",
    "the data plane takes its config by incremental sync only, which needs a control plane, and none is there",
    {
      hint: "It goes on with a config that it has; one without stays empty until the control plane is back. Turn KONG_CLUSTER_INCREMENTAL_SYNC off on data planes that are to start without one.",
    },
  );
}
