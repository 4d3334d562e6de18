/** One data plane's session: relayed to the control plane while that lives, served from the snapshot while it does not. */

import type { Clock } from "../../core/clock.ts";
import { ServiceError } from "../../core/errors.ts";
import { type Log, withFields } from "../../core/log.ts";
import { Backoff, type BackoffPolicy } from "../../core/trying.ts";
import { forever, Scope, type Slots } from "../../core/waiting.ts";
import type { KongVersion } from "../../kong/version.ts";
import { type DialedConnection, type DialRequest, SourceError } from "../../source/port.ts";
import type { Accepted, Introduction } from "../door/admission.ts";
import { LiveLink } from "../live/live-link.ts";
import type { Upstream } from "../live/upstream.ts";
import type { SidecarMetrics } from "../metrics.ts";
import type { Shelf } from "../shelf/shelf.ts";
import { PlaneChannel, type PlaneIntroduction } from "./channel.ts";
import { SnapshotFeed } from "./feed.ts";

/** Where a data plane's config comes from, and since when. */
export type PlaneState =
  /** It is not decided yet. */
  | { readonly kind: "connecting"; readonly since: Date }
  /** The control plane: it has sent one. */
  | { readonly kind: "live"; readonly since: Date }
  /** The snapshot. `complaint`: what was said of the control plane since then, not to be said again. */
  | { readonly kind: "fallback"; readonly since: Date; readonly complaint: string | undefined };

export interface PlaneSessionOptions {
  readonly introduction: Introduction;
  /** Undefined where what it gave is no version. */
  readonly version: KongVersion | undefined;
  /** What it asked for, to be asked of the control plane. */
  readonly request: DialRequest;
  /** Paused; nothing was read. */
  readonly connection: Accepted;
}

export interface PlaneContext {
  readonly upstream: Upstream;
  readonly shelf: Shelf;
  /** Is shown every config that passes; undefined: none is remembered. */
  readonly remember: ((version: KongVersion, frame: Buffer) => void) | undefined;
  /** For long messages of the control plane. */
  readonly slots: Slots;
  /** For long frames from the shelf. */
  readonly sendSlots: Slots;
  /** See SnapshotFeedOptions. */
  readonly isAuthority: boolean;
  /** For how long a broken connection is tried to be made again, milliseconds. */
  readonly reconnectMs: number;
  /** A control plane that has sent no config for this long is taken to have none to send, milliseconds. */
  readonly configWaitMs: number;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  readonly log: Log;
  readonly metrics: SidecarMetrics;
}

/** Between attempts to make a broken connection again. */
const REMAKE: BackoffPolicy = { minMs: 250, maxMs: 5_000 };
/** A connection this long was a good one, config or not; after a shorter one the intervals go on growing. */
const GOOD_LINK_MS = 10_000;
/** A control plane that sends no config is asked anew this often: it sends none later by itself. */
const REDIAL_MS = 60_000;

/** What became of an attempt to connect with the control plane. */
type LinkEnd =
  /** It was made, and of use. */
  | { readonly kind: "broke"; readonly error: ServiceError; readonly isLong: boolean }
  /** The control plane is there, and wants nothing of this data plane. */
  | { readonly kind: "refused"; readonly error: ServiceError }
  | { readonly kind: "failed"; readonly error: ServiceError }
  /** It was ended here, to ask for a config anew. */
  | { readonly kind: "redial" };

export class PlaneSession {
  readonly introduction: Introduction;
  readonly connectedAt: Date;
  readonly #options: PlaneSessionOptions;
  readonly #context: PlaneContext;
  readonly #log: Log;
  readonly #channel: PlaneChannel;
  #state: PlaneState;

  constructor(options: PlaneSessionOptions, context: PlaneContext) {
    const { nodeId, hostname, version } = options.introduction;
    this.introduction = options.introduction;
    this.#options = options;
    this.#context = context;
    this.#log = withFields(context.log, { nodeId, hostname, kongVersion: version });
    this.#channel = new PlaneChannel(options.connection, context.clock, this.#log);
    this.connectedAt = context.clock.now();
    this.#state = { kind: "connecting", since: this.connectedAt };
  }

  get state(): PlaneState {
    return this.#state;
  }

  /** Hash of the config it runs, by its last ping: 32 zeros if none; undefined before the first. */
  get hash(): string | undefined {
    return this.#channel.hash.value;
  }

  /** Resolves when the data plane is gone, and with it its connection to the control plane. */
  async run(): Promise<void> {
    const channel = this.#channel;
    const introduction = await channel.introduction();
    if (introduction === undefined) {
      if (!channel.gone.aborted) {
        this.#log.warn({}, "data plane did not begin with basic_info, connection closed");
      }
      await channel.close();
      return;
    }
    this.#log.info({}, "data plane connected");
    const silence = channel.watchSilence();
    try {
      await this.#follow(introduction, channel.gone);
    } catch (error) {
      if (error !== channel.gone.reason) {
        this.#log.error({ err: error }, "data plane's session failed, it will connect again");
      }
    }
    await channel.terminate();
    await silence;
    this.#log.info({ configHash: this.hash }, "data plane disconnected");
  }

