/** Version 2 of the protocol, `/v2/outlet`: the control plane's own while that lives, a stub while it does not. */

import type { Duplex } from "node:stream";
import type { WebSocket } from "ws";
import type { Clock } from "../../core/clock.ts";
import { ServiceError } from "../../core/errors.ts";
import { forever, inTime, orAborted, raced, Scope, untilQuiet } from "../../core/waiting.ts";
import { SILENCE_LIMIT_MS, STEP_TIMEOUT_MS } from "../../kong/wire.ts";
import { type DialedConnection, SourceError } from "../../source/port.ts";
import type { Arrival, Introduction } from "../door/admission.ts";
import { Passage } from "../live/relay.ts";
import type { Upstream } from "../live/upstream.ts";
import { type Hello, runRpcStub } from "./stub.ts";

export interface RpcContext {
  readonly upstream: Upstream;
  /** Longest message relayed, bytes as they travel. */
  readonly maxPayloadBytes: number;
  readonly wrap: (socket: Duplex) => Duplex;
  /** Once the control plane is back, data planes on stubs are sent away, to come again for the real one, each at a random moment within this, milliseconds. */
  readonly releaseMs: number;
  /** Whether this data plane is connected by version 1, too, over which it gets its config. */
  readonly isOnVersion1: (nodeId: string) => boolean;
  /** Told of a data plane that gets nothing here nor elsewhere, until what it gives is disposed of. */
  readonly onUnserved: (introduction: Introduction) => Disposable;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
}

/** A data plane waits 5 s for the answer. Kong/kong@3.9.1 kong/constants.lua:CLUSTERING_TIMEOUT */
const DIAL_LIMIT_MS = 4_000;
/** A data plane that turns to version 1 does so as soon as its hello is answered. */
const VERSION_1_MS = 10_000;
/** Data planes that have nothing to lose ask a control plane that answers again within this. */
const AT_ONCE_MS = 3_000;
/** For how long a stub stays where the control plane was not lost, but only this attempt failed. */
const RETRY_MS = 30_000;
/**
 * Both ends watch each other across the relay and give up after 45 s, looking every 5 s. Whoever is
 * silent for longer has vanished without a word. Kong/kong@3.9.1 kong/clustering/rpc/socket.lua
 */
const SILENCE_MS = SILENCE_LIMIT_MS + STEP_TIMEOUT_MS;
/** RFC 6455 7.4.1: no code came, no close frame came. */
const NO_CODES: readonly number[] = [1005, 1006];

/**
 * Resolves when the data plane is gone, or refused: a control plane without version 2 answers 404,
 * and so do we. A relayed connection that breaks is not made again here: what was agreed on it is
 * gone, and the data plane comes back for a new one.
 */
export async function serveRpc(arrival: Arrival, context: RpcContext): Promise<void> {
  const { maxPayloadBytes, wrap, clock } = context;
  const connection = await dial(arrival, context);
  if (connection === "absent") {
    arrival.refuse(404);
  } else if (connection === "lost") {
    // The hello is short, and nothing else is wanted.
    const accepted = arrival.accept({ wrap });
    if (accepted === undefined) return;
    using stay = new Scope(arrival.gone);
    let onHello: (hello: Hello) => void = () => {};
    const hello = new Promise<Hello>((resolve) => {
      onHello = resolve;
    });
    const ended = runRpcStub(accepted.webSocket, onHello, clock, stay.signal);
    const released = untilReleased(context, stay.signal);
    const unserved = whileUnserved(hello, context, stay.signal);
    await orAborted(arrival.gone, Promise.race([ended, released, unserved]));
    stay.end();
    await ended;
  } else {
    const accepted = arrival.accept({ maxPayloadBytes, wrap });
    if (accepted === undefined) connection.webSocket.terminate();
    else await joinWebSockets(accepted, connection, clock);
  }
}

async function dial(
  { target, protocol, gone }: Arrival,
  { upstream, clock }: RpcContext,
): Promise<DialedConnection | "absent" | "lost"> {
  if (!upstream.isAnswering) return "lost";
  try {
    const connection = await inTime(DIAL_LIMIT_MS, clock, gone, (signal) =>
      upstream.dial({ target, protocol }, signal),
    );
    return connection === "late" ? "lost" : connection;
  } catch (error) {
    if (error instanceof SourceError && error.code === "SOURCE_NOT_FOUND") return "absent";
    if (error instanceof ServiceError || error === gone.reason) return "lost";
    throw error;
  }
}

