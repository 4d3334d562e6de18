/** Every secret that the program can be given, each a canary, as environment variables. */

import { createPrivateKey, generateKeyPairSync } from "node:crypto";
import type { ClusterCertificate } from "../../src/kong/cluster-certificate.ts";
import { openSeal, type Seal } from "../../src/snapshots/seal/seal.ts";
import { clusterCertificate } from "../fakes/certificates.ts";
import { agePair, signingPair } from "../fakes/seals.ts";
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
  readonly sealing: PlantedSeal;
}

/** Not part of the environment, for it changes what commands do: World.seal adds it. */
export interface PlantedSeal {
  /** Its settings, for writers and readers at once. */
  readonly environment: Readonly<Record<string, string>>;
  readonly seal: Seal;
}

export async function plantAll(): Promise<Planted> {
  const canaries = new Canaries();
  const pair = await clusterCertificate();
  const server = await clusterCertificate();
  const admin = await clusterCertificate();
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const google = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  canaries.plant("cluster-key", "the cluster key", pair.key.reveal());
  canaries.plant("server-key", "the server's key", server.key.reveal());
  canaries.plant("admin-key", "the key shown to Admin APIs", admin.key.reveal());
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
      KONG_FALLBACK_ADMIN_CERT: admin.cert,
      KONG_FALLBACK_ADMIN_CERT_KEY: admin.key.reveal(),
      AWS_SECRET_ACCESS_KEY: canaries.plant("aws-secret", "the secret access key", newSecret(true)),
      AWS_SESSION_TOKEN: canaries.plant("aws-token", "the session token"),
      ...plantAzure(canaries),
      GCP_SERVICE_ACCOUNT: JSON.stringify({
        type: "service_account",
        project_id: "shop",
        client_email: "backup@shop.iam.gserviceaccount.com",
        private_key: google,
      }),
    },
    sealing: await plantSeal(canaries),
  };
}

function plantAzure(canaries: Canaries): Readonly<Record<string, string>> {
  const bytes = canaries.plant("azure-key", "the storage key's bytes");
  const key = Buffer.from(bytes).toString("base64");
  return {
    AZURE_STORAGE_KEY: canaries.plant("azure-key", "the storage key", key),
    AZURE_STORAGE_SAS_TOKEN: `sv=2024-11-04&sig=${canaries.plant("azure-sas", "the SAS signature")}`,
    AZURE_CLIENT_SECRET: canaries.plant("azure-secret", "the client secret", newSecret(true)),
  };
}

/** What stands before the secret in every age identity, and in messages about them. */
const AGE_PREFIX = "AGE-SECRET-KEY-1";

/** Plants the private halves. */
export async function plantSeal(canaries: Canaries): Promise<PlantedSeal> {
  const { pem, signing, verify } = signingPair();
  const { identity, recipient } = await agePair();
  plantSigningKey(canaries, "the signing key", pem.private);
  plantIdentity(canaries, "the age identity", identity.reveal());
  return {
    environment: {
      KONG_FALLBACK_SIGNING_KEY: pem.private,
      KONG_FALLBACK_VERIFY_KEYS: pem.public,
      KONG_FALLBACK_AGE_RECIPIENTS: recipient,
      KONG_FALLBACK_AGE_IDENTITIES: identity.reveal(),
    },
    seal: openSeal({
      signingKey: signing,
      verifyKeys: [verify],
      recipients: [recipient],
      identities: [identity],
    }),
  };
}

/** As PEM, and its number alone. */
export function plantSigningKey(canaries: Canaries, name: string, pem: string): void {
  const { d = "" } = createPrivateKey(pem).export({ format: "jwk" });
  canaries.plant("signing-key", name, pem);
  canaries.plant(
    "signing-key",
    `the number of ${name}`,
    Buffer.from(d, "base64url").toString("hex"),
  );
}

/** In either case, both of which age takes. */
export function plantIdentity(canaries: Canaries, name: string, identity: string): void {
  const secret = identity.trim().slice(AGE_PREFIX.length);
  canaries.plant("age-identity", name, secret);
  canaries.plant("age-identity", `${name} in lower case`, secret.toLowerCase());
}
