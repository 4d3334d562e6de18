/** What one data plane gets from the snapshots: a config if it runs none, a newer one if it runs one of ours, and nothing otherwise. */

import type { Clock } from "../../core/clock.ts";
import type { Log } from "../../core/log.ts";
import { forever, inTime, orAborted, Scope, type Slots } from "../../core/waiting.ts";
import type { BasicInfo } from "../../kong/basic-info.ts";
import { isConfigHash } from "../../kong/config-hash.ts";
import type { KongVersion } from "../../kong/version.ts";
import type { SidecarMetrics } from "../metrics.ts";
import type { Servable, Shelf } from "../shelf/shelf.ts";
import type { PlaneChannel, ReportedHash } from "./channel.ts";

export interface SnapshotFeedOptions {
  readonly channel: PlaneChannel;
  readonly info: BasicInfo;
  /** Undefined where what the data plane gave is no version: nothing fits it. */
  readonly version: KongVersion | undefined;
  readonly shelf: Shelf;
  /** There is no control plane whose config could be overwritten: every data plane gets the newest snapshot. */
  readonly isAuthority: boolean;
  /** How many long frames may be on their way at a time, to all data planes together. */
  readonly sendSlots: Slots;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: SidecarMetrics;
  /** Told of a bug in a delivery, which nobody waits for. */
  readonly onBug: (error: unknown) => void;
}

/** A data plane pings right after `basic_info`; until then it is not known whether it runs a config. */
const FIRST_PING_MS = 1_000;
/** A frame no longer than this leaves at once. */
const SHORT_FRAME_BYTES = 65_536;
/** Time for some 10 MB over a line of 20 Mbit/s; who needs longer is not waited for. */
const TURN_MS = 5_000;

/**
 * A data plane with an empty prefix loses a config that comes before its database is made, and says
 * nothing of it; seen on Kong 3.9.1, of which none applied a small config later than after 1 s.
 */
const PATIENCE_MS = 10_000;
/** Kong 3.9.1 applies 10,000 services and routes, 0.95 MB compressed, in about 7 s. */
const PATIENCE_PER_MEBIBYTE_MS = 10_000;
/** A config that did not take three times is refused, not lost. */
const MAX_SENDS = 3;

interface Delivery {
  readonly of: Servable | "live";
  readonly send: (attempt: number, signal: AbortSignal) => Promise<void>;
  readonly frameBytes: number;
  readonly expectedHash: string | undefined;
}

export class SnapshotFeed {
  readonly #options: SnapshotFeedOptions;
  /** The delivery under way. */
  #delivery: { readonly of: Servable | "live"; readonly over: Scope } | undefined;
  /** Hash of the config that it took from us. */
  #ours: string | undefined;
  /** What it did not take, or cannot take. */
  #refused: Servable | undefined;
  /** The latest call of `serve`; over once a live config has come. */
  #serving = new Scope();

  constructor(options: SnapshotFeedOptions) {
    this.#options = options;
  }

  /** What there is for it; undefined: nothing, and why stands in the log. */
  get newest(): Servable | undefined {
    const { version, shelf } = this.#options;
    return version === undefined ? undefined : shelf.newest(version);
  }

  /** Why it could not take the newest there is; undefined if it could, or there is nothing. */
  get misfit(): Misfit | undefined {
    const { newest } = this;
    const { info } = this.#options;
    return newest && findMisfit({ frameBytes: newest.frame.length, plugins: newest.plugins }, info);
  }

  /**
   * Serves the newest snapshot, now and whenever there is a newer one, until `signal` aborts or a
   * live config comes. A delivery under way goes on after an abort. Resolves when the first ping, or
   * its absence, has told what the data plane runs.
   */
  async serve(signal: AbortSignal): Promise<void> {
    const { version, shelf } = this.#options;
    this.#serving.end();
    const serving = new Scope(signal);
    this.#serving = serving;
    await this.settle(signal);
    signal.throwIfAborted();
    if (serving.isOver) return;
    const unsubscribe = shelf.onNewer((newer) => {
      if (newer === version) this.#offer();
    });
    forever(serving.signal).catch(unsubscribe);
    this.#offer();
  }

