/** A `/v2/outlet` with nothing behind it: it can do nothing, and says so, upon which data planes take their config from version 1. */

import type { WebSocket } from "ws";
import type { Clock } from "../../core/clock.ts";
import { orAborted, Scope, untilQuiet } from "../../core/waiting.ts";
import { SILENCE_LIMIT_MS, STEP_TIMEOUT_MS } from "../../kong/wire.ts";
import type { Introduction } from "../door/admission.ts";

/** The only frame encoding there is. Kong/kong@3.9.1 kong/clustering/rpc/manager.lua */
const FRAME_ENCODING = "x-snappy-framed";
/** Capability of a data plane that takes its config from version 2. Kong/kong@3.9.1 kong/clustering/services/sync/rpc.lua */
const SYNC = "kong.sync.v2";
/** Longest name or id that is repeated, characters. */
const MAX_TEXT = 255;
const SAID_NOTHING: Hello = { introduction: undefined, isIncremental: false };

/** What a data plane says of itself in its hello. */
export interface Hello {
  /** Undefined where it is not as Kong says it. */
  readonly introduction: Introduction | undefined;
  /** It takes its config from version 2, if it is given any there: `cluster_incremental_sync`. */
  readonly isIncremental: boolean;
}

/**
 * Takes a paused WebSocket. Answers the hello with no capabilities, and each ping, until `signal`
 * aborts, no hello comes within 5 s, or nothing at all for 45 s; ignores what else comes. Resolves
 * when the connection is over. A data plane of 3.10 then starts version 1; one of 3.9 with
 * incremental sync stays without a config, and no server but its own control plane can help it:
 * Kong/kong@3.9.1 kong/init.lua. `onHello` is told once.
 */
export async function runRpcStub(
  webSocket: WebSocket,
  onHello: (hello: Hello) => void,
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
    const hello = isBinary && Buffer.isBuffer(data) ? parseHello(data) : undefined;
    isGreeted = hello !== undefined;
    if (hello === undefined) {
      webSocket.close();
      return;
    }
    webSocket.send(answerTo(hello), { binary: true });
    onHello(readHello(hello));
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
function parseHello(message: Buffer): (object & { readonly id: unknown }) | undefined {
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
  return hello;
}

function answerTo({ id }: { readonly id: unknown }): Buffer {
  const result = { rpc_capabilities: [], rpc_frame_encoding: FRAME_ENCODING };
  return Buffer.from(JSON.stringify({ jsonrpc: "2.0", id, result }));
}

/** Kong/kong@3.9.1 kong/clustering/rpc/manager.lua:_meta_call */
function readHello(hello: object): Hello {
  const params = "params" in hello && Array.isArray(hello.params) ? hello.params : [];
  const said: unknown = params[0];
  if (typeof said !== "object" || said === null) return SAID_NOTHING;
  const text = (name: string): string | undefined => {
    const value: unknown = Reflect.get(said, name);
    return typeof value === "string" && value.length <= MAX_TEXT ? value : undefined;
  };
  const nodeId = text("kong_node_id");
  const version = text("kong_version");
  const hostname = text("kong_hostname") ?? "";
  const capabilities: unknown = Reflect.get(said, "rpc_capabilities");
  return {
    introduction: nodeId && version ? { nodeId, hostname, version } : undefined,
    isIncremental: Array.isArray(capabilities) && capabilities.includes(SYNC),
  };
}
