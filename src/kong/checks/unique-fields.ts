/** Which fields no two entities of a kind and workspace may share, and which of them stand for the entity. */

/** The first is also what a config written by hand may name the entity by. */
const UNIQUE_FIELDS: ReadonlyMap<string, readonly string[]> = new Map([
  ["basicauth_credentials", ["username"]],
  ["consumer_groups", ["name"]],
  ["consumers", ["username", "custom_id"]],
  ["filter_chains", ["name"]],
  ["hmacauth_credentials", ["username"]],
  ["jwt_secrets", ["key"]],
  ["key_sets", ["name"]],
  ["keyauth_credentials", ["key"]],
  ["keys", ["name"]],
  ["oauth2_credentials", ["client_id"]],
  ["plugins", ["instance_name"]],
  ["routes", ["name"]],
  ["services", ["name"]],
  ["snis", ["name"]],
  ["upstreams", ["name"]],
  ["vaults", ["prefix"]],
  ["workspaces", ["name"]],
]);

/** Kong/kong@3.9.1 kong/db/schema/entities, kong/plugins/<name>/daos.lua: `unique = true`. */
export function uniqueFieldsOf(kind: string): readonly string[] {
  return UNIQUE_FIELDS.get(kind) ?? [];
}
