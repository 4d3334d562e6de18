/** What the tests of whole sessions share: a fallback control plane, the control plane behind it, data planes before it, and one clock. */

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { setImmediate, setTimeout } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import type { HostPort } from "../../src/core/host-port.ts";
import { declaredPlugins } from "../../src/kong/plugins.ts";
import { decodeReconfigure } from "../../src/kong/reconfigure.ts";
import type { KongVersion } from "../../src/kong/version.ts";
import {
  FallbackControlPlane,
  type FallbackControlPlaneOptions,
} from "../../src/sidecar/control-plane.ts";
import type { SidecarMetrics } from "../../src/sidecar/metrics.ts";
import type { PlaneSession } from "../../src/sidecar/plane/session.ts";
import { Remember } from "../../src/sidecar/shelf/remember.ts";
import { type Servable, Shelf, type ShelfGuard } from "../../src/sidecar/shelf/shelf.ts";
import type { NewSnapshot } from "../../src/snapshots/snapshot.ts";
import { ClusterDialer } from "../../src/source/dialer.ts";
import type { DialRequest } from "../../src/source/port.ts";
import { snapshotOf, V391 } from "../fakes/config.ts";
import { FakeControlPlane, type FakeControlPlaneOptions } from "../fakes/control-plane.ts";
import type { FakeSession } from "../fakes/control-plane-session.ts";
import { FakeDataPlane, type FakeDataPlaneOptions } from "../fakes/data-plane.ts";
import { ManualClock } from "../fakes/manual-clock.ts";
import { RecordingLog } from "../fakes/recording-log.ts";
import { PING } from "../fakes/websocket-frames.ts";
import { capture, clusterTls, NO_HASH } from "../source/harness.ts";

const PROBE = "/v1/outlet?node_id=probe&node_hostname=probe&node_version=3.0.0";
const TIMING = {
  retryMs: 5_000,
  reconnectMs: 15_000,
  recoveryMs: 10_000,
  releaseMs: 30_000,
  configWaitMs: 10_000,
};

export interface StageOptions {
  /** What stands behind: one that behaves so, none at all, or one that cannot be reached; the last by default. */
  readonly behind?: Partial<FakeControlPlaneOptions> | "none" | "dead";
  /** Whether what passes is remembered; true by default. */
  readonly remembers?: boolean;
  /** See ShelfGuard; everything may pass by default. */
  readonly guard?: ShelfGuard["examine"];
  readonly timing?: Partial<FallbackControlPlaneOptions["timing"]>;
  readonly maxPayloadBytes?: number;
  readonly random?: () => number;
  readonly metrics?: Partial<SidecarMetrics>;
  /** Looks for a snapshot for a data plane that comes; nobody does by default. */
  readonly search?: (stage: Stage) => Promise<void>;
}

/** A clock that is moved by hand, and what happens on real sockets meanwhile. */
class PassingTime {
  readonly clock = new ManualClock(new Date());
  readonly log = new RecordingLog();

  /** Polls: what is waited for happens on sockets of this process. Where it does not, the log tells more than a time limit. */
  async until(condition: () => boolean): Promise<void> {
    for (let polls = 0; !condition(); polls += 1) {
      if (polls > 10_000) assert.fail(this.#told);
      await setTimeout(1);
    }
  }

  async said(message: string, count = 1): Promise<Record<string, unknown>> {
    await this.until(() => this.log.find(message).length >= count);
    return this.log.find(message)[count - 1]?.fields ?? {};
  }

  /** Lets time pass second by second, with time for what happens on sockets between. */
  async pass(ms: number): Promise<void> {
    for (let leftMs = ms; leftMs > 0; leftMs -= 1_000) {
      await this.clock.advance(Math.min(1_000, leftMs));
      for (let turns = 0; turns < 20; turns += 1) await setImmediate();
    }
  }

  /** As `pass`, until `condition` holds. */
  async passUntil(condition: () => boolean): Promise<void> {
    for (let seconds = 0; !condition(); seconds += 1) {
      if (seconds > 600) assert.fail(this.#told);
      await this.pass(1_000);
    }
  }

  get #told(): string {
    return `it never happened\n${this.log.lines.map((line) => JSON.stringify(line)).join("\n")}`;
  }
}

export class Stage extends PassingTime implements AsyncDisposable {
  readonly shelf: Shelf;
  readonly counts = { served: 0, resent: 0, rejected: 0, unserved: 0 };
  /** Configs that passed by, in order. */
  readonly passed: Buffer[] = [];
  readonly versions: KongVersion[] = [];
  /** What sessions are expected to fail of. */
  readonly bugs: unknown[] = [];
  readonly #stop = new AbortController();
  readonly #planes: FakeDataPlane[] = [];
  readonly #behind: FakeControlPlane[] = [];
  #address: HostPort = { host: "127.0.0.1", port: 1 };
  #sidecar: FallbackControlPlane | undefined;
  #remembering: Promise<void> | undefined;

