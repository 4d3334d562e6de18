/** Which fields open-source Kong's entities have. */

import type { KongVersion } from "../version.ts";
import { kindOrigin } from "./entity-kinds.ts";

/**
 * As control planes of 3.4.2 and 3.9.1 sent them, who write every field, null where it is not set
 * (test/fixtures/captures); and of routes those of the flavour `expressions`: Kong/kong@3.9.1
 * kong/db/schema/entities/routes.lua; and `url`, by which a service written by hand may give its
 * address. The kinds that nobody recorded are not listed.
 */
const FIELDS: ReadonlyMap<string, ReadonlySet<string>> = new Map(
  [
    ["acls", "consumer created_at group id tags"],
    ["basicauth_credentials", "consumer created_at id password tags username"],
    ["ca_certificates", "cert cert_digest created_at id tags updated_at"],
    ["certificates", "cert cert_alt created_at id key key_alt snis tags updated_at"],
    ["consumers", "created_at custom_id id tags updated_at username"],
    ["hmacauth_credentials", "consumer created_at id secret tags username"],
    ["jwt_secrets", "algorithm consumer created_at id key rsa_public_key secret tags"],
    ["key_sets", "created_at id name tags updated_at"],
    ["keyauth_credentials", "consumer created_at id key tags"],
    ["keys", "created_at id jwk kid name pem set tags updated_at"],
    [
      "oauth2_credentials",
      "client_id client_secret client_type consumer created_at hash_secret id name redirect_uris tags",
    ],
    [
      "plugins",
      "config consumer created_at enabled id instance_name name protocols route service tags updated_at",
    ],
    [
      "routes",
      "created_at destinations expression headers hosts https_redirect_status_code id methods name path_handling paths preserve_host priority protocols regex_priority request_buffering response_buffering service snis sources strip_path tags updated_at",
    ],
    [
      "services",
      "ca_certificates client_certificate connect_timeout created_at enabled host id name path port protocol read_timeout retries tags tls_verify tls_verify_depth updated_at url write_timeout",
    ],
    ["snis", "certificate created_at id name tags updated_at"],
    ["targets", "created_at id tags target updated_at upstream weight"],
    [
      "upstreams",
      "algorithm client_certificate created_at hash_fallback hash_fallback_header hash_fallback_query_arg hash_fallback_uri_capture hash_on hash_on_cookie hash_on_cookie_path hash_on_header hash_on_query_arg hash_on_uri_capture healthchecks host_header id name slots tags updated_at use_srv_name",
    ],
    ["vaults", "config created_at description id name prefix tags updated_at"],
    ["workspaces", "comment config created_at id meta name updated_at"],
  ].map(([kind = "", fields = ""]) => [kind, new Set(fields.split(" "))] as const),
);

/** Enterprise's, by its public Admin API, https://developer.konghq.com/api/gateway/admin-ee/; in no open-source version. */
const ENTERPRISE_FIELDS: ReadonlyMap<string, ReadonlySet<string>> = new Map([
  ["plugins", new Set(["condition", "consumer_group", "ordering", "partials"])],
]);

/**
 * Any entity may carry them. `updated_at` is never validated (Kong/kong@3.3.1 kong/db/schema/init.lua);
 * those with an underscore: kong/db/schema/others/declarative_config.lua.
 */
const FIELDS_OF_ALL: ReadonlySet<string> = new Set(["_comment", "_ignore", "ttl", "updated_at"]);

/** From 3.4 to 3.9, between which no field of these came or went. */
const RECORDED_VERSIONS = /^3\.[4-9]\./;

/** Whether open-source Kong is known not to have the field; false wherever that is not sure. */
export function isForeignField(kind: string, field: string, version: KongVersion): boolean {
  if (ENTERPRISE_FIELDS.get(kind)?.has(field)) return true;
  const fields = FIELDS.get(kind);
  if (fields === undefined || fields.has(field) || FIELDS_OF_ALL.has(field)) return false;
  return RECORDED_VERSIONS.test(version) && !mayBeNested(field);
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
