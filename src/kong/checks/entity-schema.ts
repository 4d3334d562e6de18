/** What Kong's entities are: their kinds by version and edition, their fields, what they refer to, what must be unique. */

import type { KongVersion } from "../version.ts";
import type { Row } from "./entity-title.ts";
import { type UnknownField, unknownFields } from "./fields.ts";

/** Where a kind comes from. `since` and `before` are `major.minor`; absent: from 2.8 on, to this day. */
export type KindOrigin =
  | { readonly kind: "core"; readonly since?: string; readonly before?: string }
  /** Known only where the plugin is enabled, for it brings the kind along. */
  | { readonly kind: "plugin"; readonly plugin: string }
  | { readonly kind: "enterprise"; readonly since?: string };

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
  "cloned_plugins",
  "consumer_group_consumers",
  "consumer_group_plugins",
  "consumer_groups",
  "custom_plugins",
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
/** `major.minor` each; of the others nobody says it. https://developer.konghq.com: entities/partial, custom-plugins/streaming-plugins, how-to/clone-gateway-plugin */
const ENTERPRISE_SINCE: Readonly<Record<string, string>> = {
  cloned_plugins: "3.15",
  custom_plugins: "3.15",
  partials: "3.10",
};
const ENTERPRISE_PREFIX = /^rbac_/;