  /** Until the data plane is gone, or something fails that must not. */
  async #follow(introduction: PlaneIntroduction, gone: AbortSignal): Promise<never> {
    using life = new Scope(gone);
    const { signal } = life;
    const { upstream, clock, random, reconnectMs, remember } = this.#context;
    const feed = new SnapshotFeed({
      ...this.#context,
      channel: this.#channel,
      info: introduction.info,
      remembers: remember !== undefined,
      version: this.#options.version,
      log: this.#log,
      onBug: (error) => life.end(error),
    });
    const remaking = new Backoff(random);
    let remakeUntilMs = 0;
    if (!this.#mayTry(feed)) await this.#standBy(feed, signal);
    for (;;) {
      const end = await this.#link(introduction, feed, signal);
      signal.throwIfAborted();
      if (end.kind === "redial") continue;
      if (end.kind === "broke") {
        this.#log.warn({ err: end.error }, "connection to the control plane broke");
        remakeUntilMs = clock.monotonicMs() + reconnectMs;
        // Of one that breaks again and again the intervals grow.
        if (end.isLong) remaking.succeeded();
      }
      if (clock.monotonicMs() < remakeUntilMs && upstream.state.kind !== "fallback") {
        await clock.sleep(remaking.failed(REMAKE), signal);
        continue;
      }
      remakeUntilMs = 0;
      remaking.succeeded();
      if (end.kind === "refused") this.#fallBack("control plane refuses the data plane", end.error);
      else upstream.lost(end.error);
      await this.#standBy(feed, signal);
    }
  }

  /** While the control plane is lost, only a data plane that we have nothing for tries it before its turn. */
  #mayTry(feed: SnapshotFeed): boolean {
    const { upstream } = this.#context;
    if (upstream.state.kind !== "fallback") return true;
    return upstream.isAnswering && feed.newest === undefined;
  }

  /** Serves from the snapshot until it is this data plane's turn to try the control plane. */
  async #standBy(feed: SnapshotFeed, signal: AbortSignal): Promise<void> {
    this.#fallBack();
    using standing = new Scope(signal);
    await feed.serve(standing.signal);
    if (feed.newest === undefined && !this.#channel.hash.isConfigured) {
      this.#log.warn({}, "data plane runs no config, and there is no snapshot for its version");
      // It comes back in 5 to 10 s, and is told 503 while there is still nothing.
      await this.#channel.close();
    }
    await this.#context.upstream.turn(signal);
  }

  /** One connection to the control plane, from its making to its end. Rejects with `signal.reason`. */
  async #link(
    { frame }: PlaneIntroduction,
    feed: SnapshotFeed,
    signal: AbortSignal,
  ): Promise<LinkEnd> {
    const { upstream, remember } = this.#context;
    const { introduction, version } = this.#options;
    const connection = await this.#dial(signal);
    if (connection instanceof ServiceError) return { kind: "failed", error: connection };
    let hasConfig = false;
    const link = new LiveLink({
      ...this.#context,
      connection,
      plane: this.#channel.webSocket,
      version: introduction.version,
      onConfig: (config, sent) => {
        hasConfig = true;
        upstream.delivered(connection);
        this.#becomeLive();
        if (version !== undefined) remember?.(version, config);
        feed.live(config.length, sent);
      },
    });
    this.#channel.link = link;
    using up = new Scope(signal);
    const ended = link.run(frame, this.hash, up.signal);
    try {
      const redial = this.#redialIsDue(() => hasConfig, link, feed, up.signal);
      const error = await Promise.race([ended, redial]);
      if (error === undefined) return { kind: "redial" };
      const isLong = link.ageMs >= GOOD_LINK_MS;
      if (hasConfig || isLong) return { kind: "broke", error, isLong };
      return { kind: error.code === "SOURCE_REFUSED" ? "refused" : "failed", error };
    } finally {
      up.end();
      await ended;
      this.#channel.link = undefined;
      // A ping that was passed on may never be answered now, and the data plane counts the seconds.
      this.#channel.pong();
    }
  }

  async #dial(signal: AbortSignal): Promise<DialedConnection | ServiceError> {
    try {
      return await this.#context.upstream.dial(this.#options.request, signal);
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof ServiceError) return error;
      throw error;
    }
  }

  /** Waits for a config, and serves from the snapshot where none comes. Resolves when it is time to ask anew; rejects with `signal.reason`. */
  async #redialIsDue(
    hasConfig: () => boolean,
    link: LiveLink,
    feed: SnapshotFeed,
    signal: AbortSignal,
  ): Promise<undefined> {
    const { upstream, clock, configWaitMs } = this.#context;
    do {
      await clock.sleep(configWaitMs, signal);
      if (hasConfig()) return forever(signal);
    } while (link.isReceiving);
    const error = noConfig(configWaitMs);
    upstream.withheld(error);
    this.#fallBack("control plane sends no config", error);
    await feed.serve(signal);
    await clock.sleep(REDIAL_MS, signal);
    if (hasConfig() || link.isReceiving) return forever(signal);
  }

  #becomeLive(): void {
    if (this.#state.kind === "live") return;
    this.#log.info({ from: this.#state.kind }, "data plane is live");
    this.#state = { kind: "live", since: this.#context.clock.now() };
  }

  /** A complaint is said once: the control plane is tried again and again, and nothing new comes of it. */
  #fallBack(complaint?: string, error?: ServiceError): void {
    const state = this.#state;
    const said = state.kind === "fallback" ? state.complaint : undefined;
    if (complaint !== undefined && complaint !== said) this.#log.warn({ err: error }, complaint);
    this.#state = {
      kind: "fallback",
      since: state.kind === "fallback" ? state.since : this.#context.clock.now(),
      complaint: complaint ?? said,
    };
  }
}

function noConfig(afterMs: number): SourceError {
  return new SourceError(
    "SOURCE_WITHHELD",
    `the control plane accepted the data plane, but sent no config within ${afterMs / 1000} s`,
    {
      hint: 'Its database may be down, or it withholds the config from this data plane: its log says "unable to send".',
    },
  );
}
