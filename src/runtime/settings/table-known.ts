/** The settings that bear the names others gave them: Kong, AWS, Google and Azure. Their table is SETTINGS. */

export const KNOWN_SETTINGS = {
  KONG_CLUSTER_CONTROL_PLANE: {
    example: "control-plane:8005",
    meaning: "The control plane's cluster port, `host:port`.",
  },
  KONG_CLUSTER_CERT: {
    example: "/certs/cluster.crt",
    meaning: "Cluster certificate: a path, PEM text, or base64 of PEM.",
  },
  KONG_CLUSTER_CERT_KEY: {
    secret: true,
    example: "/certs/cluster.key",
    meaning: "Its private key, in the same forms.",
  },
  KONG_CLUSTER_CA_CERT: {
    example: "/certs/ca.crt",
    meaning:
      "With `pki`: the CA that signed the control plane's certificate, in the same forms. Unset: the system's CAs; `serve` needs one, for it lets in the data planes whose certificate it signed.",
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
    secret: true,
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
  KONG_LOG_LEVEL: {
    default: "info",
    example: "debug",
    meaning: "`debug`, `info`, `notice`, `warn`, `error`, `crit`, `alert`, `emerg`, as Kong's.",
  },
  KONG_CLUSTER_FALLBACK_CONFIG_STORAGE: {
    example: "s3://bucket/prefix",
    meaning:
      "Where configs are saved: `s3://bucket/prefix`, `gs://bucket/prefix` (or `gcs://`), `azure://account/container/prefix`, `file:///directory`. A comma-separated list: `export` saves to each, readers take the newest of those that answer.",
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
    secret: true,
    example: '{"type":"service_account",...}',
    meaning: "Service-account JSON. Unset: Application Default Credentials.",
  },
  STORAGE_EMULATOR_HOST: {
    example: "http://fake-gcs:4443",
    meaning: "URL of a Google Cloud Storage emulator; no credentials are sent.",
  },
  NODE_TLS_REJECT_UNAUTHORIZED: {
    example: "1",
    meaning:
      "Node's. `0`, which would turn off the verification of every server's certificate, is refused.",
  },
  AZURE_TENANT_ID: {
    example: "11111111-2222-3333-4444-555555555555",
    meaning: "Entra ID tenant of AZURE_CLIENT_ID. Set by AKS workload identity.",
  },
  AZURE_CLIENT_ID: {
    example: "66666666-7777-8888-9999-000000000000",
    meaning:
      "The application, or the user-assigned managed identity. Unset: the system-assigned one.",
  },
  AZURE_CLIENT_SECRET: {
    secret: true,
    example: "secret-value",
    meaning: "The application's secret. Unset: workload or managed identity.",
  },
  AZURE_FEDERATED_TOKEN_FILE: {
    example: "/var/run/secrets/azure/tokens/azure-identity-token",
    meaning: "Set by AKS workload identity: file with the token of the service account.",
  },
  AZURE_AUTHORITY_HOST: {
    example: "https://login.chinacloudapi.cn",
    meaning: "Entra ID of another Azure cloud. Unset: `https://login.microsoftonline.com`.",
  },
  AZURE_STORAGE_KEY: {
    secret: true,
    example: "base64-of-the-key==",
    meaning: "Access key of the storage account, in place of an identity.",
  },
  AZURE_STORAGE_SAS_TOKEN: {
    secret: true,
    example: "sv=2024-11-04&sig=...",
    meaning: "SAS token for the container, in place of an identity.",
  },
  AZURE_STORAGE_ENDPOINT: {
    example: "https://{account}.blob.core.chinacloudapi.cn",
    meaning:
      "Blob service of another Azure cloud or of an emulator. `{account}` stands for the account, which otherwise follows as a path.",
  },
  KUBECONFIG: {
    example: "/etc/kong-fallback/kubeconfig",
    meaning: "With `KONG_FALLBACK_ELECTION=kubernetes`, outside of a cluster: how to reach it.",
  },
  KUBERNETES_SERVICE_HOST: {
    example: "10.0.0.1",
    meaning: "Set in every pod: host of the cluster's API.",
  },
  KUBERNETES_SERVICE_PORT: {
    default: "443",
    example: "6443",
    meaning: "Set in every pod: port of the cluster's API.",
  },
} as const;
