/** The settings, one row each: how it is named, read, explained, and by which commands. README's table and the help are made of these. */

import { parseGuardPolicy } from "../../exporter/guard.ts";
import { parseTarget } from "../../importer/targets/open.ts";
import { parseForwardProxy } from "../../network/forward-proxy.ts";
import { parseStorageUrls } from "../../store/storage-url.ts";
import {
  days,
  electionId,
  emulatorUrl,
  fileMode,
  HTTP_URL,
  hostName,
  httpUrl,
  integer,
  jsonObject,
  labels,
  list,
  listen,
  listenOrOff,
  names,
  namespace,
  oneOf,
  onOff,
  type Parser,
  parsed,
  parseHttpUrl,
  peer,
  seconds,
  secret,
  text,
  token,
  urlPerVersion,
  versions,
} from "./parsers.ts";

export type CommandName = "export" | "import" | "serve" | "status" | "snapshots" | "keys" | "demo";

export interface Setting {
  /** The member of the settings object that its value becomes, or becomes a part of. */
  readonly as: string;
  readonly parse: Parser<unknown>;
  /** As it would be written in the environment; undefined: none. */
  readonly default?: string;
  /** What the value is where there is no default; absent: undefined. */
  readonly unset?: unknown;
  /** A value that would be accepted. */
  readonly example: string;
  readonly meaning: string;
  /** It holds a secret, or may: never shown, and test/leaks plants a canary in it. */
  readonly secret?: true;
  /** The commands that it says something to. */
  readonly readBy: readonly CommandName[];
}

/** Kong's names for levels. */
export const LOG_LEVELS = [
  "debug",
  "info",
  "notice",
  "warn",
  "error",
  "crit",
  "alert",
  "emerg",
] as const;
export type KongLogLevel = (typeof LOG_LEVELS)[number];

const ALL = ["export", "import", "serve", "status", "snapshots", "keys", "demo"] as const;
/** Those that talk to a control plane. */
const SESSION = ["export", "import", "serve", "status"] as const;
const STORE_USERS = ["export", "import", "serve", "status", "snapshots"] as const;

const MEBIBYTE = 2 ** 20;
const GIBIBYTE = 2 ** 30;
const HOUR = 3_600;
const DAY = 86_400;

/** Undefined: data planes. Otherwise the URL of an Admin API. */
const serveTarget: Parser<string | undefined> = (variable) =>
  variable.asString() === "planes"
    ? undefined
    : parsed(`planes, admin, or ${HTTP_URL}`, (target) =>
        parseHttpUrl(target === "admin" ? "http://127.0.0.1:8001" : target),
      )(variable);

