/** The forward proxy between a data plane and its control plane: Kong's `proxy_server`. */

import { formatHostPort, type HostPort } from "../core/host-port.ts";
import { Secret } from "../core/secret.ts";

export interface ForwardProxy extends HostPort {
  readonly protocol: "http:" | "https:";
  /** `user:password`, percent-decoded as Kong does from 3.8 on; undefined where the URL has none. */
  readonly credentials: Secret | undefined;
  /** False: take any certificate of an https proxy. Kong's `proxy_server_ssl_verify`. */
  readonly verifyCertificate: boolean;
  /** PEM; whom to trust for an https proxy's certificate. Undefined: the system's roots. */
  readonly ca?: string;
}

/** Kong's, for http proxies too. Kong/kong@3.9.1 kong/clustering/utils.lua */
const DEFAULT_PORT = 443;

const PROXY_URL =
  /^(https?:)\/\/(?:([^/@]*)@)?(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::(\d{1,5}))?\/?$/i;

/**
 * Reads `http[s]://[user[:password]@]host[:port]`; undefined if it is something else. Not read with
 * `URL`, which drops `:80` from an http URL, so that it could not be told from no port at all.
 */
export function parseForwardProxy(
  text: string,
  verifyCertificate = true,
): ForwardProxy | undefined {
  const [, protocol = "", userinfo, ipv6, name, digits] = PROXY_URL.exec(text) ?? [];
  const host = ipv6 ?? name;
  const port = digits === undefined ? DEFAULT_PORT : Number(digits);
  const credentials = userinfo === undefined ? "" : decode(userinfo);
  if (host === undefined || credentials === undefined || port === 0 || port > 65_535) {
    return undefined;
  }
  return {
    protocol: protocol.toLowerCase() === "https:" ? "https:" : "http:",
    host,
    port,
    credentials: credentials === "" ? undefined : new Secret(credentials),
    verifyCertificate,
  };
}

/** For logs and messages: no credentials. */
export function nameProxy(proxy: ForwardProxy): string {
  return `${proxy.protocol}//${formatHostPort(proxy)}`;
}

function decode(userinfo: string): string | undefined {
  try {
    const [user = "", ...password] = userinfo.split(":");
    return userinfo === ""
      ? ""
      : `${decodeURIComponent(user)}:${decodeURIComponent(password.join(":"))}`;
  } catch {
    // A lone `%`: whoever wrote it meant another password than we would send.
    return undefined;
  }
}
