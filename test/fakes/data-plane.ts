/**
 * A data plane that behaves, towards a control plane, as Kong 2.8.5, 3.4.2 and 3.9.1 were seen to
 * (test/fixtures/captures/README.md), and misbehaves on request. It records everything it got.
 */

import { randomUUID } from "node:crypto";
import { EMPTY_CONFIG_HASH } from "../../src/kong/config-hash.ts";
import { CLUSTER_PATH, PING_INTERVAL_MS } from "../../src/kong/wire.ts";
import { type ReceivedConfig, readConfig } from "./data-plane-config.ts";
import type { Arrival } from "./data-plane-frames.ts";
import type { DataPlaneLink, DataPlaneLinkOptions } from "./data-plane-link.ts";
import { type DataPlaneTraits, traitsOf } from "./data-plane-traits.ts";
import { ReconnectingPlane, type ReconnectingPlaneOptions } from "./reconnecting-plane.ts";
import { BINARY, PING, PONG, TEXT } from "./websocket-frames.ts";

export interface FakeDataPlaneOptions extends ReconnectingPlaneOptions {
  /** A new UUID by default. */
  readonly nodeId?: string;
  readonly hostname?: string;
  /** Kong version; 3.9.1 by default. */
  readonly version?: string;
  /** The recorded message of that version, or of the one before it, by default. */
  readonly basicInfo?: Buffer;
  /** Of the config it has from an earlier life; none by default. */
  readonly hash?: string;
  /** `cluster_max_payload`; Kong's default of that version by default. */
  readonly maxPayloadBytes?: number;
  readonly behaviour?: DataPlaneBehaviour;
}

export interface DataPlaneBehaviour {
  /** While it is empty, fails to load this many configs, as a real one that has not made its database yet. */
  readonly race?: number;
  /** Configs it refuses; only those without `_format_version` by default. */
  readonly rejects?: boolean | ((table: ReceivedConfig["table"]) => boolean);
  /** How long it takes to load a config; no time by default. Of what arrives meanwhile it loads the newest. */
  readonly applyMs?: number;
  /** Whether a config it could not load makes it ping at once, with the hash it has; by default as its version does. */
  readonly pingsOldHashAfterRefusal?: boolean;
  /** Sends an `error` message for each config it could not load, as `konnect_mode` does. */
  readonly reportsErrors?: boolean;
  /** The hash it adopts with any message, which it neither reads nor keeps: for benchmarks. */
  readonly adopts?: string;
  /** Takes one chunk, of at most 64 kB, per this many milliseconds of the clock. */
  readonly chunkEveryMs?: number;
  /** Reads nothing once it has introduced itself, until `resume`. */
  readonly stopsReading?: boolean;
  readonly neverPings?: boolean;
  /** Sends nothing by itself, not even `basic_info`. */
  readonly silentAfterOpen?: boolean;
}

export class FakeDataPlane extends ReconnectingPlane {
  readonly nodeId: string;
  /** Of the config it runs; 32 zeros if none. */
  hash: string;
  /** Hashes it told in pings, in order. */
  readonly pings: string[] = [];
  /** Hashes of the configs it loaded, in order. */
  readonly applied: string[] = [];
  /** Hashes of those it could not load, in order. */
  readonly refused: string[] = [];
  readonly #options: FakeDataPlaneOptions;
  readonly #behaviour: DataPlaneBehaviour;
  readonly #version: string;
  readonly #traits: DataPlaneTraits;
  #racesLeft: number;
  #pingedAtMs = 0;
  #next: ReceivedConfig | undefined;
  #isLoading = false;
  #loading: Promise<void> | undefined;

  constructor(options: FakeDataPlaneOptions) {
    super(options);
    const { version = "3.9.1", nodeId = randomUUID(), behaviour = {} } = options;
    this.nodeId = nodeId;
    this.hash = options.hash ?? EMPTY_CONFIG_HASH;
    this.#options = options;
    this.#behaviour = behaviour;
    this.#version = version;
    this.#traits = traitsOf(version);
    this.#racesLeft = behaviour.race ?? 0;
  }

  /** Resolves once it has told of a config it loaded, or, where one is given, that it runs the one with this hash. */
  async configured(hash?: string): Promise<void> {
    await this.until(() => {
      const told = this.pings.at(-1);
      return told === this.hash && (hash === undefined ? this.applied.length > 0 : told === hash);
    });
  }

  protected override linkOptions(): DataPlaneLinkOptions {
    const { controlPlane, tls, clock, hostname = "dp", maxPayloadBytes } = this.#options;
    const { chunkEveryMs, adopts } = this.#behaviour;
    return {
      controlPlane,
      tls,
      clock,
      target: `${CLUSTER_PATH}?node_id=${this.nodeId}&node_hostname=${hostname}&node_version=${this.#version}`,
      maxPayloadBytes: maxPayloadBytes ?? this.#traits.maxPayloadBytes,
      keeps: adopts === undefined,
      ...(chunkEveryMs !== undefined && { chunkEveryMs }),
    };
  }

