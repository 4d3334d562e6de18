/** A `/v2/outlet` with nothing behind it: it can do nothing, and says so, upon which data planes take their config from version 1. */

import type { WebSocket } from "ws";
import type { Clock } from "../../core/clock.ts";
import { orAborted, Scope, untilQuiet } from "../../core/waiting.ts";
import { SILENCE_LIMIT_MS, STEP_TIMEOUT_MS } from "../../kong/wire.ts";

/** The only frame encoding there is. Kong/kong@3.9.1 kong/clustering/rpc/manager.lua */
const FRAME_ENCODING = "x-snappy-framed";

/**
 * Takes a paused WebSocket. Answers the hello with no capabilities, and each ping, until `signal`
 * aborts, no hello comes within 5 s, or nothing at all for 45 s; ignores what else comes. Resolves
 * when the connection is over. A data plane of 3.10 then starts version 1; one of 3.9 with
 * incremental sync stays without a config, and no server but its own control plane can help it:
 * Kong/kong@3.9.1 kong/init.lua.
 */
export async function runRpcStub(
  webSocket: WebSocket,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  using over = new Scope(signal);
  let heardAtMs = clock.monotonicMs();
  let isGreeted = false;
  webSocket.once("close", () => over.end());
  webSocket.on("ping", () => {
    heardAtMs = clock.monotonicMs();
    // Whoever does not take the pongs is not read either.
    webSocket.pause();
    webSocket.pong("", undefined, () => webSocket.resume());
  });
  webSocket.on("message", (data, isBinary) => {
    heardAtMs = clock.monotonicMs();
    // Not open: it was refused already.
    if (isGreeted || webSocket.readyState !== webSocket.OPEN) return;
    const answer = isBinary && Buffer.isBuffer(data) ? answerHello(data) : undefined;
    if (answer === undefined) webSocket.close();
    else webSocket.send(answer, { binary: true });
    isGreeted = answer !== undefined;
  });
  webSocket.resume();
  const watch = async (): Promise<void> => {
    await clock.sleep(STEP_TIMEOUT_MS, over.signal);
    if (isGreeted) await untilQuiet(SILENCE_LIMIT_MS, () => heardAtMs, clock, over.signal);
  };
  // It may be gone, or to be sent away, before.
  await orAborted(over.signal, watch());
  webSocket.terminate();
}

/** Undefined if the message is no hello. */
function answerHello(message: Buffer): Buffer | undefined {
  let hello: unknown;
  try {
    hello = JSON.parse(message.toString("utf8"));
  } catch {
    // The hello is the one message that is plain JSON.
    return undefined;
  }
  if (typeof hello !== "object" || hello === null) return undefined;
  if (!("id" in hello && "method" in hello) || hello.method !== "kong.meta.v1.hello") {
    return undefined;
  }
  const result = { rpc_capabilities: [], rpc_frame_encoding: FRAME_ENCODING };
  return Buffer.from(JSON.stringify({ jsonrpc: "2.0", id: hello.id, result }));
}
