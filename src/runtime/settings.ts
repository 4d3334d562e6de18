/** The settings: the only reader of the environment. One frozen object, or every fault at once. */

import { type HostPort, parseHostPort } from "../core/host-port.ts";
import type { Secret } from "../core/secret.ts";
import { type GuardPolicy, parseGuardPolicy } from "../exporter/guard.ts";
import { parseTarget } from "../importer/targets/open.ts";
import { type ForwardProxy, parseForwardProxy } from "../kong/forward-proxy.ts";
import type { KongVersion } from "../kong/version.ts";
import { parseStorageUrls, type StorageLocation } from "../store/storage-url.ts";
import { type KongLogLevel, LOG_LEVELS } from "./logger.ts";
import { readAzureCredentials, readAzureEndpoint } from "./settings-azure.ts";
import {
  parseElectionId,
  parseHostName,
  parseHttpUrl,
  parseLabels,
  parseMode,
  parseNames,
  parseNamespace,
  parseObject,
  parsePeer,
  parseVersions,
} from "./settings-parsers.ts";
import { type Environment, SettingsError, SettingsReader } from "./settings-reader.ts";
import { type RehearsalSettings, readRehearsal } from "./settings-rehearsal.ts";
import type { SettingName } from "./settings-table.ts";

/** Meaning and defaults: SETTINGS in settings-table.ts. Undefined: not set. */
export interface Settings {
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
  readonly kongVersions: readonly KongVersion[];
  /** Replicas of each other. */
  readonly storages: readonly StorageLocation[];
  readonly exportRole: boolean;
  readonly importRole: boolean;
  readonly exportDelayMs: number;
  readonly s3PutOptions: Readonly<Record<string, unknown>>;
  readonly awsRegion: string | undefined;
  readonly s3Endpoint: string | undefined;
  readonly awsCaBundle: string | undefined;
  readonly gcpServiceAccount: Secret | undefined;
  readonly gcsEmulator: string | undefined;
  readonly azureCredentials: ReturnType<typeof readAzureCredentials>;
  readonly azureEndpoint: string | undefined;
  /** As written; known to be the address of a target. */
  readonly importTo: string | undefined;
  readonly force: boolean;
  readonly adapt: boolean;
  readonly probe: "handshake" | "config";
  readonly probeTimeoutMs: number;
  readonly prefixDir: string | undefined;
  readonly fileMode: number;
  readonly readTimeoutMs: number;
  readonly applyTimeoutMs: number;
  readonly adminUrl: string | undefined;
  readonly adminToken: Secret | undefined;
  readonly listen: HostPort;
  readonly serverCert: string | undefined;
  readonly serverCertKey: Secret | undefined;
  readonly remember: boolean;
  readonly reconnectMs: number;
  readonly configWaitMs: number;
  readonly retryMs: number;
  readonly recoveryMs: number;
  readonly releaseMs: number;
  readonly refreshMs: number;
  readonly maxConnections: number;
  readonly maxHandshakesPerSecond: number;
  /** URL of an Admin API; undefined: data planes. */
  readonly serveTarget: string | undefined;
  readonly serveGraceMs: number;
  readonly versionMatch: "exact" | "patch" | "minor";
  readonly election: "store" | "kubernetes" | "off";
  readonly leaseTtlMs: number;
  readonly electionId: string;
  readonly electionNamespace: string | undefined;
  readonly kubeconfig: string | undefined;
  /** The API server of the cluster this runs in; undefined outside of one. */
  readonly kubernetesService: HostPort | undefined;
  readonly guard: GuardPolicy;
  readonly rehearsal: RehearsalSettings;
  readonly checks: "warn" | "refuse" | "off";
  readonly requireRehearsed: boolean;
  readonly historyMaxCount: number;
  readonly historyMaxAgeMs: number;
  readonly historyMaxBytes: number;
  /** As written; commands/seal.ts reads and checks it, as the three below. Public ones are secrets, too: a private one may stand there by mistake. */
  readonly signingKey: Secret | undefined;
  readonly verifyKeys: Secret | undefined;
  readonly ageRecipients: Secret | undefined;
  readonly ageIdentities: Secret | undefined;
  readonly stateDir: string | undefined;
  readonly statusListen: HostPort | undefined;
  readonly maxConfigBytes: number;
  readonly hashCheckMaxBytes: number;
  readonly storeTimeoutMs: number;
  readonly shutdownTimeoutMs: number;
  readonly logLevel: KongLogLevel;
}

const GIBIBYTE = 2 ** 30;
const LOG_LEVEL_NAMES = Object.keys(LOG_LEVELS) as KongLogLevel[];

