/** Which fields of which entities name another entity. */

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
