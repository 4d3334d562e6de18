/** A config as Kong sends it, with a canary in every place where administrators put secrets. */

import { createHash, randomUUID } from "node:crypto";
import { gzipSync } from "node:zlib";
import { makeClusterCertificate } from "../../src/kong/cluster-certificate.ts";
import { computeConfigHash } from "../../src/kong/config-hash.ts";
import { type NewSnapshot, sha256 } from "../../src/snapshots/snapshot.ts";
import { snapshotOf, V391 } from "../fakes/config.ts";
import type { Canaries } from "./canaries.ts";
import { newSecret } from "./canaries.ts";

export interface PlantedConfig {
  readonly snapshot: NewSnapshot;
  /** As a control plane sends it. */
  readonly frame: Buffer;
}

/** `name` is part of its canaries' names; `timestamp` in seconds since the epoch. Each call has canaries of its own. */
export async function plantConfig(
  canaries: Canaries,
  name: string,
  timestamp: number,
): Promise<PlantedConfig> {
  const { key: pem } = await makeClusterCertificate(new Date());
  const secret = (where: string, value = newSecret()) =>
    canaries.plant("config", `${where} in ${name}`, value);
  const consumer = CONSUMER;
  const table = {
    _format_version: "3.0",
    _transform: false,
    services: [
      { id: ID.service, name: "billing", host: "billing.internal", path: `/${secret("a path")}` },
      { id: randomUUID(), name: "by-url", url: `http://u:${secret("a URL")}@h/` },
    ],
    routes: [{ id: ID.route, name: "r", service: ID.service, paths: ["/r"] }],
    consumers: [{ id: consumer, username: "alice" }],
    keyauth_credentials: [{ id: ID.credential, consumer, key: secret("a key") }],
    basicauth_credentials: [
      {
        id: ID.basic,
        consumer,
        username: "alice",
        password: secret("a password", newSecret(true)),
      },
    ],
    hmacauth_credentials: [
      { id: ID.hmac, consumer, username: "alice", secret: secret("an hmac secret") },
    ],
    jwt_secrets: [{ id: ID.jwt, consumer, key: "issuer", secret: secret("a jwt secret") }],
    oauth2_credentials: [
      { id: ID.oauth, consumer, client_id: "c", client_secret: secret("an oauth secret") },
    ],
    certificates: [
      {
        id: ID.certificate,
        cert: "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        key: secret("a certificate's key", pem.reveal()),
      },
    ],
    vaults: [
      { id: ID.vault, name: "hcv", prefix: "hcv-1", config: { token: secret("a vault's token") } },
    ],
    keys: [
      { id: ID.key, name: "k", kid: "1", jwk: JSON.stringify({ kty: "oct", k: secret("a jwk") }) },
    ],
    licenses: [{ id: ID.license, payload: secret("a license") }],
    made_up_entities: [{ id: ID.custom, note: secret("an unknown kind") }],
    plugins: [
      plugin("http-log", {
        http_endpoint: `https://hooks.example.com/${secret("a webhook")}`,
        headers: { authorization: `Bearer ${secret("a bearer token")}` },
      }),
      plugin("rate-limiting", { redis: { host: "redis", password: secret("a redis password") } }),
      plugin("pre-function", { access: [`kong.log("${secret("code")}")`] }),
      plugin("request-transformer", { add: { headers: [`x-api-key:${secret("a header")}`] } }),
      plugin("ai-proxy", { auth: { header_value: secret("an AI token", newSecret(true)) } }),
      plugin("datadog", { unlucky: secret("an unknown field"), list: [secret("an unknown list")] }),
    ],
  };
  const config = Buffer.from(JSON.stringify(table));
  const configHash = computeConfigHash(config, V391) ?? "";
  const hashes = { config: configHash };
  const { snapshot: metadata } = { snapshot: snapshotOf(name).metadata };
  const frame = `{"type":"reconfigure","timestamp":${timestamp},"config_hash":"${configHash}","hashes":${JSON.stringify(hashes)},"config_table":${config}}`;
  return {
    snapshot: {
      config,
      metadata: {
        ...metadata,
        configHash,
        hashes,
        sha256: sha256(config),
        bytes: config.length,
        controlPlaneTimestamp: timestamp,
        exportedAt: new Date(timestamp * 1000),
      },
    },
    frame: gzipSync(frame),
  };
}

/** Entities keep their ids from config to config, so that `diff` compares what they hold. */
const CONSUMER = "00000000-0000-4000-8000-000000000001";
const ID = {
  service: "00000000-0000-4000-8000-000000000002",
  route: "00000000-0000-4000-8000-000000000003",
  credential: "00000000-0000-4000-8000-000000000004",
  basic: "00000000-0000-4000-8000-000000000005",
  hmac: "00000000-0000-4000-8000-000000000006",
  jwt: "00000000-0000-4000-8000-000000000007",
  oauth: "00000000-0000-4000-8000-000000000008",
  certificate: "00000000-0000-4000-8000-000000000009",
  vault: "00000000-0000-4000-8000-00000000000a",
  key: "00000000-0000-4000-8000-00000000000b",
  license: "00000000-0000-4000-8000-00000000000c",
  custom: "00000000-0000-4000-8000-00000000000d",
  plugin: "00000000-0000-4000-8000-0000000001",
};

function plugin(name: string, config: object): object {
  const suffix = createHash("md5").update(name).digest("hex").slice(0, 2);
  return { id: `${ID.plugin}${suffix}`, name, enabled: true, config };
}