  /** Resolves when the first ping, or its absence, has told what the data plane runs. Rejects with `signal.reason`. */
  async settle(signal: AbortSignal): Promise<void> {
    const { channel, clock } = this.#options;
    if (channel.hash.value !== undefined) return;
    await inTime(FIRST_PING_MS, clock, signal, (both) => channel.hash.until(() => true, both));
  }

  /** Serves nothing any more, what is under way included: the control plane lives. */
  stop(): void {
    this.#serving.end();
    this.#delivery?.over.end();
    this.#delivery = undefined;
  }

  /**
   * A config of the live control plane is being sent: it wins over whatever we were delivering.
   * Where the data plane loses it, as an empty one may, it is sent again, from `kept`; undefined: it
   * is not. `sent` resolves when it has left this process.
   */
  live(frameBytes: number, sent: Promise<void>, kept: Uint8Array | undefined): void {
    const { channel } = this.#options;
    this.stop();
    if (channel.hash.isConfigured || kept === undefined) return;
    const send = (attempt: number) => (attempt === 1 ? sent : channel.send(kept));
    this.#deliver({ of: "live", send, frameBytes, expectedHash: undefined });
  }

  #offer(): void {
    const { channel, isAuthority, log, metrics } = this.#options;
    const servable = this.newest;
    const runs = channel.hash.isConfigured ? channel.hash.value : undefined;
    if (servable === undefined || servable === this.#refused) return;
    const isTheirs = runs !== undefined && runs !== this.#ours && !isAuthority;
    if (isTheirs || (runs !== undefined && runs === servable.configHash)) return;
    if (this.#delivery?.of === servable) return;
    const { misfit } = this;
    if (misfit !== undefined) {
      this.#refused = servable;
      metrics.unserved();
      log.error({ ...misfit, configHash: servable.configHash }, "data plane gets no config");
      return;
    }
    this.#delivery?.over.end();
    this.#deliver({
      of: servable,
      send: (_, signal) => this.#sendInTurn(servable.frame, signal),
      frameBytes: servable.frame.length,
      expectedHash: servable.configHash,
    });
  }

  /** If all got a long frame at once, the first would have it when the last has. A slow reader gives its turn up, and goes on beside the others. */
  async #sendInTurn(frame: Uint8Array, signal: AbortSignal): Promise<void> {
    const { channel, sendSlots, clock } = this.#options;
    if (frame.length <= SHORT_FRAME_BYTES) return channel.send(frame);
    const giveBack = await sendSlots.take(signal);
    using turn = new Scope();
    // Given back twice does no harm.
    clock.sleep(TURN_MS, turn.signal).then(giveBack, giveBack);
    await channel.send(frame);
  }

  /** Nobody waits for it. */
  #deliver(what: Delivery): void {
    this.#bringOver(what).catch(this.#options.onBug);
  }

  async #bringOver({ of, send, ...what }: Delivery): Promise<void> {
    const { channel, clock, log, metrics } = this.#options;
    using over = new Scope(channel.gone);
    this.#delivery = { of, over };
    const startedAtMs = clock.monotonicMs();
    const took = await orAborted(
      over.signal,
      deliver(
        {
          ...what,
          send: (attempt) => send(attempt, over.signal),
          hash: channel.hash,
          clock,
          onResend: (sends) => {
            metrics.resent();
            log.warn({ sends }, "data plane did not report the config it was sent, sent it again");
          },
        },
        over.signal,
      ),
    );
    if (this.#delivery?.over === over) this.#delivery = undefined;
    // Else it was overtaken by a newer config, or the data plane is gone.
    if (took !== "aborted") {
      this.#delivered(of, took, Math.round(clock.monotonicMs() - startedAtMs));
    }
  }

  #delivered(of: Servable | "live", took: boolean, durationMs: number): void {
    const { channel, log, metrics } = this.#options;
    const configHash = channel.hash.value;
    if (!took) {
      if (of !== "live") this.#refused = of;
      metrics.rejected();
      log.error(
        {
          from: of === "live" ? "control plane" : of.origin,
          configHash: of === "live" ? undefined : of.configHash,
          hint: 'Look into the data plane\'s log for "unable to update running config".',
        },
        "data plane rejects the config",
      );
      return;
    }
    if (of === "live") return;
    this.#ours = configHash;
    metrics.served(durationMs);
    log.info(
      { configHash, durationMs, from: of.origin },
      "data plane configured from the snapshot",
    );
  }
}

