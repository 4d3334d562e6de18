/** Whom a session is with, as far as messages and hints need it. */

import type { ClusterTls } from "../kong/cluster-tls.ts";

export interface Peer {
  /** The control plane's `host:port`. */
  readonly address: string;
  /** The forward proxy in between, without credentials; undefined where there is none. */
  readonly proxy: string | undefined;
  readonly mtls: ClusterTls["mtls"];
  /** What the control plane's certificate must be for: the SNI, or the host where that is an IP address. */
  readonly expectedName: string;
}

/** `control plane cp:8005`, with the proxy where there is one. */
export function namePeer(peer: Peer): string {
  return `control plane ${peer.address}${peer.proxy === undefined ? "" : ` through proxy ${peer.proxy}`}`;
}

/** Text from the other side, fit for one line of a message: control characters blanked, at most 200 characters. */
export function quote(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is removed
  const line = text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, " ").trim();
  return line.length > 200 ? `${line.slice(0, 200)}...` : line;
}
