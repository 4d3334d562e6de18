/** Kong's plugins: what they are called, since when open-source Kong has them, which a config uses. */

import { type JsonMember, jsonMembers } from "./json-members.ts";

/**
 * Every plugin published by Kong: the union of what Kong/kong bundles from 2.8.5 to 3.9.3
 * (kong/constants.lua:BUNDLED_PLUGINS) and of the plugins, Enterprise's included, in Kong's public
 * documentation (Kong/developer.konghq.com, August 2026). Sorted by name.
 */
export const KONG_PLUGIN_NAMES: readonly string[] = [
  "ace",
  "acl",
  "acme",
  "ai-a2a-proxy",
  "ai-aws-guardrails",
  "ai-azure-content-safety",
  "ai-custom-guardrail",
  "ai-gcp-model-armor",
  "ai-lakera-guard",
  "ai-llm-as-judge",
  "ai-mcp-oauth2",
  "ai-mcp-proxy",
  "ai-prompt-compressor",
  "ai-prompt-decorator",
  "ai-prompt-guard",
  "ai-prompt-template",
  "ai-proxy",
  "ai-proxy-advanced",
  "ai-rag-injector",
  "ai-rate-limiting-advanced",
  "ai-request-transformer",
  "ai-response-transformer",
  "ai-sanitizer",
  "ai-semantic-cache",
  "ai-semantic-prompt-guard",
  "ai-semantic-response-guard",
  "app-dynamics",
  "aws-lambda",
  "azure-functions",
  "basic-auth",
  "bot-detection",
  "canary",
  "confluent",
  "confluent-consume",
  "correlation-id",
  "cors",
  "datadog",
  "datakit",
  "degraphql",
  "exit-transformer",
  "file-log",
  "forward-proxy",
  "graphql-proxy-cache-advanced",
  "graphql-rate-limiting-advanced",
  "grpc-gateway",
  "grpc-web",
  "header-cert-auth",
  "hmac-auth",
  "http-log",
  "injection-protection",
  "ip-restriction",
  "jq",
  "json-threat-protection",
  "jwe-decrypt",
  "jwt",
  "jwt-signer",
  "kafka-consume",
  "kafka-log",
  "kafka-upstream",
  "key-auth",
  "key-auth-enc",
  "ldap-auth",
  "ldap-auth-advanced",
  "loggly",
  "metering-and-billing",
  "mocking",
  "mtls-auth",
  "oas-validation",
  "oauth2",
  "oauth2-introspection",
  "opa",
  "openid-connect",
  "opentelemetry",
  "post-function",
  "pre-function",
  "prometheus",
  "proxy-cache",
  "proxy-cache-advanced",
  "rate-limiting",
  "rate-limiting-advanced",
  "redirect",
  "request-callout",
  "request-size-limiting",
  "request-termination",
  "request-transformer",
  "request-transformer-advanced",
  "request-validator",
  "response-ratelimiting",
  "response-transformer",
  "response-transformer-advanced",
  "route-by-header",
  "route-transformer-advanced",
  "saml",
  "service-protection",
  "session",
  "solace-consume",
  "solace-log",
  "solace-upstream",
  "standard-webhooks",
  "statsd",
  "syslog",
  "tcp-log",
  "tls-handshake-modifier",
  "tls-metadata-headers",
  "udp-log",
  "upstream-oauth",
  "upstream-timeout",
  "vault-auth",
  "websocket-size-limit",
  "websocket-validator",
  "xml-threat-protection",
  "zipkin",
];

/** Words with a meaning of their own in Kong's `plugins` setting: all bundled ones; none. */
const KEYWORDS: ReadonlySet<string> = new Set(["bundled", "off"]);

/** What KONG_PLUGINS, as written, says: which plugins it names, and whether Kong's own are enabled, too. Empty is its default, `bundled`. */
export function enabledPlugins(setting: readonly string[]): {
  readonly named: ReadonlySet<string>;
  readonly bundled: boolean;
} {
  return {
    named: new Set(setting.filter((name) => !KEYWORDS.has(name))),
    bundled: setting.length === 0 || setting.includes("bundled"),
  };
}

/**
 * Names to declare: Kong's own and `custom`, the entries of KONG_PLUGINS. Declaring more than is
 * configured does no harm; missing one that is configured makes the control plane withhold
 * everything. In a data plane's order, by lower-cased name, each once.
 */
export function declaredPlugins(custom: readonly string[]): readonly string[] {
  const names = new Set([...KONG_PLUGIN_NAMES, ...enabledPlugins(custom).named]);
  return [...names].sort((a, b) => compare(a.toLowerCase(), b.toLowerCase()));
}