/** Those of others first: Kong's, of AWS, Google, Azure and Kubernetes; then our own. */
export const SETTINGS = {
  KONG_CLUSTER_CONTROL_PLANE: {
    as: "controlPlane",
    parse: peer,
    example: "control-plane:8005",
    meaning: "The control plane's cluster port, `host:port`.",
    readBy: SESSION,
  },
  KONG_CLUSTER_CERT: {
    as: "clusterCert",
    parse: text,
    example: "/certs/cluster.crt",
    meaning: "Cluster certificate: a path, PEM text, or base64 of PEM.",
    readBy: SESSION,
  },
  KONG_CLUSTER_CERT_KEY: {
    as: "clusterCertKey",
    parse: secret,
    example: "/certs/cluster.key",
    meaning: "Its private key, in the same forms.",
    secret: true,
    readBy: SESSION,
  },
  KONG_CLUSTER_CA_CERT: {
    as: "clusterCaCert",
    parse: text,
    example: "/certs/ca.crt",
    meaning:
      "With `pki`: the CA that signed the control plane's certificate, in the same forms. Unset: the system's CAs; `serve` needs one, for it lets in the data planes whose certificate it signed.",
    readBy: SESSION,
  },
  KONG_CLUSTER_MTLS: {
    as: "clusterMtls",
    parse: oneOf("shared", "pki", "pki_check_cn"),
    default: "shared",
    example: "shared",
    meaning:
      "`shared` (both sides use the cluster certificate), `pki` (each has its own, signed by the CA), or `pki_check_cn`: the same, and `serve` looks at the data planes' names.",
    readBy: SESSION,
  },
  KONG_CLUSTER_ALLOWED_COMMON_NAMES: {
    as: "clusterAllowedNames",
    parse: list,
    example: "dp-1.example.com,dp-2.example.com",
    meaning:
      "With `pki_check_cn`: common names of the data planes' certificates that `serve` lets in, comma-separated. Unset: those with the same parent domain as the certificate that `serve` shows.",
    unset: [],
    readBy: ["serve"],
  },
  KONG_LUA_SSL_TRUSTED_CERTIFICATE: {
    as: "trustedCertificates",
    parse: list,
    example: "system,/certs/private-ca.crt",
    meaning:
      "With `pki`: whom else to trust as the control plane, comma-separated: `system`, paths, PEM text, or base64 of PEM. Unset: KONG_CLUSTER_CA_CERT alone; without that one, the system's CAs.",
    unset: [],
    readBy: SESSION,
  },
  KONG_CLUSTER_SERVER_NAME: {
    as: "clusterServerName",
    parse: hostName,
    example: "kong-cp.example.com",
    meaning:
      "With `pki`: the name to expect in the control plane's certificate. Unset: the host of KONG_CLUSTER_CONTROL_PLANE.",
    readBy: SESSION,
  },
  KONG_CLUSTER_USE_PROXY: {
    as: "clusterUseProxy",
    parse: onOff,
    default: "off",
    example: "on",
    meaning: "`on`: reach the control plane through KONG_PROXY_SERVER.",
    readBy: SESSION,
  },
  KONG_PROXY_SERVER: {
    as: "proxyServer",
    parse: parsed("http[s]://[user:password@]host[:port]", (url) => parseForwardProxy(url)),
    example: "https://user:password@proxy:3128",
    meaning: "The forward proxy, `http[s]://[user:password@]host[:port]`; port 443 if not given.",
    secret: true,
    readBy: SESSION,
  },
  KONG_PROXY_SERVER_SSL_VERIFY: {
    as: "proxyVerify",
    parse: onOff,
    default: "on",
    example: "off",
    meaning: "`off`: do not verify the certificate of an https proxy.",
    readBy: SESSION,
  },
  KONG_CLUSTER_MAX_PAYLOAD: {
    as: "clusterMaxPayloadBytes",
    parse: integer(MEBIBYTE, GIBIBYTE),
    default: "16777216",
    example: "33554432",
    meaning: "Longest message taken from the control plane, bytes, compressed.",
    readBy: SESSION,
  },
  KONG_CLUSTER_DP_LABELS: {
    as: "labels",
    parse: labels,
    example: "environment:production,team:gateway",
    meaning: "Labels shown for this node in the control plane, `key:value,...`.",
    unset: {},
    readBy: ["export", "import", "status"],
  },
  KONG_PLUGINS: {
    as: "plugins",
    parse: names,
    default: "bundled",
    example: "bundled,my-plugin",
    meaning:
      "Plugins in use, as the data planes have it: `bundled` and the names of custom ones, comma-separated. Checks know these alone; Kong's own plugins are always declared.",
    readBy: ["export", "import", "status", "snapshots"],
  },
  KONG_VERSION: {
    as: "kongVersions",
    parse: versions,
    example: "3.9.1",
    meaning:
      "Kong version of the data planes, as `kong version` prints it; an image's tag will do (`3.9.1-ubuntu`). For `export` a comma-separated list makes one backup for each.",
    unset: [],
    readBy: STORE_USERS,
  },
  KONG_LOG_LEVEL: {
    as: "logLevel",
    parse: oneOf(...LOG_LEVELS),
    default: "info",
    example: "debug",
    meaning: "`debug`, `info`, `notice`, `warn`, `error`, `crit`, `alert`, `emerg`, as Kong's.",
    readBy: ALL,
  },
  KONG_CLUSTER_FALLBACK_CONFIG_STORAGE: {
    as: "storages",
    parse: parsed("storage URLs", parseStorageUrls),
    example: "s3://bucket/prefix",
    meaning:
      "Where configs are saved: `s3://bucket/prefix`, `gs://bucket/prefix` (or `gcs://`), `azure://account/container/prefix`, `file:///directory`. A comma-separated list: `export` saves to each, readers take the newest of those that answer.",
    unset: [],
    readBy: STORE_USERS,
  },
  KONG_CLUSTER_FALLBACK_CONFIG_EXPORT: {
    as: "exportRole",
    parse: onOff,
    default: "off",
    example: "on",
    meaning: "`on`: without a command on the command line, run `export`.",
    readBy: ["export"],
  },
  KONG_CLUSTER_FALLBACK_CONFIG_IMPORT: {
    as: "importRole",
    parse: onOff,
    default: "off",
    example: "on",
    meaning: "`on`: without a command on the command line, run `import`.",
    readBy: ["import"],
  },
  KONG_CLUSTER_FALLBACK_CONFIG_EXPORT_DELAY: {
    as: "exportDelayMs",
    parse: seconds(0, DAY),
    default: "60",
    example: "10",
    meaning: "Least time between two writes, seconds. The first config is saved at once.",
    readBy: ["export"],
  },
  KONG_CLUSTER_FALLBACK_EXPORT_S3_CONFIG: {
    as: "s3PutOptions",
    parse: jsonObject,
    example: '{"ServerSideEncryption":"aws:kms","SSEKMSKeyId":"alias/kong"}',
    meaning:
      "JSON merged into every S3 PutObject; `RequestPayer` and `ExpectedBucketOwner` into every request, so readers need them, too.",
    unset: {},
    readBy: STORE_USERS,
  },
  AWS_REGION: {
    as: "awsRegion",
    parse: text,
    example: "eu-central-1",
    meaning: "Region of the bucket.",
    readBy: STORE_USERS,
  },
  AWS_DEFAULT_REGION: {
    as: "awsDefaultRegion",
    parse: text,
    example: "eu-central-1",
    meaning: "The same, if AWS_REGION is not set.",
    readBy: STORE_USERS,
  },
  AWS_CONFIG_STORAGE_ENDPOINT: {
    as: "s3Endpoint",
    parse: httpUrl,
    example: "http://minio:9000",
    meaning: "URL of an S3-compatible server.",
    readBy: STORE_USERS,
  },
  KONG_FALLBACK_S3_ADDRESSING: {
    as: "s3Addressing",
    parse: oneOf("path", "virtual"),
    example: "virtual",
    meaning:
      "`virtual`: the bucket stands in the host's name (`bucket.host`), as some servers insist; `path`: behind it. Unset: `path` with AWS_CONFIG_STORAGE_ENDPOINT, else `virtual`.",
    readBy: STORE_USERS,
  },
  AWS_CA_BUNDLE: {
    as: "awsCaBundle",
    parse: text,
    example: "/certs/minio-ca.crt",
    meaning: "PEM file of the CAs to trust for that server. Unset: the system's.",
    readBy: STORE_USERS,
  },
  GCP_SERVICE_ACCOUNT: {
    as: "gcpServiceAccount",
    parse: secret,
    example: '{"type":"service_account",...}',
    meaning: "Service-account JSON. Unset: Application Default Credentials.",
    secret: true,
    readBy: STORE_USERS,
  },
  STORAGE_EMULATOR_HOST: {
    as: "gcsEmulator",
    parse: emulatorUrl,
    example: "fake-gcs:4443",
    meaning: "Address of a Google Cloud Storage emulator; no credentials are sent.",
    readBy: STORE_USERS,
  },
  HTTPS_PROXY: {
    as: "httpsProxy",
    parse: secret,
    example: "http://user:password@proxy:3128",
    meaning:
      "The forward proxy to the store (S3, Google Cloud, Azure) and its token services, `http[s]://[user:password@]host[:port]`, for `https://` addresses.",
    secret: true,
    readBy: STORE_USERS,
  },
  https_proxy: {
    as: "httpsProxyLower",
    parse: secret,
    example: "http://user:password@proxy:3128",
    meaning: "The same as HTTPS_PROXY, and stronger.",
    secret: true,
    readBy: STORE_USERS,
  },
  HTTP_PROXY: {
    as: "httpProxy",
    parse: secret,
    example: "http://user:password@proxy:3128",
    meaning: "The same for `http://` addresses. Metadata services are never asked through a proxy.",
    secret: true,
    readBy: STORE_USERS,
  },
  http_proxy: {
    as: "httpProxyLower",
    parse: secret,
    example: "http://user:password@proxy:3128",
    meaning: "The same as HTTP_PROXY, and stronger.",
    secret: true,
    readBy: STORE_USERS,
  },
  NO_PROXY: {
    as: "noProxy",
    parse: text,
    example: "minio.example,.svc,10.0.0.0/8",
    meaning:
      "What is reached without these two: names, for all below them too, addresses, blocks, each with `:port` or without; `*`.",
    readBy: STORE_USERS,
  },
  no_proxy: {
    as: "noProxyLower",
    parse: text,
    example: "minio.example,.svc,10.0.0.0/8",
    meaning: "The same as NO_PROXY, and stronger.",
    readBy: STORE_USERS,
  },
  NODE_TLS_REJECT_UNAUTHORIZED: {
    as: "verifiesCertificates",
    parse: parsed(
      "unset: 0 turns off the verification of certificates; name your CA in AWS_CA_BUNDLE or NODE_EXTRA_CA_CERTS",
      (value) => value !== "0" || undefined,
    ),
    example: "1",
    meaning:
      "Node's. `0`, which would turn off the verification of every server's certificate, is refused.",
    readBy: ALL,
  },
  AZURE_TENANT_ID: {
    as: "azureTenantId",
    parse: text,
    example: "11111111-2222-3333-4444-555555555555",
    meaning: "Entra ID tenant of AZURE_CLIENT_ID. Set by AKS workload identity.",
    readBy: STORE_USERS,
  },
  AZURE_CLIENT_ID: {
    as: "azureClientId",
    parse: text,
    example: "66666666-7777-8888-9999-000000000000",
    meaning:
      "The application, or the user-assigned managed identity. Unset: the system-assigned one.",
    readBy: STORE_USERS,
  },
  AZURE_CLIENT_SECRET: {
    as: "azureClientSecret",
    parse: secret,
    example: "secret-value",
    meaning: "The application's secret. Unset: workload or managed identity.",
    secret: true,
    readBy: STORE_USERS,
  },
  AZURE_FEDERATED_TOKEN_FILE: {
    as: "azureFederatedTokenFile",
    parse: text,
    example: "/var/run/secrets/azure/tokens/azure-identity-token",
    meaning: "Set by AKS workload identity: file with the token of the service account.",
    readBy: STORE_USERS,
  },
  AZURE_AUTHORITY_HOST: {
    as: "azureAuthorityHost",
    parse: parsed("a URL like https://host", (url) =>
      url.startsWith("https://") ? parseHttpUrl(url) : undefined,
    ),
    example: "https://login.chinacloudapi.cn",
    meaning: "Entra ID of another Azure cloud. Unset: `https://login.microsoftonline.com`.",
    readBy: STORE_USERS,
  },
  AZURE_STORAGE_KEY: {
    as: "azureStorageKey",
    parse: secret,
    example: "base64-of-the-key==",
    meaning: "Access key of the storage account, in place of an identity.",
    secret: true,
    readBy: STORE_USERS,
  },
  AZURE_STORAGE_SAS_TOKEN: {
    as: "azureStorageSasToken",
    parse: secret,
    example: "sv=2024-11-04&sig=...",
    meaning: "SAS token for the container, in place of an identity.",
    secret: true,
    readBy: STORE_USERS,
  },
  AZURE_STORAGE_ENDPOINT: {
    as: "azureEndpoint",
    parse: parsed(
      "a URL like http://host:port or https://{account}.host, without credentials",
      (url) => (parseHttpUrl(url.replaceAll("{account}", "account")) ? url : undefined),
    ),
    example: "https://{account}.blob.core.chinacloudapi.cn",
    meaning:
      "Blob service of another Azure cloud or of an emulator. `{account}` stands for the account, which otherwise follows as a path.",
    readBy: STORE_USERS,
  },
  KUBECONFIG: {
    as: "kubeconfig",
    parse: text,
    example: "/etc/kong-fallback/kubeconfig",
    meaning: "With `KONG_FALLBACK_ELECTION=kubernetes`, outside of a cluster: how to reach it.",
    readBy: ["export", "snapshots"],
  },
  KUBERNETES_SERVICE_HOST: {
    as: "kubernetesHost",
    parse: text,
    example: "10.0.0.1",
    meaning: "Set in every pod: host of the cluster's API.",
    readBy: ["export", "snapshots"],
  },
  KUBERNETES_SERVICE_PORT: {
    as: "kubernetesPort",
    parse: integer(1, 65_535),
    default: "443",
    example: "6443",
    meaning: "Set in every pod: port of the cluster's API.",
    readBy: ["export", "snapshots"],
  },
  KONG_FALLBACK_IMPORT_TO: {
    as: "importTo",
    parse: parsed("a target", (target) => {
      parseTarget(target);
      return target;
    }),
    example: "file:/kong-fallback/kong.json",
    meaning:
      "Where `import` puts the config: `file:/path`, `-` (standard output), or the URL of a DB-less Kong's Admin API. Flag `--to`.",
    readBy: ["import"],
  },
  KONG_FALLBACK_FORCE: {
    as: "force",
    parse: onOff,
    default: "off",
    example: "on",
    meaning: "`on`: import without asking whether the control plane lives. Flag `--force`.",
    readBy: ["import"],
  },
  KONG_FALLBACK_ADAPT: {
    as: "adapt",
    parse: onOff,
    default: "off",
    example: "on",
    meaning:
      "`on`: `import` takes out of the config what a DB-less open-source Kong of this version refuses, and lists it. Flag `--adapt`.",
    readBy: ["import"],
  },
  KONG_FALLBACK_PROBE: {
    as: "probe",
    parse: oneOf("handshake", "config"),
    default: "config",
    example: "handshake",
    meaning:
      "When the control plane counts as alive: it delivers a `config`, or it only completes a `handshake`. Flag `--probe`.",
    readBy: ["import"],
  },
  KONG_FALLBACK_PROBE_TIMEOUT: {
    as: "probeTimeoutMs",
    parse: seconds(0.1, HOUR),
    default: "10",
    example: "30",
    meaning: "How long the control plane is tried in all, seconds. Flag `--probe-timeout`.",
    readBy: ["import", "status"],
  },
  KONG_FALLBACK_PREFIX_DIR: {
    as: "prefixDir",
    parse: text,
    example: "/kong_prefix",
    meaning:
      "The data plane's prefix, mounted: if Kong's own cache there holds a config, nothing is imported. Flag `--prefix-dir`.",
    readBy: ["import"],
  },
  KONG_LMDB_ENVIRONMENT_PATH: {
    as: "lmdbPath",
    parse: text,
    default: "dbless.lmdb",
    example: "dbless.lmdb",
    meaning: "Where Kong 3 has its cache, below its prefix, or an absolute path.",
    readBy: ["import"],
  },
  KONG_FALLBACK_FILE_MODE: {
    as: "fileMode",
    parse: fileMode,
    default: "0640",
    example: "0600",
    meaning: "Permissions of the imported file, octal.",
    readBy: ["import"],
  },
  KONG_FALLBACK_READ_TIMEOUT: {
    as: "readTimeoutMs",
    parse: seconds(0.1, HOUR),
    default: "60",
    example: "120",
    meaning:
      "How long `import` tries to read the snapshot, seconds, all attempts together; how long `status` and `snapshots` wait for a store that is silent.",
    readBy: ["import", "status", "snapshots"],
  },
  KONG_FALLBACK_APPLY_TIMEOUT: {
    as: "applyTimeoutMs",
    parse: seconds(0.1, HOUR),
    default: "60",
    example: "120",
    meaning:
      "How long `import` waits for an Admin API to take and confirm the config, or for the file to be written, seconds.",
    readBy: ["import"],
  },
  KONG_FALLBACK_ADMIN_URL: {
    as: "adminUrl",
    parse: httpUrl,
    example: "http://control-plane:8001",
    meaning:
      "The control plane's Admin API. If given, `export` asks it why no config comes; nothing else uses it.",
    readBy: ["export"],
  },
  KONG_FALLBACK_ADMIN_TOKEN: {
    as: "adminToken",
    parse: token,
    example: "a token",
    meaning: "Sent as `Kong-Admin-Token` to any Admin API.",
    secret: true,
    readBy: ["export", "import", "serve"],
  },
  KONG_FALLBACK_ADMIN_CERT: {
    as: "adminCert",
    parse: text,
    example: "/certs/admin-client.crt",
    meaning:
      "Client certificate shown to any Admin API that asks for one: path, PEM text, or base64 of PEM; read anew for each connection.",
    readBy: ["export", "import", "serve"],
  },
  KONG_FALLBACK_ADMIN_CERT_KEY: {
    as: "adminCertKey",
    parse: secret,
    example: "/certs/admin-client.key",
    meaning: "Its private key, given in the same ways.",
    secret: true,
    readBy: ["export", "import", "serve"],
  },
  KONG_FALLBACK_ADMIN_CA_CERT: {
    as: "adminCaCert",
    parse: text,
    example: "/certs/admin-ca.crt",
    meaning:
      "The CA to trust for any Admin API, given in the same ways; without it, the public ones and those in NODE_EXTRA_CA_CERTS.",
    readBy: ["export", "import", "serve"],
  },
  KONG_FALLBACK_ADMIN_SERVER_NAME: {
    as: "adminServerName",
    parse: hostName,
    example: "kong-admin.kong.svc",
    meaning:
      "The name to ask any Admin API for by SNI, and that its certificate must bear, where that is not the host in its URL.",
    readBy: ["export", "import", "serve"],
  },
  KONG_FALLBACK_LISTEN: {
    as: "listen",
    parse: listen,
    default: "127.0.0.1:8005",
    example: "0.0.0.0:8005",
    meaning: "Where `serve` takes data planes, `host:port`: their KONG_CLUSTER_CONTROL_PLANE.",
    readBy: ["serve"],
  },
  KONG_FALLBACK_SERVER_CERT: {
    as: "serverCert",
    parse: text,
    example: "/certs/sidecar.crt",
    meaning:
      "With `pki`: the certificate that `serve` shows to data planes, in the forms of KONG_CLUSTER_CERT. Unset: KONG_CLUSTER_CERT.",
    readBy: ["serve"],
  },
  KONG_FALLBACK_SERVER_CERT_KEY: {
    as: "serverCertKey",
    parse: secret,
    example: "/certs/sidecar.key",
    meaning: "Its private key, in the same forms.",
    secret: true,
    readBy: ["serve"],
  },
  KONG_FALLBACK_REMEMBER: {
    as: "remember",
    parse: onOff,
    default: "on",
    example: "off",
    meaning:
      "`serve` keeps what the control plane sends through it as the newest snapshot. `off`: only the store counts, and a live config that a data plane lost is not sent again.",
    readBy: ["serve"],
  },
  KONG_FALLBACK_RECONNECT_TIME: {
    as: "reconnectMs",
    parse: seconds(0, HOUR),
    default: "10",
    example: "30",
    meaning:
      "How long `serve` tries to make a broken connection again before the control plane counts as lost, seconds.",
    readBy: ["serve"],
  },
  KONG_FALLBACK_CONFIG_WAIT: {
    as: "configWaitMs",
    parse: seconds(0.1, HOUR),
    default: "10",
    example: "20",
    meaning:
      "A control plane that accepts a data plane and sends it no config for this long counts as lost, seconds.",
    readBy: ["serve"],
  },
  KONG_FALLBACK_RETRY_TIME: {
    as: "retryMs",
    parse: seconds(0.1, HOUR),
    default: "5",
    example: "1",
    meaning: "A lost control plane is tried again after this to twice this, seconds.",
    readBy: ["serve"],
  },
  KONG_FALLBACK_RECOVERY_TIME: {
    as: "recoveryMs",
    parse: seconds(0, HOUR),
    default: "10",
    example: "60",
    meaning:
      "How long a lost control plane must have been answering again before data planes are moved back, seconds; more if it comes and goes.",
    readBy: ["serve"],
  },
  KONG_FALLBACK_RELEASE_TIME: {
    as: "releaseMs",
    parse: seconds(0, HOUR),
    default: "30",
    example: "120",
    meaning: "Data planes are moved back each at a random moment within this, seconds.",
    readBy: ["serve"],
  },
  KONG_FALLBACK_REFRESH_INTERVAL: {
    as: "refreshMs",
    parse: seconds(1, DAY),
    default: "30",
    example: "300",
    meaning: "How often `serve` looks into the store for a newer snapshot, seconds.",
    readBy: ["serve"],
  },
  KONG_FALLBACK_MAX_CONNECTIONS: {
    as: "maxConnections",
    parse: integer(1, 1_000_000),
    default: "4096",
    example: "16",
    meaning: "Connections `serve` takes at a time; the next ones are dropped.",
    readBy: ["serve"],
  },
  KONG_FALLBACK_MAX_HANDSHAKES: {
    as: "maxHandshakesPerSecond",
    parse: integer(1, 1_000_000),
    default: "200",
    example: "20",
    meaning: "TLS handshakes `serve` begins per second; the next ones wait.",
    readBy: ["serve"],
  },
  KONG_FALLBACK_SERVE_TARGET: {
    as: "serveTarget",
    parse: serveTarget,
    default: "planes",
    example: "admin",
    meaning:
      "Whom `serve` serves: `planes`, or a DB-less Kong that it keeps configured, by the URL of its Admin API (`admin`: http://127.0.0.1:8001). Flag `--target`.",
    readBy: ["serve"],
  },
  // Time enough for a living controller: Kong's ingress controller looks every 3 s (`--proxy-sync-seconds`).
  KONG_FALLBACK_SERVE_GRACE: {
    as: "serveGraceMs",
    parse: seconds(0, HOUR),
    default: "10",
    example: "60",
    meaning:
      "With an Admin API as target: how long an empty Kong is left to its own controller, seconds.",
    readBy: ["serve"],
  },
  KONG_FALLBACK_VERSION_MATCH: {
    as: "versionMatch",
    parse: oneOf("exact", "patch", "minor"),
    default: "patch",
    example: "exact",
    meaning:
      "Which older Kong version's snapshot readers take where none was saved for theirs: none (`exact`), one that differs in the last number (`patch`), or one with the same major number (`minor`).",
    readBy: ["import", "serve", "status"],
  },
  KONG_FALLBACK_ELECTION: {
    as: "election",
    parse: oneOf("store", "kubernetes", "off"),
    default: "store",
    example: "kubernetes",
    meaning:
      "How several exporters agree which one writes: by a lease in each `store`, by a Lease of `kubernetes`, or `off`: only one exporter runs.",
    readBy: ["export", "status", "snapshots"],
  },
  // 15 s, as of Kubernetes' leader election. kubernetes/client-go tools/leaderelection/leaderelection.go
  KONG_FALLBACK_LEASE_TTL: {
    as: "leaseTtlMs",
    parse: seconds(1, 300),
    default: "15",
    example: "30",
    meaning:
      "After this long without a sign of life of its holder another exporter takes over, seconds.",
    readBy: ["export", "status", "snapshots"],
  },
  KONG_FALLBACK_ELECTION_ID: {
    as: "electionId",
    parse: electionId,
    default: "kong-fallback-exporter",
    example: "kong-fallback-team-a",
    meaning: "With `kubernetes`: how the Leases' names begin. Exporters of one storage share it.",
    readBy: ["export", "snapshots"],
  },
  KONG_FALLBACK_ELECTION_NAMESPACE: {
    as: "electionNamespace",
    parse: namespace,
    example: "kong",
    meaning: "With `kubernetes`: where the Leases lie. Unset: the pod's namespace.",
    readBy: ["export", "snapshots"],
  },
  KONG_FALLBACK_GUARD: {
    as: "guard",
    parse: parsed("off, or limits in percent like services=20,*=50,floor=10", parseGuardPolicy),
    default: "*=50",
    example: "services=20,routes=20,*=50",
    meaning:
      "A config that lost more than this of what the current one has is held back, percent by kind, `*` for all others; a loss of less than `floor` entities (10) does not count; `off`: every config is saved. `serve` gives none that would be held back in an outage.",
    readBy: ["export", "serve"],
  },
  KONG_FALLBACK_HISTORY_MAX_COUNT: {
    as: "historyMaxCount",
    parse: integer(1, 50_000),
    default: "50",
    example: "200",
    meaning: "How many saved configs are kept of each version in each store.",
    readBy: ["export", "snapshots"],
  },
  KONG_FALLBACK_HISTORY_MAX_AGE: {
    as: "historyMaxAgeMs",
    parse: days(1, 36_500),
    default: "90",
    example: "30",
    meaning: "How long they are kept, days.",
    readBy: ["export", "snapshots"],
  },
  KONG_FALLBACK_HISTORY_MAX_BYTES: {
    as: "historyMaxBytes",
    parse: integer(1, Number.MAX_SAFE_INTEGER),
    default: "1073741824",
    example: "107374182400",
    meaning: "How many bytes they may take, compressed.",
    readBy: ["export", "snapshots"],
  },
  KONG_FALLBACK_SIGNING_KEY: {
    as: "signingKey",
    parse: secret,
    example: "/keys/signing.key",
    meaning:
      "What `export` and `snapshots restore` sign with: an Ed25519 private key, a path, PEM text, or base64 of PEM. Unset: nothing is signed.",
    secret: true,
    readBy: ["export", "snapshots"],
  },
  KONG_FALLBACK_VERIFY_KEYS: {
    as: "verifyKeys",
    parse: secret,
    example: "/keys/signing.pub,/keys/next.pub",
    meaning:
      "Ed25519 public keys in the same forms, comma-separated: a snapshot that none of them signed is refused. Unset: signatures are not asked for.",
    secret: true,
    readBy: STORE_USERS,
  },
  KONG_FALLBACK_AGE_RECIPIENTS: {
    as: "ageRecipients",
    parse: secret,
    example: "/keys/age.pub",
    meaning:
      "For whom configs are encrypted: `age1...`, or paths of files with one in each line, comma-separated. Unset: they are saved in the clear.",
    secret: true,
    readBy: ["export", "snapshots"],
  },
  KONG_FALLBACK_AGE_IDENTITIES: {
    as: "ageIdentities",
    parse: secret,
    example: "/keys/age.key",
    meaning:
      "What opens encrypted configs: `AGE-SECRET-KEY-1...`, or paths of files as `age-keygen` writes them, comma-separated.",
    secret: true,
    readBy: STORE_USERS,
  },
  KONG_FALLBACK_STATE_DIR: {
    as: "stateDir",
    parse: text,
    example: "/var/lib/kong-fallback",
    meaning:
      "Keeps this node's id, and the snapshots `serve` needs when store and control plane are both gone. Unset: nothing is kept, and the id is derived from the host name, which must then stay the same.",
    readBy: ["export", "import", "serve"],
  },
  KONG_FALLBACK_STATUS_LISTEN: {
    as: "statusListen",
    parse: listenOrOff,
    default: "127.0.0.1:8010",
    example: "0.0.0.0:8010",
    meaning:
      "Where `export` and `serve` answer `/livez`, `/readyz`, `/metrics` and `/status.json` (`serve` only); `off` for nowhere.",
    readBy: ["export", "serve"],
  },
  KONG_FALLBACK_MAX_CONFIG_BYTES: {
    as: "maxConfigBytes",
    parse: integer(MEBIBYTE, 2 * GIBIBYTE - 1),
    default: "268435456",
    example: "536870912",
    meaning: "Longest config accepted from a control plane or a store, bytes, uncompressed.",
    readBy: STORE_USERS,
  },
  KONG_FALLBACK_HASH_CHECK_MAX_BYTES: {
    as: "hashCheckMaxBytes",
    parse: integer(0, GIBIBYTE / 2),
    default: "16777216",
    example: "0",
    meaning: "Kong's hash is recomputed for configs up to this length, bytes; 0 for never.",
    readBy: ["export", "snapshots"],
  },
  KONG_FALLBACK_STORE_TIMEOUT: {
    as: "storeTimeoutMs",
    parse: seconds(0.1, HOUR),
    default: "30",
    example: "120",
    meaning: "Longest silence of the store within one request, seconds.",
    readBy: STORE_USERS,
  },
  KONG_FALLBACK_SHUTDOWN_TIMEOUT: {
    as: "shutdownTimeoutMs",
    parse: seconds(0.1, HOUR),
    default: "10",
    example: "25",
    meaning: "After SIGTERM: how long a config not saved yet is tried to be saved, seconds.",
    readBy: ALL,
  },
  KONG_FALLBACK_REHEARSAL_URL: {
    as: "rehearsalUrls",
    parse: urlPerVersion,
    example: "http://127.0.0.1:8001",
    meaning:
      "Admin API of a DB-less Kong without traffic that must load every config before `export` makes it current. With several versions one for each: `3.8.1=http://a:8001,3.9.1=http://b:8001`.",
    readBy: ["export"],
  },
  KONG_FALLBACK_REHEARSAL_STATUS_URL: {
    as: "rehearsalStatusUrls",
    parse: urlPerVersion,
    example: "http://127.0.0.1:8007",
    meaning:
      "Its Status API (`status_listen`), in the same form: `/status/ready` is asked there, too.",
    readBy: ["export"],
  },
  KONG_FALLBACK_REHEARSAL: {
    as: "rehearsalMode",
    parse: oneOf("required", "best-effort"),
    default: "required",
    example: "best-effort",
    meaning:
      "Where that Kong cannot be asked: the config waits until it can (`required`), or is saved unrehearsed (`best-effort`).",
    readBy: ["export"],
  },
  KONG_FALLBACK_REHEARSAL_TIMEOUT: {
    as: "rehearsalTimeoutMs",
    parse: seconds(1, HOUR),
    default: "60",
    example: "300",
    meaning: "How long one rehearsal may take in all, seconds.",
    readBy: ["export"],
  },
  KONG_FALLBACK_CHECKS: {
    as: "checks",
    parse: oneOf("warn", "refuse", "off"),
    default: "warn",
    example: "refuse",
    meaning:
      "What `export` does with a config that the static checks find faulty: `warn`, hold it back (`refuse`), or not check at all (`off`).",
    readBy: ["export"],
  },
  KONG_FALLBACK_REQUIRE_REHEARSED: {
    as: "requireRehearsed",
    parse: onOff,
    default: "off",
    example: "on",
    meaning:
      "`on`: `import` and `serve` use only snapshots that were rehearsed, the newest of these; `serve` remembers nothing that passes by.",
    readBy: ["import", "serve", "status"],
  },
} as const satisfies Record<string, Setting>;

export type SettingName = keyof typeof SETTINGS;
