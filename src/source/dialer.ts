/** Connections to a control plane for data planes that stand behind us: their requests, our certificate. */

import type { Clock } from "../core/clock.ts";
import { formatHostPort, type HostPort } from "../core/host-port.ts";
import type { ClusterTls } from "../kong/cluster-tls.ts";
import type { ForwardProxy } from "../kong/forward-proxy.ts";
import { shakeHands } from "./handshake.ts";
import { loadTlsForSession } from "./load-tls.ts";
import type { DialedConnection, Dialer, DialRequest } from "./port.ts";
import { diagnoseEnd } from "./session-diagnosis.ts";

export interface ClusterDialerOptions {
  readonly controlPlane: HostPort;
  readonly proxy: ForwardProxy | undefined;
  /** Called for each connection, so that a rotated certificate is picked up. */
  readonly loadTls: () => Promise<ClusterTls>;
  /** Longest message taken, bytes as they travel (compressed). */
  readonly maxPayloadBytes: number;
  readonly clock: Clock;
}

export class ClusterDialer implements Dialer {
  readonly name: string;
  readonly #options: ClusterDialerOptions;

  constructor(options: ClusterDialerOptions) {
    this.#options = options;
    this.name = formatHostPort(options.controlPlane);
  }

  async dial(request: DialRequest, signal: AbortSignal): Promise<DialedConnection> {
    const { loadTls, maxPayloadBytes, clock } = this.#options;
    const tls = await loadTlsForSession(loadTls, clock, signal);
    const { peer, ...connection } = await shakeHands({ ...this.#options, ...request, tls }, signal);
    return {
      ...connection,
      explain: (ending) => diagnoseEnd({ ...ending, maxPayloadBytes }, peer),
    };
  }
}
