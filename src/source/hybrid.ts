/** A source that is to its control plane one more data plane: Kong's hybrid mode, version 1 of the protocol. */

import type { Clock } from "../core/clock.ts";
import { formatHostPort, type HostPort } from "../core/host-port.ts";
import { Scope } from "../core/waiting.ts";
import { encodeBasicInfo } from "../kong/basic-info.ts";
import type { ClusterTls } from "../kong/cluster-tls.ts";
import { isConfigHash } from "../kong/config-hash.ts";
import { decodeReconfigure } from "../kong/reconfigure.ts";
import type { KongVersion } from "../kong/version.ts";
import { Addresses } from "../network/addresses.ts";
import type { ForwardProxy } from "../network/forward-proxy.ts";
import { outletTarget, step } from "./connect.ts";
import { loadTlsForSession, shakeHands } from "./dialer.ts";
import { type ConfigSource, SourceError, type SourceEvent } from "./port.ts";
import { keepChecking } from "./second-look.ts";
import { Session, type SessionOptions } from "./session.ts";
import { isIncompatible, type SyncStatus, withheld } from "./session-diagnosis.ts";

/** After so long without a config it is overdue. */
const CONFIG_WAIT_MS = 10_000;
/** A config would have come by then; the pong tells one that withholds it from one that hangs. */
const SHORT_SESSION_PING_MS = 5_000;
/** Who asks in vain has less patience; what is overdue may still come. */
const QUESTION = { firstPingMs: 2_000, configWaitMs: 5_000 };
const SHORT_SESSION = { firstPingMs: SHORT_SESSION_PING_MS, configWaitMs: CONFIG_WAIT_MS };

export interface HybridSourceOptions {
  readonly controlPlane: HostPort;
  readonly proxy: ForwardProxy | undefined;
  /** Called for each session, so that a rotated certificate is picked up. */
  readonly loadTls: () => Promise<ClusterTls>;
  /** A UUID that stays the same across restarts: the control plane keeps a row for each it has seen. */
  readonly nodeId: string;
  readonly hostname: string;
  /** Version of the data planes the configs are for; a control plane rewrites them for older ones. */
  readonly version: KongVersion;
  /** Names of the plugins to declare: see `declaredPlugins`. */
  readonly plugins: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  /** Longest message taken, bytes as they travel (compressed). */
  readonly maxPayloadBytes: number;
  /** Longest config taken, bytes once unpacked. */
  readonly maxConfigBytes: number;
  /** Kong's hash of the config saved last; undefined if none is. */
  readonly savedHash: string | undefined;
  /** Asks the Admin API for the `sync_status` of this node; undefined if it does not know the node. */
  readonly syncStatus?: (signal: AbortSignal) => Promise<string | undefined>;
  /** Asks the Admin API for the names of the plugins in use. */
  readonly pluginsInUse?: (signal: AbortSignal) => Promise<readonly string[]>;
  /**
   * For those who only ask what it has: no ping is sent before one is needed to tell a control plane that
   * withholds its config from one that hangs, since who pings is listed as a data plane.
   */
  readonly isQuestion?: boolean;
  /** How long a session may be given nothing before the control plane is asked whether it has nothing, milliseconds; absent: it is never asked. */
  readonly checkEveryMs?: number | undefined;
  readonly clock: Clock;
}

export class HybridSource implements ConfigSource {
  readonly name: string;
  readonly #options: HybridSourceOptions;
  readonly #addresses = new Addresses();
  #savedHash: string | undefined;
  #session: Session | undefined;
  /** Ends the watch in progress. */
  #watch: Scope | undefined;
  #isDisposed = false;

  constructor(options: HybridSourceOptions) {
    this.#options = options;
    this.#savedHash = isConfigHash(options.savedHash) ? options.savedHash : undefined;
    this.name = `${formatHostPort(options.controlPlane)} as ${options.version}`;
  }

