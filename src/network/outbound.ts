/** How a client of a store leaves this machine: past silent addresses, and through a forward proxy where one is to be used. */

import http from "node:http";
import https from "node:https";
import type { Socket } from "node:net";
import { type ConnectionOptions, connect as tlsConnect } from "node:tls";
import { describeCause } from "../core/errors.ts";
import { Addresses } from "./addresses.ts";
import type { Destination, Egress } from "./egress.ts";
import { ConnectRefused, dialThroughProxy, nameProxy } from "./forward-proxy.ts";

/** The `code` of a TunnelError, in the manner of Node's: some SDKs pass on no more than this. */
export const NO_TUNNEL = "EPROXY";

/** No tunnel through the forward proxy. */
export class TunnelError extends Error {
  readonly code = NO_TUNNEL;

  constructor(proxy: string, cause: unknown) {
    super(`no tunnel through proxy ${proxy}: ${reasonOf(cause)}`, { cause });
    this.name = "TunnelError";
  }
}

function reasonOf(cause: unknown): string {
  if (cause instanceof ConnectRefused) return `it answered HTTP ${cause.status}`;
  const isLate = cause instanceof Error && cause.name === "TimeoutError";
  return isLate ? "it does not answer" : describeCause(cause);
}

export class Outbound {
  readonly addresses = new Addresses();
  readonly #egress: Egress;
  readonly #timeoutMs: number;

  /** `timeoutMs`: for a tunnel to come about. */
  constructor(egress: Egress, timeoutMs: number) {
    this.#egress = egress;
    this.#timeoutMs = timeoutMs;
  }

  /** A connection to `to` through the proxy; undefined where it is to be reached directly. Rejects with TunnelError. */
  tunnelTo(to: Destination): Promise<Socket> | undefined {
    const proxy = this.#egress(to);
    if (proxy === undefined) return undefined;
    const signal = AbortSignal.timeout(this.#timeoutMs);
    return dialThroughProxy(proxy, to, this.addresses, signal).catch((cause: unknown) => {
      throw new TunnelError(nameProxy(proxy), cause);
    });
  }

  /** For clients on Node's own http. `options` as Node takes them. */
  httpAgent(options: http.AgentOptions): http.Agent {
    return leading(new http.Agent(this.#withLookup(options)), "http:", this);
  }

  httpsAgent(options: https.AgentOptions): https.Agent {
    return leading(new https.Agent(this.#withLookup(options)), "https:", this);
  }

  /** One agent for each protocol, chosen by that of a URL, `http:` or another. */
  agents(options: http.AgentOptions = {}): (to: { readonly protocol: string }) => http.Agent {
    const [plain, secure] = [this.httpAgent(options), this.httpsAgent(options)];
    return ({ protocol }) => (protocol === "http:" ? plain : secure);
  }

  #withLookup<T extends object>(options: T): T {
    return { ...options, lookup: this.addresses.lookup };
  }
}

type Callback = (error: Error | null, socket?: Socket) => void;

/** What Node calls for each new connection; the types of Node 20 do not have it. https://nodejs.org/docs/latest-v20.x/api/http.html#agentcreateconnectionoptions-callback */
interface Connecting {
  createConnection(options: ConnectionOptions, callback: Callback): Socket | undefined;
}

function leading<A extends http.Agent>(
  agent: A,
  protocol: Destination["protocol"],
  outbound: Outbound,
): A {
  const connecting = agent as unknown as Connecting;
  const direct = connecting.createConnection.bind(agent);
  connecting.createConnection = (options, callback) => {
    const { host = "", port = 0 } = options;
    const tunnel = outbound.tunnelTo({ protocol, host, port: Number(port) });
    if (tunnel === undefined) return outbound.addresses.watch(direct(options, callback));
    tunnel.then(
      (socket) =>
        callback(null, protocol === "http:" ? socket : tlsConnect({ ...options, socket })),
      (error: Error) => callback(error),
    );
    return undefined;
  };
  // An SDK that logs a request logs its agent, whose sockets hold the headers of others: tokens.
  Object.defineProperty(agent, "toJSON", { value: () => "agent" });
  return agent;
}
