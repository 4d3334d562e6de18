/** Opens connections to a control plane, step by step, each under Kong's time limit and each with its own diagnosis; also in the name of data planes that stand behind us. */

import type { TLSSocket } from "node:tls";
import type { WebSocket } from "ws";
import type { Clock } from "../core/clock.ts";
import { ServiceError } from "../core/errors.ts";
import { formatHostPort, type HostPort } from "../core/host-port.ts";
import { within } from "../core/waiting.ts";
import type { ClusterTls } from "../kong/cluster-tls.ts";
import { STEP_TIMEOUT_MS } from "../kong/wire.ts";
import { Addresses } from "../network/addresses.ts";
import { dialThroughProxy, type ForwardProxy, nameProxy } from "../network/forward-proxy.ts";
import {
  dialTcp,
  StepTimeout,
  secure,
  step,
  type UpgradeRefused,
  type UpgradeRequest,
  upgrade,
} from "./connect.ts";
import {
  diagnoseDial,
  diagnoseProxy,
  diagnoseSecure,
  diagnoseUpgrade,
  type Peer,
} from "./handshake-diagnosis.ts";
import { type DialedConnection, type Dialer, type DialRequest, SourceError } from "./port.ts";
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
  readonly #addresses = new Addresses();

  constructor(options: ClusterDialerOptions) {
    this.#options = options;
    this.name = formatHostPort(options.controlPlane);
  }

  async dial(request: DialRequest, signal: AbortSignal): Promise<DialedConnection> {
    const { loadTls, maxPayloadBytes, clock } = this.#options;
    const tls = await loadTlsForSession(loadTls, clock, signal);
    const options = { ...this.#options, ...request, tls, addresses: this.#addresses };
    const { peer, ...connection } = await shakeHands(options, signal);
    return {
      ...connection,
      explain: (ending) => diagnoseEnd({ ...ending, maxPayloadBytes }, peer),
    };
  }
}

export interface HandshakeOptions extends Omit<UpgradeRequest, "address"> {
  readonly controlPlane: HostPort;
  readonly proxy: ForwardProxy | undefined;
  readonly tls: ClusterTls;
  /** The same for every attempt, so that the next one begins with another. */
  readonly addresses: Addresses;
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
  const { controlPlane, proxy, tls, addresses, clock } = options;
  const peer: Peer = {
    address: formatHostPort(controlPlane),
    proxy: proxy && nameProxy(proxy),
    mtls: tls.mtls,
    expectedName: tls.servername ?? controlPlane.host,
  };
  if (tls.expiresAt <= clock.now()) throw expired(tls.expiresAt);
  const tcp = await step(clock, signal, (limit) =>
    proxy === undefined
      ? dialTcp(controlPlane, addresses, limit)
      : dialThroughProxy(proxy, controlPlane, addresses, limit),
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
  let refusal: UpgradeRefused | undefined;
  const onRefusal = (refused: UpgradeRefused): void => {
    refusal = refused;
  };
  const request = { ...options, address: peer.address };
  const webSocket = await step(
    clock,
    signal,
    (limit) => upgrade(socket, request, onRefusal, limit),
    () => refusal ?? new StepTimeout(),
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

/**
 * A certificate rotated by halves is mended by the other half, and a hanging file system may wake up:
 * neither must end a long-running job. Rejects with SOURCE_TLS, or with `signal.reason`.
 */
export async function loadTlsForSession(
  load: () => Promise<ClusterTls>,
  clock: Clock,
  signal: AbortSignal,
): Promise<ClusterTls> {
  const late = () =>
    new SourceError(
      "SOURCE_TLS",
      `the cluster's certificates could not be read within ${STEP_TIMEOUT_MS / 1000} s`,
      { hint: "See whether the disk or server that KONG_CLUSTER_CERT lies on hangs." },
    );
  try {
    return await within({ ms: STEP_TIMEOUT_MS, clock, late }, signal, load);
  } catch (cause) {
    signal.throwIfAborted();
    if (!(cause instanceof ServiceError) || cause instanceof SourceError) throw cause;
    throw new SourceError("SOURCE_TLS", cause.message, {
      cause,
      ...(cause.hint !== undefined && { hint: cause.hint }),
    });
  }
}
