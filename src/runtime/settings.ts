/** The settings: the only reader of the environment. One frozen object, or every fault at once. */

import env from "env-var";
import { ServiceError } from "../core/errors.ts";
import type { KongVersion } from "../kong/version.ts";
import { UnfitError, type UrlPerVersion } from "./settings/parsers.ts";
import { SETTINGS, type Setting, type SettingName } from "./settings/table.ts";
import { type UnknownName, unknownNames } from "./settings/unknown-names.ts";
import { resolveReference } from "./settings/vault.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

/** Meaning and defaults: SETTINGS. Undefined: not set. */
export type Settings = Readonly<ReturnType<typeof combine>>;

/**
 * Throws SettingsError with all faults; a name of ours that nobody knows is one. Blanks and line ends
 * around a value do not count, as with Kong: secrets of Kubernetes often end with one.
 */
export function readSettings(source: Environment): Settings {
  // A variable that is set to nothing, as compose files do, counts as not set.
  const textOf = (name: string) => stripped(source[name] ?? "");
  const isSet = (name: SettingName) => textOf(name) !== "";
  const faults = unknownNames(source)
    .filter(({ space }) => space === "ours")
    .map(describeUnknown);
  for (const name of READ_BY_SDKS) {
    const value = source[name] ?? "";
    if (value !== stripped(value)) {
      faults.push(`${name}: begins or ends with a blank or a line end, which would be sent along`);
    }
  }
  const fault: NoteFault = (name, what) => faults.push(`${name}: ${what}`);
  const values = Object.entries<Setting>(SETTINGS).map(([name, setting]) => {
    const resolved = resolveReference(textOf(name), source);
    if (resolved.kind === "fault") {
      faults.push(`${name}: ${resolved.what}`);
      return [setting.as, setting.unset];
    }
    const given = resolved.value || setting.default;
    if (given === undefined) return [setting.as, setting.unset];
    const variable = env
      .from({ [name]: given })
      .get(name)
      .example(setting.example)
      .default(given);
    try {
      return [setting.as, setting.parse(variable)];
    } catch (error) {
      if (!(error instanceof env.EnvVarError || error instanceof UnfitError)) throw error;
      faults.push(`${name}: ${error.message.replace(/^env-var: "[^"]*" /, "")}`);
      return [setting.as, setting.unset];
    }
  });
  const settings = combine(Object.fromEntries(values) as Values, isSet, fault);
  if (faults.length > 0) throw new SettingsError(faults);
  return Object.freeze(settings);
}

/** By AWS's SDK, as they are. */
const READ_BY_SDKS = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"];

function stripped(value: string): string {
  return value.replace(/^[\s\uFEFF]+|\s+$/g, "");
}

/** One sentence for each name that may be a misspelt one of Kong's; it may also be one that only Kong knows. */
export function doubtfulSettings(source: Environment): readonly string[] {
  return unknownNames(source)
    .filter(({ space }) => space === "kong")
    .map(describeUnknown);
}

function describeUnknown({ name, meant }: UnknownName): string {
  const advice = meant === undefined ? "remove it" : `did you mean ${meant}?`;
  return `${name}: there is no such setting; ${advice}`;
}

/** `SETTINGS_INVALID`: settings are missing or cannot be used; the message has one line for each fault. Values are never repeated, they may be secrets. */
export class SettingsError extends ServiceError {
  readonly code = "SETTINGS_INVALID";
  readonly exitStatus = 2;
  readonly faults: readonly string[];

  constructor(
    faults: readonly string[],
    hint = "The table of settings in README.md has all of them.",
  ) {
    const [only = ""] = faults;
    const message =
      faults.length === 1
        ? only
        : `${faults.length} settings cannot be used:\n${faults.map((fault) => `  - ${fault}`).join("\n")}`;
    super(message, { retryable: false, hint });
    this.faults = faults;
  }
}

type Rows = typeof SETTINGS;

type ValueOf<Row> = Row extends { readonly parse: (...given: never) => infer Value }
  ? Row extends { readonly default: string } | { readonly unset: Value }
    ? Value
    : Value | undefined
  : never;

/** One value for each row. Of one at fault it is `unset`: nothing else comes of the settings then. */
type Values = { readonly [Name in SettingName as Rows[Name]["as"]]: ValueOf<Rows[Name]> };

