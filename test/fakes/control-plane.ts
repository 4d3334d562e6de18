/**
 * A control plane that behaves, towards a data plane, as Kong 3.9.1 was seen to (test/fixtures/captures/README.md),
 * and misbehaves on request. It records everything it got.
 */

import type { IncomingMessage } from "node:http";
import type https from "node:https";
import type { TLSSocket } from "node:tls";
import type { ClusterTls } from "../../src/kong/cluster-tls.ts";
import { FakeSession, type FakeSessionOptions } from "./control-plane-session.ts";
import { page, UpgradeServer } from "./upgrade-server.ts";

export interface FakeControlPlaneOptions extends FakeSessionOptions {
  /** Its own certificate; in mode `shared` the only client certificate it takes. */
  readonly tls: ClusterTls;
  /** TLS settings that differ from Kong's. */
  readonly server?: https.ServerOptions;
  /** Written in place of the answer to the upgrade, and the end; empty: drops the connection, as Kong does with a wrong certificate. */
  readonly answer?: string;
  /** Frames written together with the answer to the upgrade, before any `basic_info`. */
  readonly greeting?: Uint8Array;
  /** Takes the upgrade and never answers it. */
  readonly hangs?: boolean;
}

export class FakeControlPlane extends UpgradeServer<FakeSession> {
  #options: FakeControlPlaneOptions;

  private constructor(options: FakeControlPlaneOptions) {
    super(options.tls, options.server);
    this.#options = options;
  }

  static listen(options: FakeControlPlaneOptions): Promise<FakeControlPlane> {
    return new FakeControlPlane(options).listening();
  }

  /**
   * Its config is changed: every session that is open, and every later one, is sent the new one, or
   * nothing at all where it lacks a plugin; pings are answered all the same. Kong/kong@3.9.1
   * kong/clustering/control_plane.lua. `quietly`: those that are open are not told, as after its
   * database was away.
   */
  change(
    changed: Pick<FakeSessionOptions, "config" | "configured">,
    { quietly = false }: { readonly quietly?: boolean } = {},
  ): void {
    this.#options = { ...this.#options, ...changed };
    if (quietly) return;
    for (const session of this.sessions) if (!session.hasEnded) session.change(changed);
  }

  protected override upgrade(request: IncomingMessage, socket: TLSSocket): void {
    const {
      answer = this.#refusal(request, socket),
      hangs = false,
      greeting = Buffer.alloc(0),
    } = this.#options;
    if (hangs) return;
    if (answer === "") socket.destroy();
    else if (answer !== undefined) socket.end(answer);
    else {
      const begin = () => new FakeSession(request, socket, this.#options);
      this.take(request, socket, begin, { greeting });
    }
  }

  /** As Kong refuses: `""` to drop the connection, else nginx's page; undefined where there is nothing to refuse. */
  #refusal(request: IncomingMessage, socket: TLSSocket): string | undefined {
    const { tls } = this.#options;
    const query = new URL(request.url ?? "", "https://cp").searchParams;
    if (tls.mtls === "pki" && !socket.authorized) return page(400);
    if (!request.url?.startsWith("/v1/outlet?")) return page(404);
    const shown = socket.getPeerX509Certificate();
    if (tls.mtls === "shared" && shown?.fingerprint256 !== tls.fingerprint256) return "";
    return query.get("node_id") && query.get("node_version") ? undefined : page(400);
  }
}
