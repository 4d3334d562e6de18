/** One data plane's session: relayed to the control plane while that lives, served from the snapshot while it does not. */

import { constants } from "node:buffer";
import type { Clock } from "../../core/clock.ts";
import { ServiceError } from "../../core/errors.ts";
import { type Log, withFields } from "../../core/log.ts";
import { Backoff, type BackoffPolicy } from "../../core/trying.ts";
import { forever, Scope, type Slots } from "../../core/waiting.ts";
import type { BasicInfo } from "../../kong/basic-info.ts";
import { configuredPlugins } from "../../kong/plugins.ts";
import { decodeReconfigure } from "../../kong/reconfigure.ts";
import type { KongVersion } from "../../kong/version.ts";
import { type DialedConnection, type DialRequest, SourceError } from "../../source/port.ts";
import type { Accepted, Introduction } from "../door/admission.ts";
import type { Inquiry } from "../live/inquiry.ts";
import { LiveLink } from "../live/live-link.ts";
import type { Upstream } from "../live/upstream.ts";
import type { SidecarMetrics } from "../metrics.ts";
import type { Shelf } from "../shelf/shelf.ts";
import { PlaneChannel, type PlaneIntroduction } from "./channel.ts";
import { findMisfit, type Misfit, SnapshotFeed } from "./feed.ts";

/** Where a data plane's config comes from, and since when. */
export type PlaneState =
  /** It is not decided yet. */
  | { readonly kind: "connecting"; readonly since: Date }
  /** The control plane: it has sent one. */
  | { readonly kind: "live"; readonly since: Date }
  /** Nowhere: the control plane lives, and gives this data plane nothing; `error` says why. */
  | { readonly kind: "withheld"; readonly since: Date; readonly error: ServiceError }
  /** The snapshot. */
  | { readonly kind: "fallback"; readonly since: Date }
  /** Nowhere: it takes one from a control plane only, and none is there. */
  | { readonly kind: "unserved"; readonly since: Date; readonly error: ServiceError };

/** What is told of a data plane. */
export interface ListedPlane {
  readonly introduction: Introduction;
  readonly connectedAt: Date;
  readonly state: PlaneState;
  /** Hash of the config it runs, by its last ping: 32 zeros if none; undefined where it has not told. */
  readonly hash: string | undefined;
}

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
  /** Undefined: there is no control plane. */
  readonly inquiry: Inquiry | undefined;
  readonly shelf: Shelf;
  /** Is shown every config that passes, and gives it back as it is kept, see Remember; undefined: none is remembered. */
  readonly remember: ((version: KongVersion, frame: Buffer) => Uint8Array | undefined) | undefined;
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
/** Data planes that try together do so within this. */
const AT_ONCE_MS = 3_000;
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