/**
 * Resolves when a data plane that gets nothing may ask the control plane: it has nothing to lose, so it
 * does not wait until that has proved itself. Rejects with `signal.reason`.
 */
async function whileUnserved(
  hello: Promise<Hello>,
  { upstream, isOnVersion1, onUnserved, clock, random }: RpcContext,
  signal: AbortSignal,
): Promise<void> {
  const { introduction, isIncremental } = await raced(signal, hello);
  await clock.sleep(VERSION_1_MS, signal);
  if (introduction === undefined || !isIncremental || isOnVersion1(introduction.nodeId)) {
    return forever(signal);
  }
  using _ = onUnserved(introduction);
  if (upstream.state.kind !== "fallback") await clock.sleep(RETRY_MS, signal);
  do {
    await upstream.untilAnswering(signal);
    await clock.sleep(random() * AT_ONCE_MS, signal);
  } while (!upstream.isAnswering);
}

/** Rejects with `signal.reason`. */
async function untilReleased(
  { upstream, releaseMs, clock, random }: RpcContext,
  signal: AbortSignal,
): Promise<void> {
  if (upstream.state.kind !== "fallback") await clock.sleep(RETRY_MS, signal);
  do {
    await upstream.untilBack(signal);
    await clock.sleep(random() * releaseMs, signal);
  } while (upstream.state.kind === "fallback");
}

export interface Side {
  /** Paused. */
  readonly webSocket: WebSocket;
  /** What it runs on. */
  readonly socket: Duplex;
}

/**
 * Joins a data plane's `/v2/outlet` with the control plane's: everything passes as it is. Resolves
 * when both have ended: the end of one is passed on to the other behind what came before it, for
 * which there are 5 s. A side that is silent for 50 s is dropped, so that a control plane has as long
 * to take a message; a slow data plane is for its `socket` to notice.
 */
export async function joinWebSockets(plane: Side, controlPlane: Side, clock: Clock): Promise<void> {
  using over = new Scope();
  const sides = [plane.webSocket, controlPlane.webSocket];
  const fromPlane = oneWay(plane, controlPlane, clock);
  const fromControlPlane = oneWay(controlPlane, plane, clock);
  const ends = [fromPlane.ended, fromControlPlane.ended];
  const dropped = Promise.all([
    fromPlane.dropSilent(false, over.signal),
    fromControlPlane.dropSilent(true, over.signal),
  ]);
  for (const webSocket of sides) webSocket.resume();
  const { code, reason } = await Promise.race(ends);
  for (const webSocket of sides) {
    if (NO_CODES.includes(code)) webSocket.close();
    else webSocket.close(code, reason);
  }
  if (plane.webSocket.readyState === plane.webSocket.CLOSED) {
    // Nobody is left for what the control plane might still say.
    controlPlane.socket.end(() => controlPlane.webSocket.terminate());
  }
  await inTime(STEP_TIMEOUT_MS, clock, over.signal, () => Promise.all(ends));
  for (const webSocket of sides) webSocket.terminate();
  await Promise.all(ends);
  over.end();
  await orAborted(over.signal, dropped);
}

/** What comes from one side, and the watch on its silence. */
function oneWay(from: Side, to: Side, clock: Clock) {
  let heardAtMs = clock.monotonicMs();
  // Any byte is a sign of life, even within a long message.
  const heard = (): void => {
    heardAtMs = clock.monotonicMs();
  };
  const passage = new Passage(from.webSocket, to.webSocket, { heard, idle: heard });
  return {
    ended: passage.follow(from.socket),
    /** `isExcusedWhileHeld`: it is not silent while it is not read. Rejects with `signal.reason`. */
    async dropSilent(isExcusedWhileHeld: boolean, signal: AbortSignal): Promise<void> {
      const lastAtMs = (): number =>
        isExcusedWhileHeld && passage.isHeld ? clock.monotonicMs() : heardAtMs;
      await untilQuiet(SILENCE_MS, lastAtMs, clock, signal);
      from.webSocket.terminate();
    },
  };
}