/** Undefined for a kind of a custom plugin, of an Enterprise not described in public, or of no Kong. */
export function kindOrigin(name: string): KindOrigin | undefined {
  const isEnterprise = ENTERPRISE_KINDS.has(name) || ENTERPRISE_PREFIX.test(name);
  if (!isEnterprise) return OPEN_SOURCE_KINDS.get(name);
  const since = ENTERPRISE_SINCE[name];
  return { kind: "enterprise", ...(since !== undefined && { since }) };
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

/** Kong/kong@3.9.1 kong/db/schema/others/declarative_config.lua */
export const TOP_LEVEL_SETTINGS: ReadonlySet<string> = new Set([
  "_comment",
  "_format_version",
  "_ignore",
  "_transform",
]);

/** Enterprise's, by its public Admin API, https://developer.konghq.com/api/gateway/admin-ee/; in no open-source version. */
const ENTERPRISE_FIELDS: ReadonlyMap<string, ReadonlySet<string>> = new Map([
  ["plugins", new Set(["condition", "consumer_group", "ordering", "partials"])],
]);

/**
 * Any entity may carry them. `ws_id` is looked at by itself. `updated_at` is never validated (Kong/kong@3.3.1 kong/db/schema/init.lua);
 * those with an underscore: kong/db/schema/others/declarative_config.lua.
 */
const FIELDS_OF_ALL: ReadonlySet<string> = new Set([
  "_comment",
  "_ignore",
  "ttl",
  "updated_at",
  "ws_id",
]);

/** Fields of the entity, and of a bundled plugin's `config`, that open-source Kong of this version is known not to have. */
export function foreignFields(
  kind: string,
  row: Row,
  version: KongVersion,
): readonly UnknownField[] {
  const enterprise = ENTERPRISE_FIELDS.get(kind);
  const fields = unknownFields({ kind }, row, version).filter(
    ({ path: [field = "", ...inner] }) => {
      if (inner.length > 0) return true;
      return !enterprise?.has(field) && !FIELDS_OF_ALL.has(field) && !mayBeNested(field);
    },
  );
  for (const field of enterprise ?? []) {
    if (field in row) fields.push({ path: [field], since: undefined, value: row[field] });
  }
  const { name } = row;
  if (kind !== "plugins" || typeof name !== "string") return fields;
  for (const field of unknownFields({ plugin: name }, row["config"], version)) {
    fields.push({ ...field, path: ["config", ...field.path] });
  }
  return fields;
}

/** In a config written by hand entities stand inside those that they belong to: a service has `routes`. */
function mayBeNested(field: string): boolean {
  const origin = kindOrigin(field)?.kind;
  return origin === "core" || origin === "plugin";
}

/**
 * Backends of vaults that come with Enterprise only: https://developer.konghq.com/gateway/entities/vault/.
 * Open-source Kong has `env` and what KONG_VAULTS names.
 */
export const ENTERPRISE_VAULT_BACKENDS: ReadonlySet<string> = new Set([
  "aws",
  "azure",
  "conjur",
  "gcp",
  "hcv",
]);

export interface ForeignKey {
  readonly field: string;
  /** Kind of the entity it names. */
  readonly kind: string;
}

const CONSUMER: ForeignKey = { field: "consumer", kind: "consumers" };
const SERVICE: ForeignKey = { field: "service", kind: "services" };
const ROUTE: ForeignKey = { field: "route", kind: "routes" };
const CLIENT_CERTIFICATE: ForeignKey = { field: "client_certificate", kind: "certificates" };
const CONSUMER_GROUP: ForeignKey = { field: "consumer_group", kind: "consumer_groups" };
const CREDENTIAL: ForeignKey = { field: "credential", kind: "oauth2_credentials" };

/**
 * Kong/kong@3.9.1 kong/db/schema/entities and kong/plugins/<name>/daos.lua (`type = "foreign"`), and
 * Enterprise's as its public documentation shows them. A field that a version does not have is absent
 * there.
 */
const FOREIGN_KEYS: ReadonlyMap<string, readonly ForeignKey[]> = new Map([
  ["acls", [CONSUMER]],
  ["basicauth_credentials", [CONSUMER]],
  ["consumer_group_consumers", [CONSUMER, CONSUMER_GROUP]],
  ["consumer_group_plugins", [CONSUMER_GROUP]],
  ["degraphql_routes", [SERVICE]],
  ["filter_chains", [SERVICE, ROUTE]],
  ["graphql_ratelimiting_advanced_cost_decoration", [SERVICE]],
  ["hmacauth_credentials", [CONSUMER]],
  ["jwt_secrets", [CONSUMER]],
  ["keyauth_credentials", [CONSUMER]],
  ["keyauth_enc_credentials", [CONSUMER]],
  ["keys", [{ field: "set", kind: "key_sets" }]],
  ["mtls_auth_credentials", [CONSUMER, { field: "ca_certificate", kind: "ca_certificates" }]],
  ["oauth2_authorization_codes", [CREDENTIAL, SERVICE, { field: "plugin", kind: "plugins" }]],
  ["oauth2_credentials", [CONSUMER]],
  ["oauth2_tokens", [CREDENTIAL, SERVICE]],
  // `partials`: Enterprise since 3.10, https://developer.konghq.com/gateway/entities/partial/
  ["plugins", [SERVICE, ROUTE, CONSUMER, CONSUMER_GROUP, { field: "partials", kind: "partials" }]],
  ["routes", [SERVICE]],
  // `ca_certificates` is a list of ids like any other to Kong: what they name need not exist.
  ["services", [CLIENT_CERTIFICATE]],
  ["snis", [{ field: "certificate", kind: "certificates" }]],
  ["targets", [{ field: "upstream", kind: "upstreams" }]],
  ["upstreams", [CLIENT_CERTIFICATE]],
]);

/** Empty for kinds that name no other and for those of custom plugins, of which nothing is known. */
export function foreignKeysOf(kind: string): readonly ForeignKey[] {
  return FOREIGN_KEYS.get(kind) ?? [];
}

/**
 * What a foreign key names: ids in the flat form, `{"id": ...}` in the Admin API's, lists of either;
 * empty for null and for anything else. Text of a config written by hand may also be a name.
 */
export function referencesIn(value: unknown): readonly string[] {
  if (typeof value === "string") return [value];
  if (Array.isArray(value)) return value.flatMap(referencesIn);
  if (typeof value !== "object" || value === null || !("id" in value)) return [];
  return typeof value.id === "string" ? [value.id] : [];
}

/** The first is also what a config written by hand may name the entity by. */
const UNIQUE_FIELDS: ReadonlyMap<string, readonly string[]> = new Map([
  ["acme_storage", ["key"]],
  ["basicauth_credentials", ["username"]],
  ["ca_certificates", ["cert_digest"]],
  ["cloned_plugins", ["name"]],
  ["consumer_groups", ["name"]],
  ["consumers", ["username", "custom_id"]],
  ["custom_plugins", ["name"]],
  ["filter_chains", ["name", "service", "route"]],
  ["hmacauth_credentials", ["username"]],
  ["jwt_secrets", ["key"]],
  ["key_sets", ["name"]],
  ["keyauth_credentials", ["key"]],
  ["keyauth_enc_credentials", ["key"]],
  ["keys", ["name"]],
  ["oauth2_authorization_codes", ["code"]],
  ["oauth2_credentials", ["client_id"]],
  ["oauth2_tokens", ["access_token", "refresh_token"]],
  ["parameters", ["key"]],
  ["plugins", ["instance_name"]],
  ["routes", ["name"]],
  ["services", ["name"]],
  ["sessions", ["session_id"]],
  ["snis", ["name"]],
  ["upstreams", ["name"]],
  ["vaults", ["prefix"]],
  ["vaults_beta", ["prefix"]],
  ["workspaces", ["name"]],
]);

/**
 * Kong/kong@3.9.1 kong/db/schema/entities, kong/plugins/<name>/daos.lua: `unique = true`, foreign keys
 * among them; of Enterprise's kinds what its documentation calls unique.
 */
export function uniqueFieldsOf(kind: string): readonly string[] {
  return UNIQUE_FIELDS.get(kind) ?? [];
}

/** Unique in the whole of Kong, not in a workspace only. Kong/kong@3.9.1: `unique_across_ws = true` */
export const KINDS_UNIQUE_EVERYWHERE: ReadonlySet<string> = new Set([
  "cloned_plugins",
  "custom_plugins",
  "snis",
  "vaults",
  "vaults_beta",
]);

/** The kind's foreign key to `parent`, by which its entities may stand inside one of that kind in a config written by hand. */
export function nestingKeyOf(kind: string, parent: string): string | undefined {
  return foreignKeysOf(kind).find((key) => key.kind === parent)?.field;
}