export class PlaneSession implements ListedPlane {
  readonly introduction: Introduction;
  readonly connectedAt: Date;
  readonly #options: PlaneSessionOptions;
  readonly #context: PlaneContext;
  readonly #log: Log;
  readonly #channel: PlaneChannel;
  #state: PlaneState;
  /** What was said of the control plane since it last gave something, not to be said again. */
  #complaint: string | undefined;

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
    const { upstream, clock, random, reconnectMs } = this.#context;
    const feed = new SnapshotFeed({
      ...this.#context,
      channel: this.#channel,
      info: introduction.info,
      version: this.#options.version,
      log: this.#log,
      onBug: (error) => life.end(error),
    });
    const remaking = new Backoff(random);
    let remakeUntilMs = 0;
    let isItsTurn = await this.#mayTry(feed, signal);
    for (;;) {
      if (!isItsTurn) await this.#standBy(feed, signal);
      isItsTurn = true;
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
      if (end.kind === "failed") upstream.lost(end.error);
      isItsTurn = end.kind === "refused" || upstream.state.kind !== "fallback";
      if (!isItsTurn) continue;
      // It lives: what it does not give, no snapshot does.
      if (end.kind === "refused") {
        this.#withhold(feed, "control plane refuses the data plane", end.error);
      }
      await upstream.retry(signal);
      if (end.kind === "refused") continue;
      isItsTurn = upstream.state.kind !== "fallback";
      if (isItsTurn) {
        this.#withhold(feed, "control plane takes others, but not the data plane", end.error);
      }
    }
  }

  /** While the control plane is lost, but answers, only a data plane that runs no config tries it before its turn. */
  async #mayTry(feed: SnapshotFeed, signal: AbortSignal): Promise<boolean> {
    const { upstream } = this.#context;
    if (upstream.state.kind !== "fallback") return true;
    if (!upstream.isAnswering) return false;
    await feed.settle(signal);
    return upstream.isAnswering && !this.#channel.hash.isConfigured;
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
    await Promise.race([
      this.#context.upstream.turn(standing.signal),
      this.#untilAnsweredWhileEmpty(standing.signal),
    ]);
  }

  /** A data plane without a config has nothing to lose: it does not wait until the control plane has proved itself. Rejects with `signal.reason`. */
  async #untilAnsweredWhileEmpty(signal: AbortSignal): Promise<void> {
    const { upstream, clock, random } = this.#context;
    do {
      await upstream.untilAnswering(signal);
      if (this.#channel.hash.isConfigured) return forever(signal);
      await clock.sleep(random() * AT_ONCE_MS, signal);
    } while (!upstream.isAnswering);
  }

  /** One connection to the control plane, from its making to its end. Rejects with `signal.reason`. */
  async #link(
    { frame, info }: PlaneIntroduction,
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
        const kept = version && remember?.(version, config);
        feed.live(config.length, sent, kept);
      },
    });
    this.#channel.link = link;
    using up = new Scope(signal);
    const ended = link.run(frame, this.hash, up.signal);
    try {
      const redial = this.#redialIsDue(() => hasConfig, link, feed, info, up.signal);
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

  /** Waits for a config. Where none comes, serves from the snapshot, but only if nobody is given one. Resolves when it is time to ask anew; rejects with `signal.reason`. */
  async #redialIsDue(
    hasConfig: () => boolean,
    link: LiveLink,
    feed: SnapshotFeed,
    info: BasicInfo,
    signal: AbortSignal,
  ): Promise<undefined> {
    const { upstream, clock, configWaitMs } = this.#context;
    do {
      await clock.sleep(configWaitMs, signal);
      if (hasConfig()) return forever(signal);
    } while (link.isReceiving);
    let misfit: Misfit | undefined;
    const isLost = await upstream.withheld(noConfig(configWaitMs), async () => {
      const given = await this.#ask(feed, info, signal);
      misfit = given?.misfit;
      return given !== undefined;
    });
    // It may have come after all.
    if (hasConfig() || link.isReceiving) return forever(signal);
    if (isLost) {
      this.#fallBack("control plane sends no config", noConfig(configWaitMs));
      await feed.serve(signal);
    } else {
      const known = misfit ?? feed.misfit;
      this.#withhold(
        feed,
        "control plane withholds its config from the data plane, nothing is served",
        withheldFromIt(known),
      );
    }
    await clock.sleep(REDIAL_MS, signal);
    if (hasConfig() || link.isReceiving) return forever(signal);
  }

  /** What the control plane gives to a data plane that lacks nothing, as far as it concerns this one; undefined where it gives nothing. Rejects with `signal.reason`. */
  async #ask(
    feed: SnapshotFeed,
    info: BasicInfo,
    signal: AbortSignal,
  ): Promise<{ readonly misfit: Misfit | undefined } | undefined> {
    const { inquiry, remember } = this.#context;
    const { introduction, version } = this.#options;
    const known = [...info.plugins.map(({ name }) => name), ...(feed.newest?.plugins ?? [])];
    const frame = await inquiry?.ask(introduction.version, known, signal);
    if (frame === undefined) return undefined;
    // The freshest there is, whoever it was given to.
    if (version !== undefined) remember?.(version, frame);
    try {
      const { configTable } = await decodeReconfigure(frame, {
        maxConfigBytes: constants.MAX_LENGTH,
      });
      const load = { frameBytes: frame.length, plugins: configuredPlugins(configTable) };
      return { misfit: findMisfit(load, info) };
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error;
      // What it sends is beyond us, but it does send.
      return { misfit: undefined };
    }
  }

  #becomeLive(): void {
    this.#complaint = undefined;
    if (this.#state.kind === "live") return;
    this.#log.info({ from: this.#state.kind }, "data plane is live");
    this.#state = { kind: "live", since: this.#context.clock.now() };
  }

  #fallBack(complaint?: string, error?: ServiceError): void {
    this.#complain(complaint, error);
    if (this.#state.kind === "fallback") return;
    this.#state = { kind: "fallback", since: this.#context.clock.now() };
  }

  /** The control plane lives, and its word counts, be it that it gives nothing. */
  #withhold(feed: SnapshotFeed, complaint: string, error: ServiceError): void {
    feed.stop();
    this.#complain(complaint, error);
    if (this.#state.kind !== "withheld") this.#context.metrics.unserved();
    const { since } =
      this.#state.kind === "withheld" ? this.#state : { since: this.#context.clock.now() };
    this.#state = { kind: "withheld", since, error };
  }

  /** Said once: the control plane is tried again and again, and nothing new comes of it. */
  #complain(complaint: string | undefined, error: ServiceError | undefined): void {
    if (complaint === undefined || complaint === this.#complaint) return;
    this.#complaint = complaint;
    this.#log.warn({ err: error }, complaint);
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

function withheldFromIt(misfit: Misfit | undefined): SourceError {
  return new SourceError(
    "SOURCE_WITHHELD",
    misfit === undefined
      ? "the control plane gives configs to others, but none to this data plane"
      : `the control plane gives its config to others, but not to this data plane: ${misfit.reason}`,
    {
      hint:
        misfit?.hint ??
        'Its log says why: "unable to send". Mostly a plugin is missing here, or has another version.',
    },
  );
}
