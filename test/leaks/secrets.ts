/** Every secret that the program can be given, each a canary, as environment variables. */

import { generateKeyPairSync } from "node:crypto";
import type { ClusterCertificate } from "../../src/kong/cluster-certificate.ts";
import { clusterCertificate } from "../fakes/certificates.ts";
import { Canaries, newSecret } from "./canaries.ts";
import { type PlantedConfig, plantConfig } from "./config.ts";

export interface Planted {
  readonly canaries: Canaries;
  readonly pair: ClusterCertificate;
  readonly older: PlantedConfig;
  readonly newer: PlantedConfig;
  readonly later: PlantedConfig;
  readonly adminToken: string;
  readonly proxyPassword: string;
  /** Secret settings, and the secrets of the clouds' SDKs. KONG_PROXY_SERVER is the world's: it has an address. */
  readonly environment: Readonly<Record<string, string>>;
}

export async function plantAll(): Promise<Planted> {
  const canaries = new Canaries();
  const pair = await clusterCertificate();
  const server = await clusterCertificate();
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const google = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  canaries.plant("cluster-key", "the cluster key", pair.key.reveal());
  canaries.plant("server-key", "the server's key", server.key.reveal());
  canaries.plant("gcp-key", "the service account's key", google);
  const adminToken = canaries.plant("admin-token", "the admin token");
  return {
    canaries,
    pair,
    older: await plantConfig(canaries, "the older config", 1_795_220_000),
    newer: await plantConfig(canaries, "the newer config", 1_795_220_600),
    later: await plantConfig(canaries, "a later config", 1_795_221_200),
    adminToken,
    proxyPassword: canaries.plant("proxy-password", "the proxy's password"),
    environment: {
      KONG_CLUSTER_CERT: pair.cert,
      KONG_CLUSTER_CERT_KEY: pair.key.reveal(),
      KONG_FALLBACK_SERVER_CERT: server.cert,
      KONG_FALLBACK_SERVER_CERT_KEY: server.key.reveal(),
      KONG_FALLBACK_ADMIN_TOKEN: adminToken,
      AWS_SECRET_ACCESS_KEY: canaries.plant("aws-secret", "the secret access key", newSecret(true)),
      AWS_SESSION_TOKEN: canaries.plant("aws-token", "the session token"),
      GCP_SERVICE_ACCOUNT: JSON.stringify({
        type: "service_account",
        project_id: "shop",
        client_email: "backup@shop.iam.gserviceaccount.com",
        private_key: google,
      }),
    },
  };
}