  protected override begin(link: DataPlaneLink): void {
    for (const name of ["sec-websocket-extensions", "sec-websocket-protocol"]) {
      if (link.headers.has(name)) this.violations.push(`${name} in the answer to the upgrade`);
    }
    const { silentAfterOpen = false, neverPings = false, stopsReading = false } = this.#behaviour;
    link.start({
      frame: (arrival) => this.#take(arrival, link),
      violation: (what) => this.violation(what),
    });
    if (stopsReading) link.pause();
    if (!silentAfterOpen) {
      link.send(BINARY, this.#options.basicInfo ?? this.#traits.basicInfo);
      if (!neverPings) void this.#beat(link);
    }
    void link.watchSilence();
  }

  /** A config that is being loaded when the connection ends is loaded to the end. */
  protected override async settled(): Promise<void> {
    await this.#loading;
  }

  #take({ opcode, payload, bytes }: Arrival, link: DataPlaneLink): void {
    if (opcode === PONG) {
      this.pongs += 1;
    } else if (opcode === BINARY) {
      this.bytesReceived += bytes;
      this.#takeMessage(payload, link);
    } else {
      // A real one takes no notice, and answers no ping.
      this.violations.push(opcode === PING ? "a ping" : opcode === TEXT ? "a text" : "a frame");
      if (opcode === TEXT) this.#record(payload, false);
    }
    this.changed();
  }

  #takeMessage(payload: Buffer, link: DataPlaneLink): void {
    const { adopts } = this.#behaviour;
    if (adopts !== undefined) {
      this.#load({ hash: adopts, table: { _format_version: "3.0" } });
      return;
    }
    this.#record(payload, true);
    try {
      const config = readConfig(payload, this.#version);
      if (config !== undefined) this.#load(config);
    } catch (error) {
      this.violations.push(`an unreadable message: ${error}`);
      link.hangUp("an unreadable message");
    }
  }

  #record(frame: Buffer, isBinary: boolean): void {
    this.received.push({ frame, isBinary, at: this.clock.monotonicMs() });
  }

  #load(config: ReceivedConfig): void {
    this.#next = config;
    if (!this.#isLoading) this.#loading = this.#loadNewest();
  }

  async #loadNewest(): Promise<void> {
    const { applyMs = 0 } = this.#behaviour;
    this.#isLoading = true;
    try {
      for (let config = this.#next; config !== undefined; config = this.#next) {
        this.#next = undefined;
        if (applyMs > 0 && config.hash !== this.hash) await this.clock.sleep(applyMs, this.gone);
        this.#finish(config);
        this.changed();
      }
    } catch {
      // Disposed of.
    } finally {
      this.#isLoading = false;
    }
  }

  #finish(config: ReceivedConfig): void {
    if (config.hash === this.hash) {
      this.#ping();
    } else if (this.#racesLeft > 0 && this.hash === EMPTY_CONFIG_HASH) {
      this.#racesLeft -= 1;
      this.#refuse(config, RELOAD_ERROR);
    } else if (this.#rejects(config)) {
      this.#refuse(config, PARSE_ERROR);
    } else {
      this.hash = config.hash;
      this.applied.push(config.hash);
      this.#ping();
    }
  }

  #rejects({ table }: ReceivedConfig): boolean {
    const { rejects = false } = this.#behaviour;
    if (table["_format_version"] === undefined) return true;
    return typeof rejects === "function" ? rejects(table) : rejects;
  }

  #refuse({ hash }: ReceivedConfig, error: object): void {
    const { reportsErrors = false, pingsOldHashAfterRefusal } = this.#behaviour;
    this.refused.push(hash);
    if (reportsErrors) {
      const report = { type: "error", error: { ...error, config_hash: hash } };
      this.link.send(BINARY, Buffer.from(JSON.stringify(report)));
    }
    if (pingsOldHashAfterRefusal ?? this.#traits.pingsOldHashAfterRefusal) this.#ping();
  }

  #ping(): void {
    if (this.#behaviour.neverPings === true || this.link.signal.aborted) return;
    this.#pingedAtMs = this.clock.monotonicMs();
    this.pings.push(this.hash);
    this.link.send(PING, Buffer.from(this.hash));
  }

  /** A ping out of turn counts: the next follows a whole interval later. */
  async #beat(link: DataPlaneLink): Promise<void> {
    this.#ping();
    try {
      while (!link.signal.aborted) {
        const dueInMs = this.#pingedAtMs + PING_INTERVAL_MS - this.clock.monotonicMs();
        if (dueInMs > 0) await this.clock.sleep(dueInMs, link.signal);
        else this.#ping();
      }
    } catch {
      // The connection is over.
    }
  }
}

/** Kong/kong@3.9.1 kong/clustering/config_helper.lua */
const PARSE_ERROR = {
  name: "declarative configuration parse failure",
  source: "kong.db.declarative.parse_table",
  message: "declarative config is invalid",
};
const RELOAD_ERROR = {
  name: "configuration reload failed",
  source: "kong.db.declarative.load_into_cache_with_events",
  message: "unable to open DB for access: MDB_NOTFOUND",
};
