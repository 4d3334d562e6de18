/** Settings to a control plane and the certificates of its cluster: shared by the commands that talk to one, or stand in for it. */

import type { Clock } from "../core/clock.ts";
import type { HostPort } from "../core/host-port.ts";
import type { Secret } from "../core/secret.ts";
import {
  type AdminTls,
  type CertificatePair,
  type ClusterTls,
  loadAdminTls,
  loadClusterTls,
  loadServerCertificate,
  nameRuleOf,
} from "../kong/cluster-tls.ts";
import { declaredPlugins } from "../kong/plugins.ts";
import type { KongVersion } from "../kong/version.ts";
import { type Settings, SettingsError } from "../runtime/settings.ts";
import type { Certificates } from "../sidecar/door/certificate-watch.ts";
import { HybridSource, type HybridSourceOptions } from "../source/hybrid.ts";
import { requireSettings } from "./context.ts";

/** What a session needs of the settings, none missing. */
export interface ClusterSettings {
  readonly controlPlane: HostPort;
  readonly cert: string;
  readonly key: Secret;
}

/** Throws SettingsError naming all that are missing. `purpose`: what needs them. */
export function requireCluster(purpose: string, settings: Settings): ClusterSettings {
  const required = requireSettings(purpose, {
    KONG_CLUSTER_CONTROL_PLANE: settings.controlPlane,
    KONG_CLUSTER_CERT: settings.clusterCert,
    KONG_CLUSTER_CERT_KEY: settings.clusterCertKey,
  });
  return {
    controlPlane: required.KONG_CLUSTER_CONTROL_PLANE,
    cert: required.KONG_CLUSTER_CERT,
    key: required.KONG_CLUSTER_CERT_KEY,
  };
}

export interface HybridSourceRequest
  extends Pick<HybridSourceOptions, "syncStatus" | "pluginsInUse" | "checkEveryMs" | "isQuestion"> {
  readonly settings: Settings;
  readonly cluster: ClusterSettings;
  readonly nodeId: string;
  /** What operators see in the control plane's list of data planes. */
  readonly hostname: string;
  readonly version: KongVersion;
  readonly clock: Clock;
}

/** Reads the certificates once before it returns, so that a wrong one is told at start. Rejects with ClusterTlsError. */
export async function openHybridSource(request: HybridSourceRequest): Promise<HybridSource> {
  const { settings, cluster, syncStatus, pluginsInUse, checkEveryMs, isQuestion = false } = request;
  const loadTls = clusterTlsLoader(settings, cluster);
  await loadTls();
  return new HybridSource({
    controlPlane: cluster.controlPlane,
    proxy: settings.proxy,
    loadTls,
    nodeId: request.nodeId,
    hostname: hostLabel(request.hostname),
    version: request.version,
    plugins: declaredPlugins(settings.plugins),
    labels: settings.labels,
    maxPayloadBytes: settings.clusterMaxPayloadBytes,
    maxConfigBytes: settings.maxConfigBytes,
    savedHash: undefined,
    clock: request.clock,
    checkEveryMs,
    isQuestion,
    ...(syncStatus === undefined ? {} : { syncStatus }),
    ...(pluginsInUse === undefined ? {} : { pluginsInUse }),
  });
}

/** Reads the certificates anew at each call. It rejects with ClusterTlsError. */
export function clusterTlsLoader(
  settings: Settings,
  { cert, key, controlPlane }: ClusterSettings,
): () => Promise<ClusterTls> {
  return () =>
    loadClusterTls({
      cert,
      key,
      ca: settings.clusterCaCert,
      trusted: settings.trustedCertificates,
      mtls: modeOf(settings),
      serverName: settings.clusterServerName,
      controlPlaneHost: controlPlane.host,
    });
}

/** For AdminClient, of any Admin API; read once before it returns, so that a wrong one is told at start. Rejects with SettingsError or ClusterTlsError. */
export async function openAdminTls(settings: Settings): Promise<() => Promise<AdminTls>> {
  const { adminCert, adminCertKey, adminCaCert: ca, adminServerName: serverName } = settings;
  const load = () => loadAdminTls({ pair: adminPair(adminCert, adminCertKey), ca, serverName });
  await load();
  return load;
}

function adminPair(cert: string | undefined, key: Secret | undefined): CertificatePair | undefined {
  if (cert === undefined && key === undefined) return undefined;
  const pair = requireSettings("an Admin API that is shown a certificate", {
    KONG_FALLBACK_ADMIN_CERT: cert,
    KONG_FALLBACK_ADMIN_CERT_KEY: key,
  });
  return { cert: pair.KONG_FALLBACK_ADMIN_CERT, key: pair.KONG_FALLBACK_ADMIN_CERT_KEY };
}

/** Whom `serve` takes, and what it shows. Reads files anew. Rejects with SettingsError or ClusterTlsError. */
export async function readCertificates(
  settings: Settings,
  cluster: ClusterSettings,
): Promise<Certificates> {
  const { clusterMtls, clusterCaCert: ca, clusterAllowedNames } = settings;
  if (modeOf(settings) === "pki") {
    // Without one, whoever has a certificate of any public authority would be let in.
    requireSettings(`serve with KONG_CLUSTER_MTLS=${clusterMtls}`, { KONG_CLUSTER_CA_CERT: ca });
  }
  const tls = await clusterTlsLoader(settings, cluster)();
  const server = await readServerCertificate(settings);
  if (clusterMtls !== "pki_check_cn") return { tls, server };
  const names = nameRuleOf(clusterAllowedNames, server?.cert ?? tls.cert);
  return { tls: { ...tls, names }, server };
}

/** The names of data planes are looked at by whom they come to. */
function modeOf({ clusterMtls }: Settings): ClusterTls["mtls"] {
  return clusterMtls === "shared" ? "shared" : "pki";
}

async function readServerCertificate(settings: Settings): Promise<Certificates["server"]> {
  const { serverCert, serverCertKey, clusterMtls } = settings;
  if (serverCert === undefined && serverCertKey === undefined) return undefined;
  if (clusterMtls === "shared") {
    throw new SettingsError([
      "KONG_FALLBACK_SERVER_CERT: works only with KONG_CLUSTER_MTLS=pki or pki_check_cn; with shared, data planes accept only the cluster certificate",
    ]);
  }
  const pair = requireSettings("serve with a certificate of its own", {
    KONG_FALLBACK_SERVER_CERT: serverCert,
    KONG_FALLBACK_SERVER_CERT_KEY: serverCertKey,
  });
  return loadServerCertificate({
    cert: pair.KONG_FALLBACK_SERVER_CERT,
    key: pair.KONG_FALLBACK_SERVER_CERT_KEY,
  });
}

/** The control plane keeps only a valid host name: Kong/kong@3.9.1 kong/db/schema/entities/clustering_data_planes.lua */
function hostLabel(text: string): string {
  return text.replace(/[^A-Za-z0-9.-]/g, "-").slice(0, 253);
}
