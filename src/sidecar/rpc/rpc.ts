/** Version 2 of the protocol, `/v2/outlet`: the control plane's own while that lives, a stub while it does not. */

import type { Duplex } from "node:stream";
import type { Clock } from "../../core/clock.ts";
import { ServiceError } from "../../core/errors.ts";
import { orAborted, Scope } from "../../core/waiting.ts";
import { type DialedConnection, SourceError } from "../../source/port.ts";
import type { Arrival } from "../door/admission.ts";
import type { Upstream } from "../live/upstream.ts";
import type { WaitingRoom } from "../live/waiting-room.ts";
import { joinWebSockets } from "./rpc-relay.ts";
import { runRpcStub } from "./rpc-stub.ts";

export interface RpcContext {
  readonly upstream: Upstream;
  /** Longest message relayed, bytes as they travel. */
  readonly maxPayloadBytes: number;
  readonly wrap: (socket: Duplex) => Duplex;
  /** Where data planes on stubs wait while the control plane is lost: all of them are to be called whenever it is back. */
  readonly stubs: WaitingRoom;
  /** They are sent away, to come again for the real one, each at a random moment within this, milliseconds. */
  readonly releaseMs: number;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
}

/** A data plane waits 5 s for the answer. Kong/kong@3.9.1 kong/constants.lua:CLUSTERING_TIMEOUT */
const DIAL_LIMIT_MS = 4_000;
/** For how long a stub stays where the control plane was not lost, but only this attempt failed. */
const RETRY_MS = 30_000;

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
    const ended = runRpcStub(accepted.webSocket, clock, stay.signal);
    await orAborted(arrival.gone, Promise.race([ended, untilReleased(context, stay.signal)]));
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
  if (upstream.state.kind === "fallback") return "lost";
  const limit = new AbortController();
  const over = AbortSignal.any([gone, limit.signal]);
  clock.sleep(DIAL_LIMIT_MS, over).then(
    () => limit.abort(),
    // The answer came first.
    () => {},
  );
  try {
    return await upstream.dial({ target, protocol }, over);
  } catch (error) {
    if (error instanceof SourceError && error.code === "SOURCE_NOT_FOUND") return "absent";
    if (error instanceof ServiceError || over.aborted) return "lost";
    throw error;
  } finally {
    limit.abort();
  }
}

/** Rejects with `signal.reason`. */
async function untilReleased(
  { upstream, stubs, releaseMs, clock, random }: RpcContext,
  signal: AbortSignal,
): Promise<void> {
  if (upstream.state.kind !== "fallback") await clock.sleep(RETRY_MS, signal);
  do {
    if (upstream.state.kind === "fallback") await stubs.wait(signal);
    await clock.sleep(random() * releaseMs, signal);
  } while (upstream.state.kind === "fallback");
}