  private constructor(guard: ShelfGuard["examine"] = () => []) {
    super();
    this.shelf = new Shelf({ examine: guard, onHeld: () => {} });
  }

  static async open(options: StageOptions = {}): Promise<Stage> {
    const { behind = "dead", remembers = true, maxPayloadBytes = 16_777_216 } = options;
    const stage = new Stage(options.guard);
    const { clock, log, shelf, counts } = stage;
    if (typeof behind === "object") await stage.revive(behind);
    const remember = new Remember({
      shelf,
      exporterId: "sidecar",
      maxConfigBytes: 5e7,
      clock,
      log,
    });
    stage.#remembering = remember.run(stage.#stop.signal);
    const count = (what: keyof typeof counts) => () => {
      counts[what] += 1;
    };
    stage.#sidecar = await FallbackControlPlane.listen({
      host: "127.0.0.1",
      port: 0,
      tls: clusterTls,
      limits: { maxConnections: 1_000, handshakesPerSecond: 1_000 },
      dialer:
        behind === "none"
          ? undefined
          : {
              name: "cp",
              dial: (request, signal) => stage.#dial(request, signal, maxPayloadBytes),
            },
      probeTarget: PROBE,
      inquiry: {
        target: (version) => `/v1/outlet?node_id=probe&node_hostname=probe&node_version=${version}`,
        plugins: declaredPlugins([]),
      },
      timing: { ...TIMING, ...options.timing },
      maxPayloadBytes,
      shelf,
      onVersion: (version) => {
        stage.versions.push(version);
        return options.search?.(stage);
      },
      remember: remembers
        ? (version, frame) => {
            stage.passed.push(frame);
            return remember.offer(version, frame);
          }
        : undefined,
      clock,
      random: options.random ?? (() => 0),
      log,
      metrics: {
        upstream: () => {},
        served: count("served"),
        resent: count("resent"),
        rejected: count("rejected"),
        unserved: count("unserved"),
        distrusted: () => {},
        ...options.metrics,
      },
    });
    stage.sidecar.run(stage.#stop.signal).catch(() => {});
    if (behind === "dead") await stage.until(() => stage.sidecar.state.kind === "fallback");
    if (typeof behind === "object") await stage.until(() => stage.sidecar.state.kind === "live");
    return stage;
  }