const VERIFIED =
  "unset: 0 turns off the verification of certificates; name your CA in AWS_CA_BUNDLE or NODE_EXTRA_CA_CERTS";

/** Throws SettingsError with all faults. */
export function readSettings(source: Environment): Settings {
  const read = new SettingsReader(source);
  const storages =
    read.parsed("KONG_CLUSTER_FALLBACK_CONFIG_STORAGE", "storage URLs", parseStorageUrls) ?? [];
  read.parsed("NODE_TLS_REJECT_UNAUTHORIZED", VERIFIED, (text) => text !== "0" || undefined);
  const kongVersions =
    read.parsed("KONG_VERSION", "full versions like 3.9.1, comma-separated", parseVersions) ?? [];
  const settings: Settings = {
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
    kongVersions,
    storages,
    exportRole: read.onOff("KONG_CLUSTER_FALLBACK_CONFIG_EXPORT"),
    importRole: read.onOff("KONG_CLUSTER_FALLBACK_CONFIG_IMPORT"),
    exportDelayMs: read.seconds("KONG_CLUSTER_FALLBACK_CONFIG_EXPORT_DELAY", 0, 86_400),
    s3PutOptions:
      read.parsed("KONG_CLUSTER_FALLBACK_EXPORT_S3_CONFIG", "a JSON object", parseObject) ?? {},
    awsRegion: read.text("AWS_REGION") ?? read.text("AWS_DEFAULT_REGION"),
    s3Endpoint: read.parsed("AWS_CONFIG_STORAGE_ENDPOINT", HTTP_URL, parseHttpUrl),
    awsCaBundle: read.text("AWS_CA_BUNDLE"),
    gcpServiceAccount: read.secret("GCP_SERVICE_ACCOUNT"),
    gcsEmulator: read.parsed("STORAGE_EMULATOR_HOST", HTTP_URL, parseHttpUrl),
    azureCredentials: readAzureCredentials(read),
    azureEndpoint: readAzureEndpoint(read),
    importTo: read.parsed("KONG_FALLBACK_IMPORT_TO", "a target", (text) => {
      parseTarget(text);
      return text;
    }),
    force: read.onOff("KONG_FALLBACK_FORCE"),
    adapt: read.onOff("KONG_FALLBACK_ADAPT"),
    probe: read.oneOf("KONG_FALLBACK_PROBE", ["handshake", "config"]) ?? "handshake",
    probeTimeoutMs: read.seconds("KONG_FALLBACK_PROBE_TIMEOUT", 0.1, 3_600),
    prefixDir: read.text("KONG_FALLBACK_PREFIX_DIR"),
    fileMode:
      read.parsed("KONG_FALLBACK_FILE_MODE", "octal permissions like 0640", parseMode) ?? 0o640,
    readTimeoutMs: read.seconds("KONG_FALLBACK_READ_TIMEOUT", 0.1, 3_600),
    applyTimeoutMs: read.seconds("KONG_FALLBACK_APPLY_TIMEOUT", 0.1, 3_600),
    adminUrl: read.parsed("KONG_FALLBACK_ADMIN_URL", HTTP_URL, parseHttpUrl),
    adminToken: read.secret("KONG_FALLBACK_ADMIN_TOKEN"),
    listen: read.parsed("KONG_FALLBACK_LISTEN", "host:port", parseHostPort) ?? ANYWHERE,
    serverCert: read.text("KONG_FALLBACK_SERVER_CERT"),
    serverCertKey: read.secret("KONG_FALLBACK_SERVER_CERT_KEY"),
    remember: read.onOff("KONG_FALLBACK_REMEMBER"),
    reconnectMs: read.seconds("KONG_FALLBACK_RECONNECT_TIME", 0, 3_600),
    configWaitMs: read.seconds("KONG_FALLBACK_CONFIG_WAIT", 0.1, 3_600),
    retryMs: read.seconds("KONG_FALLBACK_RETRY_TIME", 0.1, 3_600),
    recoveryMs: read.seconds("KONG_FALLBACK_RECOVERY_TIME", 0, 3_600),
    releaseMs: read.seconds("KONG_FALLBACK_RELEASE_TIME", 0, 3_600),
    refreshMs: read.seconds("KONG_FALLBACK_REFRESH_INTERVAL", 1, 86_400),
    maxConnections: read.integer("KONG_FALLBACK_MAX_CONNECTIONS", 1, 1_000_000),
    maxHandshakesPerSecond: read.integer("KONG_FALLBACK_MAX_HANDSHAKES", 1, 1_000_000),
    serveTarget: readServeTarget(read),
    serveGraceMs: read.seconds("KONG_FALLBACK_SERVE_GRACE", 0, 3_600),
    versionMatch: read.oneOf("KONG_FALLBACK_VERSION_MATCH", ["exact", "patch", "minor"]) ?? "patch",
    election: read.oneOf("KONG_FALLBACK_ELECTION", ["store", "kubernetes", "off"]) ?? "store",
    leaseTtlMs: read.seconds("KONG_FALLBACK_LEASE_TTL", 1, 300),
    electionId:
      read.parsed(
        "KONG_FALLBACK_ELECTION_ID",
        "lower-case letters, digits, - and .",
        parseElectionId,
      ) ?? "",
    electionNamespace: read.parsed(
      "KONG_FALLBACK_ELECTION_NAMESPACE",
      "a namespace",
      parseNamespace,
    ),
    kubeconfig: read.text("KUBECONFIG"),
    kubernetesService: readKubernetesService(read),
    guard: read.parsed(
      "KONG_FALLBACK_GUARD",
      "off, or limits in percent like services=20,*=50",
      parseGuardPolicy,
    ) ?? { kind: "off" },
    rehearsal: readRehearsal(read, kongVersions),
    checks: read.oneOf("KONG_FALLBACK_CHECKS", ["warn", "refuse", "off"]) ?? "warn",
    requireRehearsed: read.onOff("KONG_FALLBACK_REQUIRE_REHEARSED"),
    historyMaxCount: read.integer("KONG_FALLBACK_HISTORY_MAX_COUNT", 1, 50_000),
    historyMaxAgeMs: read.integer("KONG_FALLBACK_HISTORY_MAX_AGE", 1, 36_500) * DAY_MS,
    historyMaxBytes: read.integer("KONG_FALLBACK_HISTORY_MAX_BYTES", 1, Number.MAX_SAFE_INTEGER),
    signingKey: read.secret("KONG_FALLBACK_SIGNING_KEY"),
    verifyKeys: read.secret("KONG_FALLBACK_VERIFY_KEYS"),
    ageRecipients: read.secret("KONG_FALLBACK_AGE_RECIPIENTS"),
    ageIdentities: read.secret("KONG_FALLBACK_AGE_IDENTITIES"),
    stateDir: read.text("KONG_FALLBACK_STATE_DIR"),
    statusListen: readListen(read, "KONG_FALLBACK_STATUS_LISTEN"),
    maxConfigBytes: read.integer("KONG_FALLBACK_MAX_CONFIG_BYTES", 1_048_576, 2 * GIBIBYTE - 1),
    hashCheckMaxBytes: read.integer("KONG_FALLBACK_HASH_CHECK_MAX_BYTES", 0, GIBIBYTE / 2),
    storeTimeoutMs: read.seconds("KONG_FALLBACK_STORE_TIMEOUT", 0.1, 3_600),
    shutdownTimeoutMs: read.seconds("KONG_FALLBACK_SHUTDOWN_TIMEOUT", 0.1, 3_600),
    logLevel: read.oneOf("KONG_LOG_LEVEL", LOG_LEVEL_NAMES) ?? "info",
  };
  if (read.faults.length > 0) throw new SettingsError(read.faults);
  return Object.freeze(settings);
}