/** By code unit, as Lua's `<` does for ASCII; `localeCompare` would depend on the machine. */
function compare(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

/** Kong/kong@2.8.5 kong/constants.lua:BUNDLED_PLUGINS; none was dropped since. */
const SINCE_2_8: readonly string[] = [
  "acl",
  "acme",
  "aws-lambda",
  "azure-functions",
  "basic-auth",
  "bot-detection",
  "correlation-id",
  "cors",
  "datadog",
  "file-log",
  "grpc-gateway",
  "grpc-web",
  "hmac-auth",
  "http-log",
  "ip-restriction",
  "jwt",
  "key-auth",
  "ldap-auth",
  "loggly",
  "oauth2",
  "post-function",
  "pre-function",
  "prometheus",
  "proxy-cache",
  "rate-limiting",
  "request-size-limiting",
  "request-termination",
  "request-transformer",
  "response-ratelimiting",
  "response-transformer",
  "session",
  "statsd",
  "syslog",
  "tcp-log",
  "udp-log",
  "zipkin",
];

/** Version, `major.minor`, with which each open-source plugin came; 2.8 for all that are older. Kong/kong@3.0.0 to @3.9.3 kong/constants.lua */
export const OPEN_SOURCE_PLUGINS: ReadonlyMap<string, string> = new Map([
  ...SINCE_2_8.map((name) => [name, "2.8"] as const),
  ["opentelemetry", "3.0"],
  ["ai-prompt-decorator", "3.6"],
  ["ai-prompt-guard", "3.6"],
  ["ai-prompt-template", "3.6"],
  ["ai-proxy", "3.6"],
  ["ai-request-transformer", "3.6"],
  ["ai-response-transformer", "3.6"],
  ["standard-webhooks", "3.8"],
  ["redirect", "3.9"],
]);

/** Plugins that a config defines itself. https://developer.konghq.com: custom-plugins/streaming-plugins, how-to/clone-gateway-plugin */
export interface PluginDefinitions {
  /** `custom_plugins`, which come with their code. */
  readonly custom: ReadonlySet<string>;
  /** `cloned_plugins`: name of the clone -> name of the plugin that it is a clone of. */
  readonly clones: ReadonlyMap<string, string>;
}

/** `members`: of the config, which must be one well-formed JSON object. */
export function definedPlugins(
  config: Uint8Array,
  members: readonly JsonMember[] = jsonMembers(config),
): PluginDefinitions {
  const names = rowsOf(config, members, "custom_plugins").map(({ name }) => name);
  const clones = rowsOf(config, members, "cloned_plugins").flatMap(({ name, ref }) =>
    typeof name === "string" && typeof ref === "string" ? [[name, ref] as const] : [],
  );
  return {
    custom: new Set(names.filter((name) => typeof name === "string")),
    clones: new Map(clones),
  };
}

/** The plugin that a Kong must have where a config names `name`: a clone's original; undefined where the config brings it along. */
export function neededPlugin(name: string, definitions: PluginDefinitions): string | undefined {
  let needed = name;
  const seen = new Set<string>();
  for (;;) {
    if (definitions.custom.has(needed)) return undefined;
    const original = definitions.clones.get(needed);
    // Clones that name one another in a circle come from nothing.
    if (original === undefined || seen.has(needed)) return needed;
    seen.add(needed);
    needed = original;
  }
}

/**
 * Names of the plugins that a Kong must have for the config: those enabled in its `plugins`, where a
 * control plane puts them all, without those that the config defines itself; not those that a config
 * written by hand nests in its services. `config` must be one well-formed JSON object.
 */
export function configuredPlugins(config: Uint8Array): ReadonlySet<string> {
  const members = jsonMembers(config);
  const definitions = definedPlugins(config, members);
  const names = new Set<string>();
  for (const plugin of rowsOf(config, members, "plugins")) {
    const name = nameIfEnabled(plugin);
    const needed = name === undefined ? undefined : neededPlugin(name, definitions);
    if (needed !== undefined) names.add(needed);
  }
  return names;
}

type Row = Readonly<Record<string, unknown>>;

/** The objects in the list that the member holds; of members that stand twice the last counts. */
function rowsOf(config: Uint8Array, members: readonly JsonMember[], key: string): readonly Row[] {
  const member = members.findLast((it) => it.key === key);
  if (member === undefined) return [];
  const { start, end } = member;
  const text = Buffer.from(config.buffer, config.byteOffset + start, end - start);
  const rows: unknown = JSON.parse(text.toString("utf8"));
  // An empty Lua table may arrive as an object.
  return Array.isArray(rows) ? rows.filter((row) => typeof row === "object" && row !== null) : [];
}

/** `enabled` is true by default. Kong/kong@3.9.1 kong/db/schema/entities/plugins.lua */
function nameIfEnabled({ name, enabled }: Row): string | undefined {
  return typeof name === "string" && enabled !== false ? name : undefined;
}
