/** The settings: the only reader of the environment. One frozen object, or every fault at once. */

import { type HostPort, parseHostPort } from "../core/host-port.ts";
import type { Secret } from "../core/secret.ts";
import { parseTarget } from "../importer/targets/open.ts";
import { type ForwardProxy, parseForwardProxy } from "../kong/forward-proxy.ts";
import { type KongVersion, parseKongVersion } from "../kong/version.ts";
import { parseStorageUrl, type StorageLocation } from "../store/storage-url.ts";
import { type KongLogLevel, LOG_LEVELS } from "./logger.ts";
import { type Environment, SettingsError, SettingsReader } from "./settings-reader.ts";
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
  readonly storage: StorageLocation | undefined;
  readonly exportRole: boolean;
  readonly importRole: boolean;
  readonly exportDelayMs: number;
  readonly s3PutOptions: Readonly<Record<string, unknown>>;
  readonly awsRegion: string | undefined;
  readonly s3Endpoint: string | undefined;
  readonly awsCaBundle: string | undefined;
  readonly gcpServiceAccount: Secret | undefined;
  readonly gcsEmulator: string | undefined;
  /** As written; known to be the address of a target. */
  readonly importTo: string | undefined;
  readonly force: boolean;
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

/** Throws SettingsError with all faults. */
export function readSettings(source: Environment): Settings {
  const read = new SettingsReader(source);
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
    kongVersions:
      read.parsed("KONG_VERSION", "full versions like 3.9.1, comma-separated", parseVersions) ?? [],
    storage: read.parsed("KONG_CLUSTER_FALLBACK_CONFIG_STORAGE", "a storage URL", parseStorageUrl),
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
    importTo: read.parsed("KONG_FALLBACK_IMPORT_TO", "a target", (text) => {
      parseTarget(text);
      return text;
    }),
    force: read.onOff("KONG_FALLBACK_FORCE"),
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
const LOCAL_ADMIN_API = "http://127.0.0.1:8001";
const HTTP_URL = "a URL like http://host:port, without credentials";

/** A port to connect to: 0 is none. */
function parsePeer(text: string): HostPort | undefined {
  const peer = parseHostPort(text);
  return peer === undefined || peer.port === 0 ? undefined : peer;
}

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

function parseHostName(text: string): string | undefined {
  return /^[A-Za-z0-9]([A-Za-z0-9_.-]{0,252})$/.test(text) ? text : undefined;
}

function parseHttpUrl(text: string): string | undefined {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isPlain = url?.username === "" && url.password === "";
  return isPlain && /^https?:$/.test(url.protocol) ? text.replace(/\/+$/, "") : undefined;
}

function parseVersions(text: string): readonly KongVersion[] | undefined {
  const versions = text.split(",").map((part) => parseKongVersion(part.trim()));
  return versions.every((version) => version !== undefined) ? [...new Set(versions)] : undefined;
}

function parseNames(text: string): readonly string[] | undefined {
  const names = text.split(",").map((name) => name.trim());
  return names.every((name) => /^[A-Za-z0-9._-]{1,128}$/.test(name)) ? names : undefined;
}

/** Kong/kong@3.9.1 kong/conf_loader/parse.lua: each label 63 characters at most, letters, digits, `.`, `-`, `_`. */
function parseLabels(text: string): Readonly<Record<string, string>> | undefined {
  const pairs = text.split(",").map((pair) => /^\s*([\w.-]{1,63}):([\w.-]{1,63})\s*$/.exec(pair));
  const entries = pairs.map((match) => [match?.[1] ?? "", match?.[2] ?? ""] as const);
  return pairs.every((match) => match !== null) ? Object.fromEntries(entries) : undefined;
}

function parseObject(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
    return isObject ? { ...value } : undefined;
  } catch {
    // The parser's message quotes the text; the caller says what was expected.
    return undefined;
  }
}

function parseMode(text: string): number | undefined {
  return /^0?[0-7]{3}$/.test(text) ? Number.parseInt(text, 8) : undefined;
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
