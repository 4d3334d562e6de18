/** The settings of the sidecar. */

import { type HostPort, parseHostPort } from "../../core/host-port.ts";
import type { Secret } from "../../core/secret.ts";
import { HTTP_URL, parseHttpUrl } from "./parsers.ts";
import type { SettingsReader } from "./reader.ts";

/** See Settings. */
export interface ServeSettings {
  readonly listen: HostPort;
  readonly serverCert: string | undefined;
  readonly serverCertKey: Secret | undefined;
  readonly remember: boolean;
  readonly reconnectMs: number;
  readonly configWaitMs: number;
  readonly retryMs: number;
  readonly recoveryMs: number;
  readonly releaseMs: number;
  readonly refreshMs: number;
  readonly maxConnections: number;
  readonly maxHandshakesPerSecond: number;
  /** URL of an Admin API; undefined: data planes. */
  readonly serveTarget: string | undefined;
  readonly serveGraceMs: number;
}

export function readServe(read: SettingsReader): ServeSettings {
  return {
    listen: read.parsed("KONG_FALLBACK_LISTEN", "host:port", parseHostPort) ?? ANYWHERE,
    serverCert: read.text("KONG_FALLBACK_SERVER_CERT"),
    serverCertKey: read.secret("KONG_FALLBACK_SERVER_CERT_KEY"),
    remember: read.onOff("KONG_FALLBACK_REMEMBER"),
    reconnectMs: read.seconds("KONG_FALLBACK_RECONNECT_TIME", 0, 3_600),
    configWaitMs: read.seconds("KONG_FALLBACK_CONFIG_WAIT", 0.1, 3_600),
    retryMs: read.seconds("KONG_FALLBACK_RETRY_TIME", 0.1, 3_600),
    recoveryMs: read.seconds("KONG_FALLBACK_RECOVERY_TIME", 0, 3_600),
    releaseMs: read.seconds("KONG_FALLBACK_RELEASE_TIME", 0, 3_600),
    refreshMs: read.seconds("KONG_FALLBACK_REFRESH_INTERVAL", 1, 86_400),
    maxConnections: read.integer("KONG_FALLBACK_MAX_CONNECTIONS", 1, 1_000_000),
    maxHandshakesPerSecond: read.integer("KONG_FALLBACK_MAX_HANDSHAKES", 1, 1_000_000),
    serveTarget: readServeTarget(read),
    serveGraceMs: read.seconds("KONG_FALLBACK_SERVE_GRACE", 0, 3_600),
  };
}

/** Stands in for one at fault. */
const ANYWHERE: HostPort = { host: "127.0.0.1", port: 0 };
const LOCAL_ADMIN_API = "http://127.0.0.1:8001";

function readServeTarget(read: SettingsReader): string | undefined {
  const value = read.parsed(
    "KONG_FALLBACK_SERVE_TARGET",
    `planes, admin, or ${HTTP_URL}`,
    (text) => (text === "planes" ? text : parseHttpUrl(text === "admin" ? LOCAL_ADMIN_API : text)),
  );
  return value === "planes" ? undefined : value;
}