/** Stands in for one at fault. */
const ANYWHERE: HostPort = { host: "127.0.0.1", port: 0 };
const DAY_MS = 86_400_000;
const LOCAL_ADMIN_API = "http://127.0.0.1:8001";
const HTTP_URL = "a URL like http://host:port, without credentials";

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

function readServeTarget(read: SettingsReader): string | undefined {
  const value = read.parsed(
    "KONG_FALLBACK_SERVE_TARGET",
    `planes, admin, or ${HTTP_URL}`,
    (text) => (text === "planes" ? text : parseHttpUrl(text === "admin" ? LOCAL_ADMIN_API : text)),
  );
  return value === "planes" ? undefined : value;
}

/** `off`, or where to listen. */
function readListen(read: SettingsReader, name: SettingName): HostPort | undefined {
  const value = read.parsed(name, "host:port, or off", (text) =>
    text === "off" ? text : parseHostPort(text),
  );
  return value === "off" ? undefined : value;
}

/** Set in every pod; the port may be missing where somebody sets the host by hand. */
function readKubernetesService(read: SettingsReader): HostPort | undefined {
  const host = read.text("KUBERNETES_SERVICE_HOST");
  const port = read.integer("KUBERNETES_SERVICE_PORT", 1, 65_535);
  return host === undefined ? undefined : { host, port };
}