type NoteFault = (name: SettingName, what: string) => void;

/** What several variables say together takes the place of what each says. */
function combine(values: Values, isSet: (name: SettingName) => boolean, fault: NoteFault) {
  const { clusterUseProxy, proxyServer, proxyVerify, ...others } = values;
  const { awsRegion, awsDefaultRegion, kubernetesHost, kubernetesPort, ...more } = others;
  const { azureStorageKey, azureStorageSasToken, azureTenantId, azureClientId, ...still } = more;
  const { azureClientSecret, azureFederatedTokenFile, azureAuthorityHost, ...yet } = still;
  const { rehearsalUrls, rehearsalStatusUrls, rehearsalMode, rehearsalTimeoutMs, ...nearly } = yet;
  const { httpsProxy, httpsProxyLower, httpProxy, httpProxyLower, ...less } = nearly;
  const { noProxy, noProxyLower, ...alone } = less;
  // KONG_PROXY_SERVER counts only where KONG_CLUSTER_USE_PROXY is on. Kong/kong@3.9.1 kong/conf_loader/init.lua
  if (clusterUseProxy && !isSet("KONG_PROXY_SERVER")) {
    fault("KONG_CLUSTER_USE_PROXY", "is on, but KONG_PROXY_SERVER is not set");
  }
  const usesProxy = clusterUseProxy && proxyServer !== undefined;
  return {
    ...alone,
    /** Undefined where none is to be used. */
    proxy: usesProxy ? { ...proxyServer, verifyCertificate: proxyVerify } : undefined,
    /** As the variables have them; whether they can be used, who uses them says. */
    storeProxies: {
      https: httpsProxyLower ?? httpsProxy,
      http: httpProxyLower ?? httpProxy,
      except: noProxyLower ?? noProxy,
    },
    awsRegion: awsRegion ?? awsDefaultRegion,
    /** As chooseAccess of store/azure/identity.ts takes them. */
    azureCredentials: {
      accountKey: azureStorageKey,
      sasToken: azureStorageSasToken,
      tenantId: azureTenantId,
      clientId: azureClientId,
      clientSecret: azureClientSecret,
      federatedTokenFile: azureFederatedTokenFile,
      authorityHost: azureAuthorityHost,
    },
    /** The API server of the cluster this runs in; undefined outside of one. */
    kubernetesService:
      kubernetesHost === undefined ? undefined : { host: kubernetesHost, port: kubernetesPort },
    rehearsal: {
      mode: rehearsalMode,
      /** For one rehearsal in all. */
      timeoutMs: rehearsalTimeoutMs,
      ...rehearsalUrlsOf(values, fault),
    },
  };
}

/**
 * `urls`, of Admin APIs, has every version of KONG_VERSION, or the mode is `best-effort`; empty:
 * nothing is rehearsed. `statusUrls`, of Status APIs, has some of these versions, or none.
 */
function rehearsalUrlsOf(
  { kongVersions, rehearsalUrls, rehearsalStatusUrls, rehearsalMode }: Values,
  fault: NoteFault,
) {
  // One URL alone belongs to the only version, and is a fault where there are several: a Kong rehearses for its own.
  const perVersion = (
    name: SettingName,
    value: UrlPerVersion | undefined,
  ): ReadonlyMap<KongVersion, string> => {
    if (typeof value !== "string") return value ?? new Map();
    if (kongVersions.length > 1) {
      fault(name, "must name one for each version of KONG_VERSION: 3.8.1=URL,3.9.1=URL");
    }
    return new Map(kongVersions.map((version) => [version, value]));
  };
  const urls = perVersion("KONG_FALLBACK_REHEARSAL_URL", rehearsalUrls);
  const without = kongVersions.filter((version) => !urls.has(version));
  if (rehearsalMode === "required" && urls.size > 0 && without.length > 0) {
    fault(
      "KONG_FALLBACK_REHEARSAL_URL",
      `has none for ${without.join(", ")} of KONG_VERSION: add them, or set KONG_FALLBACK_REHEARSAL=best-effort`,
    );
  }
  const statusUrls = perVersion("KONG_FALLBACK_REHEARSAL_STATUS_URL", rehearsalStatusUrls);
  return { urls, statusUrls };
}
