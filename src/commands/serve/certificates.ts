/** Settings to the certificates of `serve`: whom it takes, what it shows. */

import { loadClusterTls, loadServerCertificate } from "../../kong/cluster-tls.ts";
import { type Settings, SettingsError } from "../../runtime/settings.ts";
import type { Certificates } from "../../sidecar/door/certificate-watch.ts";
import { requireSettings } from "../context.ts";
import type { ClusterSettings } from "../hybrid-source.ts";

/** Reads files anew. Rejects with SettingsError or ClusterTlsError. */
export async function readCertificates(
  settings: Settings,
  cluster: ClusterSettings,
): Promise<Certificates> {
  const { clusterMtls: mtls, clusterCaCert: ca, clusterServerName: serverName } = settings;
  if (mtls === "pki") {
    // Without one, whoever has a certificate of any public authority would be let in.
    requireSettings("serve with KONG_CLUSTER_MTLS=pki", { KONG_CLUSTER_CA_CERT: ca });
  }
  const tls = await loadClusterTls({
    cert: cluster.cert,
    key: cluster.key,
    ca,
    mtls,
    serverName,
    controlPlaneHost: cluster.controlPlane.host,
  });
  return { tls, server: await readServerCertificate(settings) };
}

async function readServerCertificate(settings: Settings): Promise<Certificates["server"]> {
  const { serverCert, serverCertKey, clusterMtls } = settings;
  if (serverCert === undefined && serverCertKey === undefined) return undefined;
  if (clusterMtls === "shared") {
    throw new SettingsError([
      "KONG_FALLBACK_SERVER_CERT: goes with KONG_CLUSTER_MTLS=pki only; with shared, data planes take nothing but the cluster certificate",
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
