/** A data plane's `/v2/outlet` joined with the control plane's: everything passes as it is. */

import type { Duplex } from "node:stream";
import type { WebSocket } from "ws";
import type { Clock } from "../../core/clock.ts";
import { SILENCE_LIMIT_MS, STEP_TIMEOUT_MS } from "../../kong/wire.ts";
import { Passage } from "../live/passage.ts";

export interface Side {
  /** Paused. */
  readonly webSocket: WebSocket;
  /** What it runs on. */
  readonly socket: Duplex;
}

/**
 * Both ends watch each other across the relay and give up after 45 s, looking every 5 s. Whoever is
 * silent for longer has vanished without a word. Kong/kong@3.9.1 kong/clustering/rpc/socket.lua
 */
const SILENCE_MS = SILENCE_LIMIT_MS + STEP_TIMEOUT_MS;

/** RFC 6455 7.4.1: no code came, no close frame came. */
const NO_CODES: readonly number[] = [1005, 1006];

/**
 * Resolves when both have ended: the end of one is passed on to the other behind what came before
 * it, for which there are 5 s. A side that is silent for 50 s is dropped, so that a control plane has
 * as long to take a message; a slow data plane is for its `socket` to notice.
 */
export async function joinWebSockets(plane: Side, controlPlane: Side, clock: Clock): Promise<void> {
  const over = new AbortController();
  const sides = [plane, controlPlane].map(({ webSocket }) => webSocket);
  const ends = sides.map(endOf);
  const fromPlane = new Direction(plane, controlPlane, clock);
  const fromControlPlane = new Direction(controlPlane, plane, clock);
  const dropped = Promise.all([
    fromPlane.dropSilent(() => false, over.signal),
    fromControlPlane.dropSilent(() => fromControlPlane.isHeld, over.signal),
  ]);
  dropped.catch(() => {
    // Both have ended.
  });
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
  clock.sleep(STEP_TIMEOUT_MS, over.signal).then(
    () => {
      for (const webSocket of sides) webSocket.terminate();
    },
    // It ended in time.
    () => {},
  );
  await Promise.all(ends);
  over.abort();
}

/** What comes from one side, and goes to the other no faster than that takes it. */
class Direction {
  readonly #from: WebSocket;
  readonly #passage: Passage;
  readonly #clock: Clock;
  #heardAtMs: number;

  constructor(from: Side, to: Side, clock: Clock) {
    const { webSocket } = from;
    const heard = (): void => {
      this.#heardAtMs = clock.monotonicMs();
    };
    const passage = new Passage(webSocket, to.webSocket, heard);
    this.#from = webSocket;
    this.#passage = passage;
    this.#clock = clock;
    this.#heardAtMs = clock.monotonicMs();
    // Any byte is a sign of life, even within a long message.
    from.socket.prependListener("data", heard);
    webSocket.on("message", (data, isBinary) => void passage.message(data, isBinary));
    webSocket.on("ping", (payload) => passage.ping(payload));
    webSocket.on("pong", (payload) => passage.pong(payload));
    // By itself ws would wait 30 s for the end of a connection on which it can read nothing more.
    webSocket.on("error", () => webSocket.terminate());
  }

  /** What came last has not left yet. */
  get isHeld(): boolean {
    return this.#passage.isHeld;
  }

  /** Resolves when it has dropped `from`; rejects with `signal.reason`. `isExcused`: it is our turn. */
  async dropSilent(isExcused: () => boolean, signal: AbortSignal): Promise<void> {
    for (;;) {
      const silentForMs = isExcused() ? 0 : this.#clock.monotonicMs() - this.#heardAtMs;
      if (silentForMs >= SILENCE_MS) break;
      await this.#clock.sleep(SILENCE_MS - silentForMs, signal);
    }
    this.#from.terminate();
  }
}

interface End {
  readonly code: number;
  readonly reason: Buffer;
}

function endOf(webSocket: WebSocket): Promise<End> {
  return new Promise((resolve) => {
    webSocket.once("close", (code, reason) => resolve({ code, reason }));
    // Its event has passed.
    if (webSocket.readyState === webSocket.CLOSED) resolve({ code: 1006, reason: Buffer.alloc(0) });
  });
}
