/** The settings of the session with a control plane. */

import type { HostPort } from "../../core/host-port.ts";
import type { Secret } from "../../core/secret.ts";
import { type ForwardProxy, parseForwardProxy } from "../../kong/forward-proxy.ts";
import { parseHostName, parseLabels, parseNames, parsePeer } from "./parsers.ts";
import type { SettingsReader } from "./reader.ts";

/** See Settings. */
export interface ClusterSettings {
  readonly controlPlane: HostPort | undefined;
  readonly clusterCert: string | undefined;
  readonly clusterCertKey: Secret | undefined;
  readonly clusterCaCert: string | undefined;
  readonly clusterMtls: "shared" | "pki";
  readonly clusterServerName: string | undefined;
  /** Undefined where none is to be used. */
  readonly proxy: ForwardProxy | undefined;
  readonly clusterMaxPayloadBytes: number;
  readonly labels: Readonly<Record<string, string>>;
  /** Names as written, `bundled` included. */
  readonly plugins: readonly string[];
}

export function readCluster(read: SettingsReader): ClusterSettings {
  return {
    controlPlane: read.parsed("KONG_CLUSTER_CONTROL_PLANE", "host:port", parsePeer),
    clusterCert: read.text("KONG_CLUSTER_CERT"),
    clusterCertKey: read.secret("KONG_CLUSTER_CERT_KEY"),
    clusterCaCert: read.text("KONG_CLUSTER_CA_CERT"),
    clusterMtls: read.oneOf("KONG_CLUSTER_MTLS", ["shared", "pki"]) ?? "shared",
    clusterServerName: read.parsed("KONG_CLUSTER_SERVER_NAME", "a host name", parseHostName),
    proxy: readProxy(read),
    clusterMaxPayloadBytes: read.integer("KONG_CLUSTER_MAX_PAYLOAD", 1_048_576, GIBIBYTE),
    labels:
      read.parsed("KONG_CLUSTER_DP_LABELS", "a list like key:value,key:value", parseLabels) ?? {},
    plugins: read.parsed("KONG_PLUGINS", "a comma-separated list of names", parseNames) ?? [],
  };
}

const GIBIBYTE = 2 ** 30;

/** KONG_PROXY_SERVER counts only where KONG_CLUSTER_USE_PROXY is on. Kong/kong@3.9.1 kong/conf_loader/init.lua */
function readProxy(read: SettingsReader): ForwardProxy | undefined {
  const verify = read.onOff("KONG_PROXY_SERVER_SSL_VERIFY");
  const expected = "http[s]://[user:password@]host[:port]";
  const proxy = read.parsed("KONG_PROXY_SERVER", expected, (text) =>
    parseForwardProxy(text, verify),
  );
  if (!read.onOff("KONG_CLUSTER_USE_PROXY")) return undefined;
  if (read.text("KONG_PROXY_SERVER") === undefined) {
    read.fault("KONG_CLUSTER_USE_PROXY", "is on, but KONG_PROXY_SERVER is not set");
  }
  return proxy;
}
