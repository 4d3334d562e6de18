/** What is known of the control plane, for all data planes together, and whose turn it is to try it. */

import type { Clock } from "../../core/clock.ts";
import { ServiceError } from "../../core/errors.ts";
import type { Log } from "../../core/log.ts";
import { retryAfterMsOf } from "../../core/trying.ts";
import { Bell, forever, inTime, raced, until } from "../../core/waiting.ts";
import {
  type DialedConnection,
  type Dialer,
  type DialRequest,
  SourceError,
} from "../../source/port.ts";
import { UpstreamEvidence, type UpstreamState } from "./evidence.ts";

export interface UpstreamTiming {
  /** Between two attempts, milliseconds: at random from this to twice this. */
  readonly retryMs: number;
  /** For how long a broken connection is tried to be made again before the control plane counts as lost, milliseconds. */
  readonly reconnectMs: number;
  /** For how long a lost control plane must have been answering before data planes are moved back to it, milliseconds; more if it comes and goes: see RecoveryTime. */
  readonly recoveryMs: number;
  /** Data planes are moved back each at a random moment within this, milliseconds. */
  readonly releaseMs: number;
}

export interface UpstreamOptions {
  /** Undefined: there is no control plane, and the state is `fallback` for good. */
  readonly dialer: Dialer | undefined;
  /** Path and query of a request that is made only to see whether it is answered. */
  readonly probeTarget: string;
  readonly timing: UpstreamTiming;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  readonly log: Log;
  /** Versions for which there is a snapshot now. */
  readonly served: () => readonly string[];
  /** Called with the first state and with each new one. */
  readonly onState?: (state: UpstreamState) => void;
}

/** While no data plane is connected to show whether the control plane lives, it is asked this often. */
const IDLE_PROBE_MS = 30_000;
/** Longest `Retry-After` obeyed: a nonsensical one must not keep data planes from their control plane for a day. */
export const MAX_RETRY_AFTER_MS = 10 * 60_000;

export class Upstream {
  readonly #options: UpstreamOptions;
  readonly #evidence: UpstreamEvidence;
  readonly #waiting = new WaitingRoom();
  /** Rung at each new state, and when a lost control plane begins to answer. */
  readonly #news = new Bell();
  /** It asked to be left alone, by `Retry-After`; `untilMs` by the monotonic clock. */
  #busy: { readonly error: ServiceError; readonly untilMs: number } | undefined;

