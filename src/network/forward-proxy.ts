/** A forward proxy that makes tunnels: Kong's `proxy_server`, or the one that HTTPS_PROXY names. */

import http from "node:http";
import https from "node:https";
import { isIP, type Socket } from "node:net";
import { formatHostPort, type HostPort } from "../core/host-port.ts";
import { Secret } from "../core/secret.ts";
import { until } from "../core/waiting.ts";
import type { Addresses } from "./addresses.ts";

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
const KONG_DEFAULT_PORT = 443;

const PROXY_URL =
  /^(https?:)\/\/(?:([^/@]*)@)?(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::(\d{1,5}))?\/?$/i;

/**
 * Reads `http[s]://[user[:password]@]host[:port]`; undefined if it is something else. Not read with
 * `URL`, which drops `:80` from an http URL, so that it could not be told from no port at all.
 */
export function parseForwardProxy(
  text: string,
  verifyCertificate = true,
  defaultPort = KONG_DEFAULT_PORT,
): ForwardProxy | undefined {
  const [, protocol = "", userinfo, ipv6, name, digits] = PROXY_URL.exec(text) ?? [];
  const host = ipv6 ?? name;
  const port = digits === undefined ? defaultPort : Number(digits);
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

/** The proxy answered CONNECT with something else than 2xx. */
export class ConnectRefused extends Error {
  readonly status: number;

  constructor(status: number) {
    super(`HTTP ${status}`);
    this.name = "ConnectRefused";
    this.status = status;
  }
}

/** A tunnel made with CONNECT: RFC 9110 9.3.6. Rejects with ConnectRefused or Node's own error. */
export function dialThroughProxy(
  proxy: ForwardProxy,
  to: HostPort,
  addresses: Addresses,
  signal: AbortSignal,
): Promise<Socket> {
  const authority = formatHostPort(to);
  const { host, port, credentials, ca } = proxy;
  const options: https.RequestOptions = {
    method: "CONNECT",
    host,
    port,
    path: authority,
    agent: false,
    lookup: addresses.lookup,
    headers: {
      Host: authority,
      "Proxy-Connection": "Keep-Alive",
      ...(credentials && {
        "Proxy-Authorization": `Basic ${Buffer.from(credentials.reveal()).toString("base64")}`,
      }),
    },
    // Else Node would ask the proxy for the name in `Host`.
    servername: isIP(host) === 0 ? host : "",
    rejectUnauthorized: proxy.verifyCertificate,
    ...(ca !== undefined && { ca }),
  };
  return until(signal, (resolve, reject) => {
    let isOpen = false;
    const request = proxy.protocol === "https:" ? https.request(options) : http.request(options);
    request.on("error", reject);
    request.once("socket", (socket) => addresses.watch(socket));
    request.once("connect", (response, socket: Socket, head) => {
      const { statusCode = 0 } = response;
      if (statusCode < 200 || statusCode > 299) {
        socket.destroy();
        reject(new ConnectRefused(statusCode));
        return;
      }
      isOpen = true;
      socket.on("error", ignore);
      if (head.length > 0) socket.unshift(head);
      resolve(socket);
    });
    request.end();
    return () => {
      if (!isOpen) request.destroy();
    };
  });
}

function ignore(): void {}

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
