/** Whether a connection is a data plane's, judged as Kong judges: Kong/kong@3.9.1 kong/clustering/init.lua, utils.lua:connect_dp. */

import type { Duplex } from "node:stream";
import { TLSSocket } from "node:tls";
import type { ClusterTls } from "../kong/cluster-tls.ts";
import { CLUSTER_PATH } from "../kong/wire.ts";

/** What a data plane says of itself in the query of its request. */
export interface Introduction {
  readonly nodeId: string;
  /** `""` if it did not say. */
  readonly hostname: string;
  /** Kong version. */
  readonly version: string;
}

export type Admission =
  | { readonly kind: "admitted"; readonly introduction: Introduction }
  | {
      readonly kind: "refused";
      readonly why: string;
      /** HTTP to answer with; empty: close without an answer. */
      readonly answer: string;
    };

/** In Kong's order: path, certificate, node id and version. `url`: path and query of the request. */
export function admit(url: string | undefined, socket: Duplex, tls: ClusterTls): Admission {
  const [path, query] = (url ?? "").split("?", 2);
  if (path !== CLUSTER_PATH) return refused("unknown path", page("404 Not Found"));
  if (!(socket instanceof TLSSocket)) return refused("no TLS", "");
  const shown = socket.getPeerX509Certificate()?.fingerprint256;
  if (tls.mtls === "shared" && shown !== tls.fingerprint256) {
    return refused("its certificate is not the cluster certificate", "");
  }
  if (tls.mtls === "pki" && !socket.authorized) {
    return refused("its certificate is not signed by the CA", page("400 Bad Request"));
  }
  const parameters = new URLSearchParams(query);
  const nodeId = parameters.get("node_id") ?? "";
  const version = parameters.get("node_version") ?? "";
  if (nodeId === "" || version === "") {
    return refused("no node_id or node_version", page("400 Bad Request"));
  }
  const hostname = parameters.get("node_hostname") ?? "";
  return { kind: "admitted", introduction: { nodeId, hostname, version } };
}

function refused(why: string, answer: string): Admission {
  return { kind: "refused", why, answer };
}

function page(status: string): string {
  return `HTTP/1.1 ${status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`;
}
