/** The settings: the only reader of the environment. One frozen object, or every fault at once. */

import { type HostPort, parseHostPort } from "../core/host-port.ts";
import type { Secret } from "../core/secret.ts";
import { type GuardPolicy, parseGuardPolicy } from "../exporter/guard.ts";
import { parseTarget } from "../importer/targets/open.ts";
import type { KongVersion } from "../kong/version.ts";
import { type KongLogLevel, LOG_LEVELS } from "./logger.ts";
import { type ClusterSettings, readCluster } from "./settings/cluster.ts";
import { type ElectionSettings, readElection } from "./settings/election.ts";
import { HTTP_URL, parseHttpUrl, parseMode, parseVersions } from "./settings/parsers.ts";
import { type Environment, SettingsError, SettingsReader } from "./settings/reader.ts";
import { type RehearsalSettings, readRehearsal } from "./settings/rehearsal.ts";
import { readServe, type ServeSettings } from "./settings/serve.ts";
import { readStores, type StoreSettings } from "./settings/stores.ts";
import type { SettingName } from "./settings/table.ts";

/** Meaning and defaults: SETTINGS in settings/table.ts. Undefined: not set. */
export interface Settings extends ClusterSettings, StoreSettings, ServeSettings, ElectionSettings {
  readonly kongVersions: readonly KongVersion[];
  readonly exportRole: boolean;
  readonly importRole: boolean;
  readonly exportDelayMs: number;
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
  readonly versionMatch: "exact" | "patch" | "minor";
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
  readonly shutdownTimeoutMs: number;
  readonly logLevel: KongLogLevel;
}

const GIBIBYTE = 2 ** 30;
const LOG_LEVEL_NAMES = Object.keys(LOG_LEVELS) as KongLogLevel[];

/** Throws SettingsError with all faults. */
export function readSettings(source: Environment): Settings {
  const read = new SettingsReader(source);
  const kongVersions =
    read.parsed("KONG_VERSION", "full versions like 3.9.1, comma-separated", parseVersions) ?? [];
  const settings: Settings = {
    ...readCluster(read),
    kongVersions,
    ...readStores(read),
    exportRole: read.onOff("KONG_CLUSTER_FALLBACK_CONFIG_EXPORT"),
    importRole: read.onOff("KONG_CLUSTER_FALLBACK_CONFIG_IMPORT"),
    exportDelayMs: read.seconds("KONG_CLUSTER_FALLBACK_CONFIG_EXPORT_DELAY", 0, 86_400),
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
    ...readServe(read),
    versionMatch: read.oneOf("KONG_FALLBACK_VERSION_MATCH", ["exact", "patch", "minor"]) ?? "patch",
    ...readElection(read),
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
    shutdownTimeoutMs: read.seconds("KONG_FALLBACK_SHUTDOWN_TIMEOUT", 0.1, 3_600),
    logLevel: read.oneOf("KONG_LOG_LEVEL", LOG_LEVEL_NAMES) ?? "info",
  };
  if (read.faults.length > 0) throw new SettingsError(read.faults);
  return Object.freeze(settings);
}

const DAY_MS = 86_400_000;

/** `off`, or where to listen. */
function readListen(read: SettingsReader, name: SettingName): HostPort | undefined {
  const value = read.parsed(name, "host:port, or off", (text) =>
    text === "off" ? text : parseHostPort(text),
  );
  return value === "off" ? undefined : value;
}
