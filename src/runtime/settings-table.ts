/** Every setting by name: its default and meaning. README's table is checked against this one. */

export interface SettingDescription {
  /** As it would be written in the environment; undefined: none. */
  readonly default?: string;
  /** A value that would be accepted. */
  readonly example: string;
  readonly meaning: string;
}

export const SETTINGS = {
  KONG_CLUSTER_CONTROL_PLANE: {
    example: "control-plane:8005",
    meaning: "The control plane's cluster port, `host:port`.",
  },
  KONG_CLUSTER_CERT: {
    example: "/certs/cluster.crt",
    meaning: "Cluster certificate: a path, PEM text, or base64 of PEM.",
  },
  KONG_CLUSTER_CERT_KEY: {
    example: "/certs/cluster.key",
    meaning: "Its private key, in the same forms.",
  },
  KONG_CLUSTER_CA_CERT: {
    example: "/certs/ca.crt",
    meaning:
      "With `pki`: the CA that signed the control plane's certificate, in the same forms. Unset: the system's CAs.",
  },
  KONG_CLUSTER_MTLS: {
    default: "shared",
    example: "shared",
    meaning:
      "`shared` (both sides use the cluster certificate) or `pki` (each has its own, signed by the CA).",
  },
  KONG_CLUSTER_SERVER_NAME: {
    example: "kong-cp.example.com",
    meaning:
      "With `pki`: the name to expect in the control plane's certificate. Unset: the host of KONG_CLUSTER_CONTROL_PLANE.",
  },
  KONG_CLUSTER_USE_PROXY: {
    default: "off",
    example: "on",
    meaning: "`on`: reach the control plane through KONG_PROXY_SERVER.",
  },
  KONG_PROXY_SERVER: {
    example: "https://user:password@proxy:3128",
    meaning: "The forward proxy, `http[s]://[user:password@]host[:port]`; port 443 if not given.",
  },
  KONG_PROXY_SERVER_SSL_VERIFY: {
    default: "on",
    example: "off",
    meaning: "`off`: do not verify the certificate of an https proxy.",
  },
  KONG_CLUSTER_MAX_PAYLOAD: {
    default: "16777216",
    example: "33554432",
    meaning: "Longest message taken from the control plane, bytes, compressed.",
  },
  KONG_CLUSTER_DP_LABELS: {
    example: "environment:production,team:gateway",
    meaning: "Labels shown for this node in the control plane, `key:value,...`.",
  },
  KONG_PLUGINS: {
    default: "bundled",
    example: "bundled,my-plugin",
    meaning:
      "Names of custom plugins in use, comma-separated. Kong's own plugins are always declared.",
  },
  KONG_VERSION: {
    example: "3.9.1",
    meaning:
      "Kong version of the data planes, as `kong version` prints it. For `export` a comma-separated list makes one backup for each.",
  },
  KONG_CLUSTER_FALLBACK_CONFIG_STORAGE: {
    example: "s3://bucket/prefix",
    meaning:
      "Where configs are saved: `s3://bucket/prefix`, `gs://bucket/prefix` (or `gcs://`), `file:///directory`.",
  },
  KONG_CLUSTER_FALLBACK_CONFIG_EXPORT: {
    default: "off",
    example: "on",
    meaning: "`on`: without a command on the command line, run `export`.",
  },
  KONG_CLUSTER_FALLBACK_CONFIG_IMPORT: {
    default: "off",
    example: "on",
    meaning: "`on`: without a command on the command line, run `import`.",
  },
  KONG_CLUSTER_FALLBACK_CONFIG_EXPORT_DELAY: {
    default: "60",
    example: "10",
    meaning: "Least time between two writes, seconds. The first config is saved at once.",
  },
  KONG_CLUSTER_FALLBACK_EXPORT_S3_CONFIG: {
    example: '{"ServerSideEncryption":"aws:kms","SSEKMSKeyId":"alias/kong"}',
    meaning: "JSON merged into every S3 PutObject.",
  },
  AWS_REGION: { example: "eu-central-1", meaning: "Region of the bucket." },
  AWS_DEFAULT_REGION: { example: "eu-central-1", meaning: "The same, if AWS_REGION is not set." },
  AWS_CONFIG_STORAGE_ENDPOINT: {
    example: "http://minio:9000",
    meaning: "URL of an S3-compatible server; addressed by path style.",
  },
  AWS_CA_BUNDLE: {
    example: "/certs/minio-ca.crt",
    meaning: "PEM file of the CAs to trust for that server. Unset: the system's.",
  },
  GCP_SERVICE_ACCOUNT: {
    example: '{"type":"service_account",...}',
    meaning: "Service-account JSON. Unset: Application Default Credentials.",
  },
  STORAGE_EMULATOR_HOST: {
    example: "http://fake-gcs:4443",
    meaning: "URL of a Google Cloud Storage emulator; no credentials are sent.",
  },
  KONG_FALLBACK_IMPORT_TO: {
    example: "file:/kong-fallback/kong.json",
    meaning:
      "Where `import` puts the config: `file:/path`, `-` (standard output), or the URL of a DB-less Kong's Admin API. Flag `--to`.",
  },
  KONG_FALLBACK_FORCE: {
    default: "off",
    example: "on",
    meaning: "`on`: import without asking whether the control plane lives. Flag `--force`.",
  },
  KONG_FALLBACK_PROBE: {
    default: "handshake",
    example: "config",
    meaning:
      "When the control plane counts as alive: it completes a `handshake`, or it also delivers a `config`. Flag `--probe`.",
  },
  KONG_FALLBACK_PROBE_TIMEOUT: {
    default: "10",
    example: "30",
    meaning: "How long the control plane is tried in all, seconds. Flag `--probe-timeout`.",
  },
  KONG_FALLBACK_PREFIX_DIR: {
    example: "/kong_prefix",
    meaning:
      "The data plane's prefix, mounted: if Kong's own cache there holds a config, nothing is imported. Flag `--prefix-dir`.",
  },
  KONG_FALLBACK_FILE_MODE: {
    default: "0640",
    example: "0600",
    meaning: "Permissions of the imported file, octal.",
  },
  KONG_FALLBACK_READ_TIMEOUT: {
    default: "60",
    example: "120",
    meaning: "How long `import` tries to read the snapshot, seconds, all attempts together.",
  },
  KONG_FALLBACK_APPLY_TIMEOUT: {
    default: "60",
    example: "120",
    meaning: "How long `import` waits for an Admin API to take and confirm the config, seconds.",
  },
  KONG_FALLBACK_ADMIN_URL: {
    example: "http://control-plane:8001",
    meaning:
      "The control plane's Admin API. If given, `export` asks it why no config comes; nothing else uses it.",
  },
  KONG_FALLBACK_ADMIN_TOKEN: {
    example: "a token",
    meaning: "Sent as `Kong-Admin-Token` to any Admin API.",
  },
  KONG_FALLBACK_STATE_DIR: {
    example: "/var/lib/kong-fallback",
    meaning:
      "Keeps this node's id. Unset: the id is derived from the host name, which must then stay the same.",
  },
  KONG_FALLBACK_STATUS_LISTEN: {
    default: "127.0.0.1:8010",
    example: "0.0.0.0:8010",
    meaning: "Where `export` answers `/livez`, `/readyz` and `/metrics`; `off` for nowhere.",
  },
  KONG_FALLBACK_MAX_CONFIG_BYTES: {
    default: "268435456",
    example: "536870912",
    meaning: "Longest config accepted from a control plane or a store, bytes, uncompressed.",
  },
  KONG_FALLBACK_HASH_CHECK_MAX_BYTES: {
    default: "16777216",
    example: "0",
    meaning: "Kong's hash is recomputed for configs up to this length, bytes; 0 for never.",
  },
  KONG_FALLBACK_STORE_TIMEOUT: {
    default: "30",
    example: "120",
    meaning: "Longest silence of the store within one request, seconds.",
  },
  KONG_FALLBACK_SHUTDOWN_TIMEOUT: {
    default: "10",
    example: "25",
    meaning: "After SIGTERM: how long a config not saved yet is tried to be saved, seconds.",
  },
  KONG_LOG_LEVEL: {
    default: "info",
    example: "debug",
    meaning: "`debug`, `info`, `notice`, `warn`, `error`, `crit`, `alert`, `emerg`, as Kong's.",
  },
} as const satisfies Record<string, SettingDescription>;

export type SettingName = keyof typeof SETTINGS;
