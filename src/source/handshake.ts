/** Opens a session with a control plane, step by step, each under Kong's time limit and each with its own diagnosis. */

import type { TLSSocket } from "node:tls";
import type { WebSocket } from "ws";
import type { Clock } from "../core/clock.ts";
import { formatHostPort, type HostPort } from "../core/host-port.ts";
import type { ClusterTls } from "../kong/cluster-tls.ts";
import { type ForwardProxy, nameProxy } from "../kong/forward-proxy.ts";
import { dialTcp, dialThroughProxy, secure } from "./dial.ts";
import {
  diagnoseDial,
  diagnoseProxy,
  diagnoseSecure,
  diagnoseUpgrade,
} from "./handshake-diagnosis.ts";
import type { Peer } from "./peer.ts";
import { SourceError } from "./port.ts";
import { step } from "./step.ts";
import { type UpgradeRequest, upgrade } from "./upgrade.ts";

export interface HandshakeOptions extends Omit<UpgradeRequest, "address"> {
  readonly controlPlane: HostPort;
  readonly proxy: ForwardProxy | undefined;
  readonly tls: ClusterTls;
  readonly clock: Clock;
}

export interface Connection {
  readonly peer: Peer;
  readonly socket: TLSSocket;
  /** Paused; nothing has been sent on it. */
  readonly webSocket: WebSocket;
}

/** Rejects with SourceError, or with `signal.reason`; then nothing is left open. */
export async function shakeHands(
  options: HandshakeOptions,
  signal: AbortSignal,
): Promise<Connection> {
  const { controlPlane, proxy, tls, clock } = options;
  const peer: Peer = {
    address: formatHostPort(controlPlane),
    proxy: proxy && nameProxy(proxy),
    mtls: tls.mtls,
    expectedName: tls.servername ?? controlPlane.host,
  };
  if (tls.expiresAt <= clock.now()) throw expired(tls.expiresAt);
  const tcp = await step(clock, signal, (limit) =>
    proxy === undefined
      ? dialTcp(controlPlane, limit)
      : dialThroughProxy(proxy, controlPlane, limit),
  ).catch((cause: unknown) => {
    signal.throwIfAborted();
    throw proxy === undefined ? diagnoseDial(cause, peer) : diagnoseProxy(cause, peer);
  });
  const socket = await step(clock, signal, (limit) =>
    secure(tcp, controlPlane.host, tls, limit),
  ).catch((cause: unknown) => {
    tcp.destroy();
    signal.throwIfAborted();
    throw diagnoseSecure(cause, peer);
  });
  const webSocket = await step(clock, signal, (limit) =>
    upgrade(socket, { ...options, address: peer.address }, limit),
  ).catch((cause: unknown) => {
    socket.destroy();
    signal.throwIfAborted();
    throw diagnoseUpgrade(cause, peer, clock.now());
  });
  return { peer, socket, webSocket };
}

function expired(since: Date): SourceError {
  return new SourceError(
    "SOURCE_TLS",
    `the certificate of this service (KONG_CLUSTER_CERT) expired on ${since.toISOString()}`,
    {
      hint: "Renew it wherever it is used: a shared one on the control plane, the data planes and here. If that date lies in the future, this machine's clock is wrong.",
    },
  );
}