  constructor(options: UpstreamOptions) {
    const { dialer, timing, served, clock, log, onState } = options;
    const since = clock.now();
    this.#options = options;
    this.#evidence = new UpstreamEvidence({
      initial:
        dialer === undefined
          ? { kind: "fallback", since, error: noControlPlane() }
          : { kind: "connecting", since },
      recoveryMs: timing.recoveryMs,
      served,
      clock,
      log,
      onState: (state) => {
        this.#news.ring();
        onState?.(state);
      },
      onAnswer: () => this.#news.ring(),
    });
    onState?.(this.state);
  }

  get state(): UpstreamState {
    return this.#evidence.state;
  }

  /** Whether an attempt made now is expected to succeed, or nothing is known. */
  get isAnswering(): boolean {
    return this.#evidence.isAnswering;
  }

  /**
   * A connection for a data plane, and what it tells about the control plane. Rejects with SourceError
   * or `signal.reason`; at once with the last error while the control plane has asked to be left alone.
   */
  async dial(request: DialRequest, signal: AbortSignal): Promise<DialedConnection> {
    const { dialer } = this.#options;
    if (dialer === undefined) throw noControlPlane();
    const dialing = this.#dial(dialer, request, signal);
    const connection = await raced(signal, dialing).catch((error: unknown) => {
      if (signal.aborted) dialing.then(({ webSocket }) => webSocket.terminate()).catch(() => {});
      signal.throwIfAborted();
      // While it is not lost, a data plane tries for `reconnectMs` before it gives it up.
      if (this.state.kind === "fallback" && error instanceof ServiceError) this.lost(error);
      throw error;
    });
    const { webSocket } = connection;
    this.#evidence.opened(connection);
    webSocket.once("close", () => this.#evidence.closed(connection));
    if (webSocket.readyState === webSocket.CLOSED) this.#evidence.closed(connection);
    return connection;
  }

  /** A config came over this connection. */
  delivered(connection: DialedConnection): void {
    this.#evidence.delivered(connection);
  }

  /** A connection could not be made, or not be made again within `reconnectMs`. Where others are up, it was no more than that. */
  lost(error: ServiceError): void {
    this.#evidence.lost(error);
  }

  /**
   * A connection brought no config in time. Resolves to whether the control plane gives none to
   * anybody, and so counts as lost; else the fault is the data plane's own. Where no other connection
   * shows it, `ask` tells whether the control plane gives configs. Rejects as `ask` does.
   */
  async withheld(error: ServiceError, ask: () => Promise<boolean>): Promise<boolean> {
    const evidence = this.#evidence;
    if (evidence.isDelivering) return false;
    const gives = await ask();
    if (gives) evidence.gave();
    // Others may have come through meanwhile.
    if (gives || evidence.isDelivering) return false;
    evidence.withheld(error);
    return true;
  }

  /** Resolves when a data plane that a living control plane gives nothing may ask it again: after `retryMs` to twice that, or when it is lost. Rejects with `signal.reason`. */
  async retry(signal: AbortSignal): Promise<void> {
    const { clock, random, timing } = this.#options;
    const waitMs = retryInMs(timing, random);
    if (this.state.kind === "fallback") return clock.sleep(waitMs, signal);
    await inTime(waitMs, clock, signal, async (both) => {
      while (this.state.kind !== "fallback") await this.#news.wait(both);
    });
  }

  /** Resolves once an attempt made now is expected to succeed. Rejects with `signal.reason`. */
  async untilAnswering(signal: AbortSignal): Promise<void> {
    while (!this.isAnswering) await this.#news.wait(signal);
  }

  /**
   * Resolves when a data plane without a live connection may try again: after `retryMs` to
   * twice that; in `fallback` when it is chosen to try first, or after the control plane is back for good, at a
   * random moment within `releaseMs`. Rejects with `signal.reason`.
   */
  async turn(signal: AbortSignal): Promise<void> {
    const { clock, random, timing } = this.#options;
    if (this.state.kind !== "fallback") await clock.sleep(retryInMs(timing, random), signal);
    while (this.state.kind === "fallback") {
      if ((await this.#waiting.wait(signal)) === "first") return;
      await clock.sleep(random() * timing.releaseMs, signal);
    }
  }

  /** Resolves once it is not, or not any more, in `fallback`. Rejects with `signal.reason`. */
  async untilBack(signal: AbortSignal): Promise<void> {
    while (this.state.kind === "fallback") await this.#news.wait(signal);
  }

  /** Watches the control plane as far as no data plane's connection does. Ends by rejecting with `signal.reason`. */
  async run(signal: AbortSignal): Promise<never> {
    const { dialer } = this.#options;
    if (dialer === undefined) return forever(signal);
    for (;;) {
      signal.throwIfAborted();
      const { kind } = this.state;
      switch (kind) {
        case "connecting":
          await this.#probe(dialer, signal);
          break;
        case "live":
          await this.#watchIdle(dialer, signal);
          break;
        case "fallback":
          await this.#seekRecovery(dialer, signal);
          break;
        default:
          kind satisfies never;
      }
    }
  }

  async #watchIdle(dialer: Dialer, signal: AbortSignal): Promise<void> {
    const evidence = this.#evidence;
    if (!(await this.#rest(IDLE_PROBE_MS - evidence.idleMs, signal))) return;
    if (evidence.idleMs < IDLE_PROBE_MS) return;
    if ((await this.#ask(dialer, signal)) === undefined) return;
    if (!(await this.#rest(this.#options.timing.reconnectMs, signal))) return;
    if (evidence.idleMs >= IDLE_PROBE_MS) await this.#probe(dialer, signal);
  }

  async #seekRecovery(dialer: Dialer, signal: AbortSignal): Promise<void> {
    const evidence = this.#evidence;
    const { timing, random } = this.#options;
    const waitMs = Math.min(retryInMs(timing, random), evidence.holdMs);
    if (!(await this.#rest(waitMs, signal))) return;
    // A data plane that is moved over shows more than a probe: whether a config comes.
    if (!evidence.isAnswering && (this.#waiting.callFirst() || evidence.mustDeliver)) return;
    if (!evidence.isConnected) await this.#probe(dialer, signal);
    if (evidence.holdMs <= 0) this.#release();
  }

  #release(): void {
    const { log, timing } = this.#options;
    const dataPlanes = this.#waiting.size;
    this.#evidence.recovered();
    log.info(
      { dataPlanes, withinMs: timing.releaseMs },
      "control plane is back, moving data planes",
    );
    this.#waiting.callAll();
  }

  async #probe(dialer: Dialer, signal: AbortSignal): Promise<void> {
    const error = await this.#ask(dialer, signal);
    if (error !== undefined) this.lost(error);
  }

  /** Why it does not answer. Nothing is sent on the connection, so that the control plane lists no data plane. */
  async #ask(dialer: Dialer, signal: AbortSignal): Promise<ServiceError | undefined> {
    try {
      const request = { target: this.#options.probeTarget };
      const { webSocket } = await this.#dial(dialer, request, signal);
      webSocket.terminate();
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof ServiceError) return error;
      throw error;
    }
    this.#evidence.answered();
    return undefined;
  }

  /** Whatever it is for: who asks for patience asks it of all. */
  async #dial(
    dialer: Dialer,
    request: DialRequest,
    signal: AbortSignal,
  ): Promise<DialedConnection> {
    const { clock } = this.#options;
    if (this.#busy !== undefined && clock.monotonicMs() < this.#busy.untilMs)
      throw this.#busy.error;
    try {
      return await dialer.dial(request, signal);
    } catch (error) {
      if (error instanceof ServiceError) {
        const waitMs = Math.min(retryAfterMsOf(error), MAX_RETRY_AFTER_MS);
        if (waitMs > 0) this.#busy = { error, untilMs: clock.monotonicMs() + waitMs };
      }
      throw error;
    }
  }

  /** Whether the time went by without news. */
  async #rest(ms: number, signal: AbortSignal): Promise<boolean> {
    return !(await this.#news.waitFor(ms, this.#options.clock, signal));
  }
}

/** `first`: it was called alone, as the one that had waited longest. */
type Call = "first" | "all";

interface Waiting {
  readonly signal: AbortSignal;
  readonly call: (call: Call) => void;
}

/** Where data planes wait until they may try the control plane: they are called in the order they came, or all at once. */
class WaitingRoom {
  readonly #waiting = new Set<Waiting>();

  get size(): number {
    return this.#waiting.size;
  }

  /** Resolves when called. Rejects with `signal.reason`. */
  wait(signal: AbortSignal): Promise<Call> {
    return until<Call>(signal, (call) => {
      const waiting: Waiting = { signal, call };
      this.#waiting.add(waiting);
      return () => this.#waiting.delete(waiting);
    });
  }

  /** The one that has waited longest; false where nobody waits. */
  callFirst(): boolean {
    for (const waiting of this.#waiting) {
      this.#waiting.delete(waiting);
      if (waiting.signal.aborted) continue;
      waiting.call("first");
      return true;
    }
    return false;
  }

  callAll(): void {
    for (const { call } of this.#waiting) call("all");
    this.#waiting.clear();
  }
}

function retryInMs({ retryMs }: UpstreamTiming, random: () => number): number {
  return Math.round(retryMs * (1 + random()));
}

function noControlPlane(): SourceError {
  return new SourceError("SOURCE_UNREACHABLE", "there is no control plane to connect to", {
    retryable: false,
    hint: "Set KONG_CLUSTER_CONTROL_PLANE to have data planes relayed to one.",
  });
}