  get sidecar(): FallbackControlPlane {
    assert.ok(this.#sidecar);
    return this.#sidecar;
  }

  /** The newest one. */
  get controlPlane(): FakeControlPlane {
    const newest = this.#behind.at(-1);
    assert.ok(newest);
    return newest;
  }

  /** From now on there is a control plane that behaves so. */
  async revive(options: Partial<FakeControlPlaneOptions> = {}): Promise<void> {
    const controlPlane = await FakeControlPlane.listen({ tls: clusterTls, ...options });
    this.#behind.push(controlPlane);
    this.#address = controlPlane.address;
  }

  /** A data plane that has connected. */
  async plane(options: Partial<FakeDataPlaneOptions> = {}): Promise<FakeDataPlane> {
    const plane = this.newPlane(options);
    await plane.connect();
    return plane;
  }

  newPlane(options: Partial<FakeDataPlaneOptions> = {}): FakeDataPlane {
    const controlPlane = { host: "127.0.0.1", port: this.sidecar.port };
    const plane = new FakeDataPlane({
      controlPlane,
      tls: clusterTls,
      clock: this.clock,
      ...options,
    });
    this.#planes.push(plane);
    return plane;
  }

  /** The session of this data plane, once it is there. */
  async sessionOf(plane: FakeDataPlane): Promise<PlaneSession> {
    let session: PlaneSession | undefined;
    await this.until(() => {
      session = this.sidecar.planes.find((it) => it.introduction.nodeId === plane.nodeId);
      return session !== undefined;
    });
    assert.ok(session);
    return session;
  }

  /** What the newest control plane has seen of this data plane: its connections, in order. */
  upstreamsOf({ nodeId }: Pick<FakeDataPlane, "nodeId">): readonly FakeSession[] {
    return this.controlPlane.sessions.filter(({ request }) => request.url?.includes(nodeId));
  }

  /** The connection of this number, from 1, once it is there. */
  async upstreamOf(plane: FakeDataPlane, number = 1): Promise<FakeSession> {
    await this.until(() => this.upstreamsOf(plane).length >= number);
    const session = this.upstreamsOf(plane)[number - 1];
    assert.ok(session);
    return session;
  }

  shelve(name: string, changes: Partial<NewSnapshot["metadata"]> = {}): Promise<Servable> {
    return this.put(snapshotOf(name, changes));
  }

  async put(snapshot: NewSnapshot, frame?: Uint8Array): Promise<Servable> {
    assert.ok(await this.shelf.offer(snapshot, "store", frame));
    const servable = this.shelf.newest(snapshot.metadata.kongVersion);
    assert.ok(servable);
    return servable;
  }

  /** Everything sent to this data plane before has arrived. Where a control plane is behind, it must answer. */
  async settled(plane: FakeDataPlane): Promise<void> {
    const { pongs } = plane;
    plane.send(PING, Buffer.from(plane.hash));
    await plane.until(() => plane.pongs > pongs);
  }

  /** Every data plane is gone, without a word. */
  async leave(): Promise<void> {
    for (const plane of this.#planes) await plane[Symbol.asyncDispose]();
  }

  /** Nothing must be left, and nobody must have broken the protocol. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#sidecar?.[Symbol.asyncDispose]();
    await this.#remembering;
    await this.leave();
    for (const controlPlane of this.#behind) await controlPlane[Symbol.asyncDispose]();
    await this.until(() => this.clock.sleepers === 0);
    const failed = this.log.lines.filter(({ message }) => message.includes("session failed"));
    assert.deepEqual(
      failed.map(({ fields }) => fields["err"]),
      this.bugs,
    );
    for (const plane of this.#planes) assert.deepEqual(plane.violations, []);
    for (const { sessions } of this.#behind) {
      for (const session of sessions) assert.deepEqual(session.violations, []);
    }
  }

  #dial(request: DialRequest, signal: AbortSignal, maxPayloadBytes: number) {
    return new ClusterDialer({
      controlPlane: this.#address,
      proxy: undefined,
      loadTls: async () => clusterTls,
      maxPayloadBytes,
      clock: this.clock,
    }).dial(request, signal);
  }
}

/** A frame of about this many bytes that a data plane takes, and the snapshot in it. */
export function largeConfig(name: string, bytes: number) {
  const { metadata } = snapshotOf(name);
  const pad = randomBytes(Math.ceil((bytes * 3) / 4)).toString("base64");
  const table = Buffer.from(JSON.stringify({ _format_version: "3.0", _transform: false, pad }));
  const configHash = createHash("md5").update(name).digest("hex");
  const text = `{"type":"reconfigure","timestamp":${metadata.controlPlaneTimestamp},"config_hash":"${configHash}","config_table":${table}}`;
  const sha256 = createHash("sha256").update(table).digest("hex");
  const snapshot: NewSnapshot = {
    config: table,
    metadata: { ...metadata, configHash, sha256, bytes: table.length },
  };
  return { frame: gzipSync(text, { level: 0 }), snapshot, configHash };
}

/** A recorded frame, and the snapshot in it. */
export async function recorded(file: string, kongVersion: KongVersion = V391) {
  const frame = capture(file);
  const update = await decodeReconfigure(frame, { maxConfigBytes: 1_000_000 });
  const { configTable: config, configHash = NO_HASH, hashes, timestamp } = update;
  const { metadata } = snapshotOf(file, { kongVersion, configHash, hashes });
  const sha256 = createHash("sha256").update(config).digest("hex");
  const snapshot: NewSnapshot = {
    config,
    metadata: { ...metadata, sha256, bytes: config.length, controlPlaneTimestamp: timestamp },
  };
  return { frame, snapshot, configHash };
}
