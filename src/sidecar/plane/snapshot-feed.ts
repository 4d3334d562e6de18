/** What one data plane gets from the snapshots: a config if it runs none, a newer one if it runs one of ours, and nothing otherwise. */

import type { Clock } from "../../core/clock.ts";
import type { Log } from "../../core/log.ts";
import type { Slots } from "../../core/waiting.ts";
import type { BasicInfo } from "../../kong/basic-info.ts";
import type { KongVersion } from "../../kong/version.ts";
import type { SidecarMetrics } from "../metrics.ts";
import type { Servable, Shelf } from "../shelf/shelf.ts";
import { deliver } from "./deliver.ts";
import { findMisfit } from "./fitness.ts";
import type { PlaneChannel } from "./plane-channel.ts";

export interface SnapshotFeedOptions {
  readonly channel: PlaneChannel;
  readonly info: BasicInfo;
  /** Undefined where what the data plane gave is no version: nothing fits it. */
  readonly version: KongVersion | undefined;
  readonly shelf: Shelf;
  /** Whether the shelf holds what came from the control plane, so that a live config can be sent again. */
  readonly remembers: boolean;
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

export class SnapshotFeed {
  readonly #options: SnapshotFeedOptions;
  /** The delivery under way. */
  #delivery: { readonly of: Servable | "live"; readonly over: AbortController } | undefined;
  /** Hash of the config that it took from us. */
  #ours: string | undefined;
  /** What it did not take, or cannot take. */
  #refused: Servable | undefined;
  /** Of the latest call of `serve`; aborted once a live config has come. */
  #serving = new AbortController();

  constructor(options: SnapshotFeedOptions) {
    this.#options = options;
  }

  /** What there is for it; undefined: nothing, and why stands in the log. */
  get newest(): Servable | undefined {
    const { version, shelf } = this.#options;
    return version === undefined ? undefined : shelf.newest(version);
  }

  /**
   * Serves the newest snapshot, now and whenever there is a newer one, until `signal` aborts or a
   * live config comes. A delivery under way goes on after an abort. Resolves when the first ping, or
   * its absence, has told what the data plane runs.
   */
  async serve(signal: AbortSignal): Promise<void> {
    const { channel, version, shelf } = this.#options;
    this.#serving = new AbortController();
    const { signal: overtaken } = this.#serving;
    if (channel.hash.value === undefined) await this.#firstPing(signal);
    signal.throwIfAborted();
    if (overtaken.aborted) return;
    const unsubscribe = shelf.onNewer((newer) => {
      if (newer === version) this.#offer();
    });
    AbortSignal.any([signal, overtaken]).addEventListener("abort", unsubscribe, { once: true });
    this.#offer();
  }

  /**
   * A config of the live control plane is being sent: it wins over whatever we were delivering.
   * Where the data plane loses it, as an empty one may, it is sent again, from memory. `sent`
   * resolves when it has left this process.
   */
  live(frameBytes: number, sent: Promise<void>): void {
    const { channel, remembers, log } = this.#options;
    this.#serving.abort();
    this.#delivery?.over.abort();
    this.#delivery = undefined;
    if (channel.hash.isConfigured || !remembers) return;
    const again = async (signal: AbortSignal) => {
      const { newest } = this;
      if (newest === undefined) {
        log.debug({}, "config was not remembered, so it is not sent again");
        this.#delivery?.over.abort();
        signal.throwIfAborted();
      } else {
        await channel.send(newest.frame);
      }
    };
    const send = (attempt: number, signal: AbortSignal) => (attempt === 1 ? sent : again(signal));
    this.#deliver({ of: "live", send, frameBytes, expectedHash: undefined });
  }

  async #firstPing(signal: AbortSignal): Promise<void> {
    const { channel, clock } = this.#options;
    const over = new AbortController();
    const either = AbortSignal.any([signal, over.signal]);
    await Promise.race([
      channel.hash.until(() => true, either),
      clock.sleep(FIRST_PING_MS, either),
    ]).finally(() => over.abort());
  }

  #offer(): void {
    const { channel, info, isAuthority, log, metrics } = this.#options;
    const servable = this.newest;
    const runs = channel.hash.isConfigured ? channel.hash.value : undefined;
    if (servable === undefined || servable === this.#refused) return;
    const isTheirs = runs !== undefined && runs !== this.#ours && !isAuthority;
    if (isTheirs || (runs !== undefined && runs === servable.configHash)) return;
    if (this.#delivery?.of === servable) return;
    const misfit = findMisfit(
      { frameBytes: servable.frame.length, plugins: servable.plugins },
      info,
    );
    if (misfit !== undefined) {
      this.#refused = servable;
      metrics.unserved();
      log.error({ ...misfit, configHash: servable.configHash }, "data plane gets no config");
      return;
    }
    this.#delivery?.over.abort();
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
    const over = new AbortController();
    // Given back twice does no harm.
    clock.sleep(TURN_MS, over.signal).then(giveBack, giveBack);
    try {
      await channel.send(frame);
    } finally {
      over.abort();
    }
  }

  #deliver(what: {
    readonly of: Servable | "live";
    readonly send: (attempt: number, signal: AbortSignal) => Promise<void>;
    readonly frameBytes: number;
    readonly expectedHash: string | undefined;
  }): void {
    const { channel, clock, log, metrics, onBug } = this.#options;
    const over = new AbortController();
    this.#delivery = { of: what.of, over };
    const signal = AbortSignal.any([channel.gone, over.signal]);
    const startedAtMs = clock.monotonicMs();
    const onResend = (sends: number) => {
      metrics.resent();
      log.warn({ sends }, "data plane did not report the config it was sent, sent it again");
    };
    const send = (attempt: number) => what.send(attempt, signal);
    deliver({ ...what, send, hash: channel.hash, clock, onResend }, signal)
      .finally(() => {
        if (this.#delivery?.over === over) this.#delivery = undefined;
      })
      .then((took) => this.#delivered(what.of, took, Math.round(clock.monotonicMs() - startedAtMs)))
      .catch((error: unknown) => {
        // Else it was overtaken by a newer config, or the data plane is gone.
        if (error !== signal.reason) onBug(error);
      });
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
