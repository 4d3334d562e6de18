/** Which kinds of entities a config may have at its top level, by Kong's version and edition. */

/** Where a kind comes from. `since` and `before` are `major.minor`; absent: from 2.8 on, to this day. */
export type KindOrigin =
  | { readonly kind: "core"; readonly since?: string; readonly before?: string }
  /** Known only where the plugin is enabled, for it brings the kind along. */
  | { readonly kind: "plugin"; readonly plugin: string }
  | { readonly kind: "enterprise" };

/** Kong/kong@2.8.5, @3.9.1 kong/constants.lua:CORE_ENTITIES, kong/plugins/<name>/daos.lua */
const OPEN_SOURCE_KINDS: ReadonlyMap<string, KindOrigin> = new Map<string, KindOrigin>([
  ["ca_certificates", { kind: "core" }],
  ["certificates", { kind: "core" }],
  ["clustering_data_planes", { kind: "core" }],
  ["consumers", { kind: "core" }],
  ["filter_chains", { kind: "core", since: "3.4" }],
  ["key_sets", { kind: "core", since: "3.1" }],
  ["keys", { kind: "core", since: "3.1" }],
  ["parameters", { kind: "core" }],
  ["plugins", { kind: "core" }],
  ["routes", { kind: "core" }],
  ["services", { kind: "core" }],
  ["snis", { kind: "core" }],
  ["targets", { kind: "core" }],
  ["upstreams", { kind: "core" }],
  ["vaults", { kind: "core", since: "3.0" }],
  ["vaults_beta", { kind: "core", before: "3.0" }],
  ["workspaces", { kind: "core" }],
  ["acls", { kind: "plugin", plugin: "acl" }],
  ["acme_storage", { kind: "plugin", plugin: "acme" }],
  ["basicauth_credentials", { kind: "plugin", plugin: "basic-auth" }],
  ["hmacauth_credentials", { kind: "plugin", plugin: "hmac-auth" }],
  ["jwt_secrets", { kind: "plugin", plugin: "jwt" }],
  ["keyauth_credentials", { kind: "plugin", plugin: "key-auth" }],
  ["oauth2_authorization_codes", { kind: "plugin", plugin: "oauth2" }],
  ["oauth2_credentials", { kind: "plugin", plugin: "oauth2" }],
  ["oauth2_tokens", { kind: "plugin", plugin: "oauth2" }],
  ["ratelimiting_metrics", { kind: "plugin", plugin: "rate-limiting" }],
  ["response_ratelimiting_metrics", { kind: "plugin", plugin: "response-ratelimiting" }],
  ["sessions", { kind: "plugin", plugin: "session" }],
]);

/**
 * Kong Enterprise's own kinds, as far as they are named in public: https://developer.konghq.com
 * (Admin API, deck/reference/entities, plugins, changelog) and https://github.com/Kong/go-kong. Not
 * all there are.
 */
const ENTERPRISE_KINDS: ReadonlySet<string> = new Set([
  "admins",
  "consumer_group_consumers",
  "consumer_group_plugins",
  "consumer_groups",
  "degraphql_routes",
  "developers",
  "document_objects",
  "event_hooks",
  "files",
  "graphql_ratelimiting_advanced_cost_decoration",
  "groups",
  "keyauth_enc_credentials",
  "licenses",
  "mtls_auth_credentials",
  "oic_issuers",
  "partials",
]);
const ENTERPRISE_PREFIX = /^rbac_/;

/** Undefined for a kind of a custom plugin, of an Enterprise not described in public, or of no Kong. */
export function kindOrigin(name: string): KindOrigin | undefined {
  const isEnterprise = ENTERPRISE_KINDS.has(name) || ENTERPRISE_PREFIX.test(name);
  return isEnterprise ? { kind: "enterprise" } : OPEN_SOURCE_KINDS.get(name);
}

/**
 * Kinds that belong to no workspace, so that every Kong refuses a `ws_id` there. The first two are
 * those that Kong Enterprise's own exporter got wrong: its changelog, 3.10.0.15 to 3.15.0.0. The
 * others: Kong/kong@3.9.1 kong/db/schema/entities, without `workspaceable`.
 */
export const KINDS_OF_NO_WORKSPACE: ReadonlySet<string> = new Set([
  "ca_certificates",
  "oic_issuers",
  "clustering_data_planes",
  "parameters",
  "workspaces",
]);

/** Found by another field than `id`. Kong/kong@3.9.1 kong/db/schema/entities/parameters.lua */
export const KINDS_WITHOUT_ID: ReadonlySet<string> = new Set(["parameters"]);

/** Kong/kong@3.9.1 kong/db/schema/others/declarative_config.lua */
export const TOP_LEVEL_SETTINGS: ReadonlySet<string> = new Set([
  "_comment",
  "_format_version",
  "_ignore",
  "_transform",
]);