  /** Nothing is sent before the consumer asks for the event after `connected`: breaking off there is a probe. */
  async *watch(signal: AbortSignal): AsyncGenerator<SourceEvent, never> {
    signal.throwIfAborted();
    if (this.#isDisposed) throw closed(this.name);
    if (this.#watch !== undefined) throw new Error(`${this.name} is being watched already`);
    using watch = new Scope(signal);
    this.#watch = watch;
    try {
      const session = await this.#connect(this.#manner(), watch.signal);
      this.#session = session;
      try {
        yield { kind: "connected" };
        return yield* session.events();
      } finally {
        if (!watch.isOver) await session.leave(watch.signal);
      }
    } finally {
      this.#watch = undefined;
      this.#session = undefined;
    }
  }

  /** Ignores what is no hash of a config, such as that of an empty one. */
  acknowledge(configHash: string): void {
    if (!isConfigHash(configHash)) return;
    this.#savedHash = configHash;
    this.#session?.saved(configHash);
  }

  /** Ends the watch in progress, if there is one, with SOURCE_LOST. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isDisposed = true;
    this.#watch?.end(closed(this.name));
  }

  #manner(): SessionManner {
    const { checkEveryMs: everyMs, isQuestion = false, clock } = this.#options;
    if (isQuestion) return QUESTION;
    const lasting = { firstPingMs: 0, configWaitMs: CONFIG_WAIT_MS };
    if (everyMs === undefined) return lasting;
    const beside: SessionOptions["beside"] = (session, signal) => {
      const ask = (ended: AbortSignal) => this.#askAnew(session, ended);
      return keepChecking(session, { everyMs, ask, clock }, signal);
    };
    return { ...lasting, beside };
  }

  /**
   * What the control plane has for this node now: by its Admin API where that knows, else by a short
   * session under the same id, which Kong keeps apart from the other one. It leaves no row, and no ping
   * where a config comes, so that the row there is stays as the lasting session makes it.
   */
  async #askAnew(session: Session, signal: AbortSignal): Promise<SourceEvent> {
    const status = await this.#askStatus(signal);
    if (status?.value !== undefined && isIncompatible(status.value)) {
      return { kind: "withheld", error: withheld(session.peer, undefined, status) };
    }
    const { configHash } = session.sent;
    if (status?.value === "normal" && configHash !== undefined) return { kind: "confirmed" };
    using short = new Scope(signal);
    const another = await this.#connect(SHORT_SESSION, short.signal);
    const events = another.events();
    const { value } = await events.next();
    await another.leave(signal);
    return value;
  }

  async #connect(manner: SessionManner, signal: AbortSignal): Promise<Session> {
    const { clock, maxConfigBytes, maxPayloadBytes, version } = this.#options;
    const tls = await loadTlsForSession(this.#options.loadTls, clock, signal);
    const target = outletTarget(this.#options);
    const addresses = this.#addresses;
    const connection = await shakeHands({ ...this.#options, target, tls, addresses }, signal);
    return new Session(
      connection,
      {
        basicInfo: encodeBasicInfo(this.#options),
        version,
        maxPayloadBytes,
        decode: (frame) => decodeReconfigure(frame, { maxConfigBytes }),
        askStatus: (ended) => this.#askStatus(ended),
        clock,
        ...manner,
      },
      this.#savedHash,
      signal,
    );
  }

  /** Undefined where nobody can be asked. Rejects only with `signal.reason`. */
  async #askStatus(signal: AbortSignal): Promise<SyncStatus | undefined> {
    const { clock, plugins, pluginsInUse, syncStatus } = this.#options;
    if (syncStatus === undefined) return undefined;
    try {
      const value = await step(clock, signal, syncStatus);
      if (value !== "plugin_set_incompatible" || pluginsInUse === undefined) {
        return { value, error: undefined };
      }
      // Names only add to what is known.
      const inUse = await step(clock, signal, pluginsInUse).catch(() => []);
      signal.throwIfAborted();
      const undeclared = inUse.filter((name) => !plugins.includes(name));
      return { value, error: undefined, undeclared };
    } catch (error) {
      signal.throwIfAborted();
      return { value: undefined, error };
    }
  }
}

/** What tells a lasting session from a short one. */
type SessionManner = Pick<SessionOptions, "firstPingMs" | "configWaitMs" | "beside">;

function closed(name: string): SourceError {
  return new SourceError("SOURCE_LOST", `watching ${name} ended: the source was closed here`, {
    retryable: false,
  });
}