export interface DeliverOptions {
  /** Sends the frame for the `attempt`th time, from 1. Resolves when it has left this process. */
  readonly send: (attempt: number) => Promise<void>;
  /** Length of the frame, compressed, for how long applying it may take. */
  readonly frameBytes: number;
  /** Kong's hash of the config; undefined: any other than is reported now, and not that of an empty one, shows that it took. */
  readonly expectedHash: string | undefined;
  readonly hash: ReportedHash;
  readonly clock: Clock;
  /** Called when it was sent again, with how often that makes. */
  readonly onResend: (sends: number) => void;
}

/**
 * Gets a config into a data plane: sends it, watches the hash in its pings, and sends it again where
 * it did not take. Whether the data plane took it. Rejects with `signal.reason`, or as `send` does.
 */
export async function deliver(options: DeliverOptions, signal: AbortSignal): Promise<boolean> {
  const { send, frameBytes, expectedHash, hash, clock, onResend } = options;
  const before = hash.value;
  const took = (reported: string): boolean =>
    expectedHash === undefined
      ? isConfigHash(reported) && reported !== before
      : reported === expectedHash;
  const patienceMs = PATIENCE_MS + Math.floor(frameBytes / 2 ** 20) * PATIENCE_PER_MEBIBYTE_MS;
  for (let attempt = 1; ; attempt += 1) {
    await send(attempt);
    signal.throwIfAborted();
    if (attempt > 1) onResend(attempt);
    const waitMs = patienceMs * 2 ** (attempt - 1);
    const report = await inTime(waitMs, clock, signal, (both) => hash.until(took, both));
    if (report !== "late") return true;
    if (attempt === MAX_SENDS) return false;
  }
}

export interface Misfit {
  readonly reason: string;
  /** What would help. */
  readonly hint: string;
}

/** What of a config decides who can take it. */
export interface Load {
  /** Length of the frame, compressed. */
  readonly frameBytes: number;
  /** Names of the plugins it configures. */
  readonly plugins: ReadonlySet<string>;
}

/** Whether a data plane can take a config, by what it says of itself: one it would refuse is not sent. Undefined: it fits. The rules of a control plane: Kong/kong@3.9.1 kong/clustering/compat/init.lua */
export function findMisfit(load: Load, plane: BasicInfo): Misfit | undefined {
  const has = new Set(plane.plugins.map(({ name }) => name));
  const missing = [...load.plugins].filter((name) => !has.has(name)).sort();
  if (missing.length > 0) {
    return {
      reason: `the config uses plugins that the data plane does not have: ${missing.join(", ")}`,
      hint: "Install them on the data plane and name them in its KONG_PLUGINS, as the others of its version have them.",
    };
  }
  const { maxPayloadBytes } = plane;
  if (maxPayloadBytes !== undefined && load.frameBytes > maxPayloadBytes) {
    return {
      reason: `the config has ${load.frameBytes} bytes compressed, the data plane takes ${maxPayloadBytes}`,
      hint: "Raise KONG_CLUSTER_MAX_PAYLOAD on the data plane.",
    };
  }
  return undefined;
}
