/** One data plane's session: relayed to the control plane while that lives, served from the snapshot while it does not. */

import { type BackoffPolicy, backoffMs } from "../../core/backoff.ts";
import { ServiceError } from "../../core/errors.ts";
import { type Log, withFields } from "../../core/log.ts";
import { forever, Scope } from "../../core/waiting.ts";
import { type DialedConnection, SourceError } from "../../source/port.ts";
import type { Introduction } from "../door/admission.ts";
import { LiveLink } from "../live/live-link.ts";
import { PlaneChannel, type PlaneIntroduction } from "./plane-channel.ts";
import type { PlaneContext, PlaneSessionOptions, PlaneState } from "./plane-context.ts";
import { SnapshotFeed } from "./snapshot-feed.ts";

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
  #state: { readonly kind: PlaneState; readonly since: Date };
  /** What was said of the control plane since it last sent a config. */
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
    return this.#state.kind;
  }

  get since(): Date {
    return this.#state.since;
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
    let retryUntilMs = 0;
    let attempts = 0;
    if (!this.#mayTry(feed)) await this.#standBy(feed, signal);
    for (;;) {
      const end = await this.#link(introduction, feed, signal);
      signal.throwIfAborted();
      if (end.kind === "redial") continue;
      if (end.kind === "broke") {
        this.#log.warn({ err: end.error }, "connection to the control plane broke");
        retryUntilMs = clock.monotonicMs() + reconnectMs;
        // Of one that breaks again and again the intervals grow.
        if (end.isLong) attempts = 0;
      }
      if (clock.monotonicMs() < retryUntilMs && upstream.state.kind !== "fallback") {
        attempts += 1;
        await clock.sleep(backoffMs(REMAKE, attempts, random), signal);
        continue;
      }
      retryUntilMs = 0;
      attempts = 0;
      if (end.kind === "refused") this.#complain("control plane refuses the data plane", end.error);
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
    this.#become("fallback");
    const turn = new AbortController();
    try {
      await feed.serve(AbortSignal.any([signal, turn.signal]));
      if (feed.newest === undefined && !this.#channel.hash.isConfigured) {
        this.#log.warn({}, "data plane runs no config, and there is no snapshot for its version");
        // It comes back in 5 to 10 s, and is told 503 while there is still nothing.
        await this.#channel.close();
      }
      await this.#context.upstream.turn(signal);
    } finally {
      turn.abort();
    }
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
        this.#complaint = undefined;
        upstream.delivered(connection);
        this.#become("live");
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
    this.#complain("control plane sends no config", error);
    this.#become("fallback");
    await feed.serve(signal);
    await clock.sleep(REDIAL_MS, signal);
    if (hasConfig() || link.isReceiving) return forever(signal);
  }

  /** Once: it is tried again and again, and nothing new comes of it. */
  #complain(message: string, error: ServiceError): void {
    if (this.#complaint !== message) this.#log.warn({ err: error }, message);
    this.#complaint = message;
  }

  #become(kind: PlaneState): void {
    if (this.#state.kind === kind) return;
    if (kind === "live") this.#log.info({ from: this.#state.kind }, "data plane is live");
    this.#state = { kind, since: this.#context.clock.now() };
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
