/** The settings of our own making. Their table is SETTINGS. */

export const OWN_SETTINGS = {
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
  KONG_FALLBACK_ADAPT: {
    default: "off",
    example: "on",
    meaning:
      "`on`: `import` takes out of the config what a DB-less open-source Kong of this version refuses, and lists it. Flag `--adapt`.",
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
    secret: true,
    example: "a token",
    meaning: "Sent as `Kong-Admin-Token` to any Admin API.",
  },
  KONG_FALLBACK_LISTEN: {
    default: "127.0.0.1:8005",
    example: "0.0.0.0:8005",
    meaning: "Where `serve` takes data planes, `host:port`: their KONG_CLUSTER_CONTROL_PLANE.",
  },
  KONG_FALLBACK_SERVER_CERT: {
    example: "/certs/sidecar.crt",
    meaning:
      "With `pki`: the certificate that `serve` shows to data planes, in the forms of KONG_CLUSTER_CERT. Unset: KONG_CLUSTER_CERT.",
  },
  KONG_FALLBACK_SERVER_CERT_KEY: {
    secret: true,
    example: "/certs/sidecar.key",
    meaning: "Its private key, in the same forms.",
  },
  KONG_FALLBACK_REMEMBER: {
    default: "on",
    example: "off",
    meaning:
      "`serve` keeps what the control plane sends through it as the newest snapshot. `off`: only the store counts, and a live config that a data plane lost is not sent again.",
  },
  KONG_FALLBACK_RECONNECT_TIME: {
    default: "10",
    example: "30",
    meaning:
      "How long `serve` tries to make a broken connection again before the control plane counts as lost, seconds.",
  },
  KONG_FALLBACK_CONFIG_WAIT: {
    default: "10",
    example: "20",
    meaning:
      "A control plane that accepts a data plane and sends it no config for this long counts as lost, seconds.",
  },
  KONG_FALLBACK_RETRY_TIME: {
    default: "5",
    example: "1",
    meaning: "A lost control plane is tried again after this to twice this, seconds.",
  },
  KONG_FALLBACK_RECOVERY_TIME: {
    default: "10",
    example: "60",
    meaning:
      "How long a lost control plane must have been answering again before data planes are moved back, seconds; more if it comes and goes.",
  },
  KONG_FALLBACK_RELEASE_TIME: {
    default: "30",
    example: "120",
    meaning: "Data planes are moved back each at a random moment within this, seconds.",
  },
  KONG_FALLBACK_REFRESH_INTERVAL: {
    default: "30",
    example: "300",
    meaning: "How often `serve` looks into the store for a newer snapshot, seconds.",
  },
  KONG_FALLBACK_MAX_CONNECTIONS: {
    default: "4096",
    example: "16",
    meaning: "Connections `serve` takes at a time; the next ones are dropped.",
  },
  KONG_FALLBACK_MAX_HANDSHAKES: {
    default: "200",
    example: "20",
    meaning: "TLS handshakes `serve` begins per second; the next ones wait.",
  },
  KONG_FALLBACK_SERVE_TARGET: {
    default: "planes",
    example: "admin",
    meaning:
      "Whom `serve` serves: `planes`, or a DB-less Kong that it keeps configured, by the URL of its Admin API (`admin`: http://127.0.0.1:8001). Flag `--target`.",
  },
  // Time enough for a living controller: Kong's ingress controller looks every 3 s (`--proxy-sync-seconds`).
  KONG_FALLBACK_SERVE_GRACE: {
    default: "10",
    example: "60",
    meaning:
      "With an Admin API as target: how long an empty Kong is left to its own controller, seconds.",
  },
  KONG_FALLBACK_VERSION_MATCH: {
    default: "patch",
    example: "exact",
    meaning:
      "Which older Kong version's snapshot readers take where none was saved for theirs: none (`exact`), one that differs in the last number (`patch`), or one with the same major number (`minor`).",
  },
  KONG_FALLBACK_ELECTION: {
    default: "store",
    example: "kubernetes",
    meaning:
      "How several exporters agree which one writes: by a lease in each `store`, by a Lease of `kubernetes`, or `off`: only one exporter runs.",
  },
  // 15 s, as of Kubernetes' leader election. kubernetes/client-go tools/leaderelection/leaderelection.go
  KONG_FALLBACK_LEASE_TTL: {
    default: "15",
    example: "30",
    meaning:
      "After this long without a sign of life of its holder another exporter takes over, seconds.",
  },
  KONG_FALLBACK_ELECTION_ID: {
    default: "kong-fallback-exporter",
    example: "kong-fallback-team-a",
    meaning: "With `kubernetes`: how the Leases' names begin. Exporters of one storage share it.",
  },
  KONG_FALLBACK_ELECTION_NAMESPACE: {
    example: "kong",
    meaning: "With `kubernetes`: where the Leases lie. Unset: the pod's namespace.",
  },
  KONG_FALLBACK_GUARD: {
    default: "*=50",
    example: "services=20,routes=20,*=50",
    meaning:
      "A config that lost more than this of what the current one has is held back, percent by kind, `*` for all others; `off`: every config is saved.",
  },
  KONG_FALLBACK_HISTORY_MAX_COUNT: {
    default: "50",
    example: "200",
    meaning: "How many saved configs are kept of each version in each store.",
  },
  KONG_FALLBACK_HISTORY_MAX_AGE: {
    default: "90",
    example: "30",
    meaning: "How long they are kept, days.",
  },
  KONG_FALLBACK_HISTORY_MAX_BYTES: {
    default: "1073741824",
    example: "107374182400",
    meaning: "How many bytes they may take, compressed.",
  },
  KONG_FALLBACK_SIGNING_KEY: {
    secret: true,
    example: "/keys/signing.key",
    meaning:
      "What `export` and `snapshots restore` sign with: an Ed25519 private key, a path, PEM text, or base64 of PEM. Unset: nothing is signed.",
  },
  KONG_FALLBACK_VERIFY_KEYS: {
    secret: true,
    example: "/keys/signing.pub,/keys/next.pub",
    meaning:
      "Ed25519 public keys in the same forms, comma-separated: a snapshot that none of them signed is refused. Unset: signatures are not asked for.",
  },
  KONG_FALLBACK_AGE_RECIPIENTS: {
    secret: true,
    example: "/keys/age.pub",
    meaning:
      "For whom configs are encrypted: `age1...`, or paths of files with one in each line, comma-separated. Unset: they are saved in the clear.",
  },
  KONG_FALLBACK_AGE_IDENTITIES: {
    secret: true,
    example: "/keys/age.key",
    meaning:
      "What opens encrypted configs: `AGE-SECRET-KEY-1...`, or paths of files as `age-keygen` writes them, comma-separated.",
  },
  KONG_FALLBACK_STATE_DIR: {
    example: "/var/lib/kong-fallback",
    meaning:
      "Keeps this node's id, and the snapshots `serve` needs when store and control plane are both gone. Unset: nothing is kept, and the id is derived from the host name, which must then stay the same.",
  },
  KONG_FALLBACK_STATUS_LISTEN: {
    default: "127.0.0.1:8010",
    example: "0.0.0.0:8010",
    meaning:
      "Where `export` and `serve` answer `/livez`, `/readyz`, `/metrics` and `/status.json` (`serve` only); `off` for nowhere.",
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
} as const;
