/** Which fields the entities and the plugins of open-source Kong have, nested ones too, and since when. */

import type { KongVersion } from "../version.ts";

/**
 * A field is its name, then `@` and the first `major.minor` that has it, unless that is the one its
 * record came with, or 3.4, the oldest of which anything is known here; then in braces the fields of
 * the record, or of the records in a list. A field without braces holds anything.
 *
 * Made of what running Kongs of 3.4.2, 3.5.0, 3.6.1, 3.7.1, 3.8.1, 3.9.1 and the development head
 * 3.10.0 answered to `GET /schemas/<kind>` and `GET /schemas/plugins/<name>`: the union of names, each
 * with the first version that had it. Names that a later version dropped stay, for it takes them as old
 * spellings of others (`shorthand_fields`). Added by hand: `expression` and `priority` of routes, which
 * only the router flavour `expressions` has, and `url` of services, for a config written by hand.
 */
const ENTITIES = `
acls: consumer created_at group id tags
acme_storage: created_at id key value
basicauth_credentials: consumer created_at id password tags username
ca_certificates: cert cert_digest created_at id tags updated_at
certificates: cert cert_alt created_at id key key_alt snis tags updated_at
consumers: created_at custom_id id tags updated_at username
filter_chains: created_at enabled filters{config enabled name} id name route service tags updated_at
hmacauth_credentials: consumer created_at id secret tags username
jwt_secrets: algorithm consumer created_at id key rsa_public_key secret tags
key_sets: created_at id name tags updated_at
keyauth_credentials: consumer created_at id key tags
keys: created_at id jwk kid name pem{private_key public_key} set tags updated_at
oauth2_authorization_codes: authenticated_userid challenge challenge_method code created_at credential id plugin scope service
oauth2_credentials: client_id client_secret client_type consumer created_at hash_secret id name redirect_uris tags
oauth2_tokens: access_token authenticated_userid created_at credential expires_in id refresh_token scope service token_type
parameters: created_at key value
plugins: config consumer created_at enabled id instance_name name protocols route service tags updated_at
routes: created_at destinations{ip port} expression headers hosts https_redirect_status_code id methods name path_handling paths preserve_host priority protocols regex_priority request_buffering response_buffering service snis sources{ip port} strip_path tags updated_at
services: ca_certificates client_certificate connect_timeout created_at enabled host id name path port protocol read_timeout retries tags tls_verify tls_verify_depth updated_at url write_timeout
sessions: created_at data expires id session_id
snis: certificate created_at id name tags updated_at
targets: created_at id tags target updated_at upstream weight
upstreams: algorithm client_certificate created_at hash_fallback hash_fallback_header hash_fallback_query_arg hash_fallback_uri_capture hash_on hash_on_cookie hash_on_cookie_path hash_on_header hash_on_query_arg hash_on_uri_capture healthchecks{active{concurrency headers healthy{http_statuses interval successes} http_path https_sni https_verify_certificate timeout type unhealthy{http_failures http_statuses interval tcp_failures timeouts}} passive{healthy{http_statuses successes} type unhealthy{http_failures http_statuses tcp_failures timeouts}} threshold} host_header id name slots tags updated_at use_srv_name
vaults: config created_at description id name prefix tags updated_at
workspaces: comment config created_at id meta name updated_at
`;

/** The same of the plugins' `config`. */
const PLUGINS = `
acl: allow always_use_authenticated_groups@3.8 deny hide_groups_header
acme: account_email account_key{key_id key_set} allow_any_domain api_uri cert_type domains eab_hmac_key eab_kid enable_ipv4_common_name fail_backoff_minutes preferred_chain renew_threshold_days rsa_key_size storage storage_config{consul{host https kv_path port timeout token} kong redis{auth database extra_options@3.6{namespace scan_count} host namespace password@3.6 port scan_count@3.5 server_name@3.6 ssl ssl_server_name ssl_verify timeout@3.6 username@3.6} shm{shm_name} vault{auth_method auth_path auth_role host https jwt_path kv_path port timeout tls_server_name tls_verify token}} tos_accepted
ai-prompt-decorator: llm_format@3.9 max_request_body_size@3.8 prompts@3.6{append{content role} prepend{content role}}
ai-prompt-guard: allow_all_conversation_history@3.6 allow_patterns@3.6 deny_patterns@3.6 llm_format@3.9 match_all_roles@3.8 max_request_body_size@3.8
ai-prompt-template: allow_untemplated_requests@3.6 log_original_request@3.6 max_request_body_size@3.8 templates@3.6{name template}
ai-proxy: auth@3.6{allow_override@3.8 aws_access_key_id@3.8 aws_secret_access_key@3.8 gcp_service_account_json@3.8 gcp_use_service_account@3.8 header_name header_value param_location param_name param_value} llm_format@3.9 logging@3.6{log_payloads log_statistics} max_request_body_size@3.8 model@3.6{name options{anthropic_version azure_api_version azure_deployment_id azure_instance bedrock@3.8{aws_region} gemini@3.8{api_endpoint location_id project_id} huggingface@3.9{use_cache wait_for_model} input_cost@3.8 llama2_format max_tokens mistral_format output_cost@3.8 temperature top_k top_p upstream_path@3.7 upstream_url} provider} model_name_header@3.8 response_streaming@3.7 route_type@3.6
ai-request-transformer: http_proxy_host@3.6 http_proxy_port@3.6 http_timeout@3.6 https_proxy_host@3.6 https_proxy_port@3.6 https_verify@3.6 llm@3.6{auth{allow_override@3.8 aws_access_key_id@3.8 aws_secret_access_key@3.8 gcp_service_account_json@3.8 gcp_use_service_account@3.8 header_name header_value param_location param_name param_value} logging{log_payloads log_statistics} model{name options{anthropic_version azure_api_version azure_deployment_id azure_instance bedrock@3.8{aws_region} gemini@3.8{api_endpoint location_id project_id} huggingface@3.9{use_cache wait_for_model} input_cost@3.8 llama2_format max_tokens mistral_format output_cost@3.8 temperature top_k top_p upstream_path@3.7 upstream_url} provider} route_type} max_request_body_size@3.8 prompt@3.6 transformation_extract_pattern@3.6
ai-response-transformer: http_proxy_host@3.6 http_proxy_port@3.6 http_timeout@3.6 https_proxy_host@3.6 https_proxy_port@3.6 https_verify@3.6 llm@3.6{auth{allow_override@3.8 aws_access_key_id@3.8 aws_secret_access_key@3.8 gcp_service_account_json@3.8 gcp_use_service_account@3.8 header_name header_value param_location param_name param_value} logging{log_payloads log_statistics} model{name options{anthropic_version azure_api_version azure_deployment_id azure_instance bedrock@3.8{aws_region} gemini@3.8{api_endpoint location_id project_id} huggingface@3.9{use_cache wait_for_model} input_cost@3.8 llama2_format max_tokens mistral_format output_cost@3.8 temperature top_k top_p upstream_path@3.7 upstream_url} provider} route_type} max_request_body_size@3.8 parse_llm_response_json_instructions@3.6 prompt@3.6 transformation_extract_pattern@3.6
aws-lambda: aws_assume_role_arn aws_imds_protocol_version aws_key aws_region aws_role_session_name aws_secret aws_sts_endpoint_url@3.8 awsgateway_compatible base64_encode_body disable_https empty_arrays_mode@3.8 forward_request_body forward_request_headers forward_request_method forward_request_uri function_name host invocation_type is_proxy_integration keepalive log_type port proxy_url qualifier skip_large_bodies timeout unhandled_status
azure-functions: apikey appname clientid functionname hostdomain https https_verify keepalive routeprefix timeout
basic-auth: anonymous hide_credentials realm@3.6
bot-detection: allow deny
correlation-id: echo_downstream generator header_name
cors: allow_origin_absent@3.10 credentials exposed_headers headers max_age methods origins preflight_continue private_network@3.5
datadog: consumer_tag flush_timeout host metrics{consumer_identifier name sample_rate stat_type tags} port prefix queue{concurrency_limit@3.8 initial_retry_delay max_batch_size max_bytes max_coalescing_delay max_entries max_retry_delay max_retry_time} queue_size retry_count service_name_tag status_tag
file-log: custom_fields_by_lua path reopen
grpc-gateway: proto
grpc-web: allow_origin_header pass_stripped_path proto
hmac-auth: algorithms anonymous clock_skew enforce_headers hide_credentials realm@3.8 validate_request_body
http-log: content_type custom_fields_by_lua flush_timeout headers http_endpoint keepalive method queue{concurrency_limit@3.8 initial_retry_delay max_batch_size max_bytes max_coalescing_delay max_entries max_retry_delay max_retry_time} queue_size retry_count timeout
ip-restriction: allow deny message status
jwt: anonymous claims_to_verify cookie_names header_names key_claim_name maximum_expiration realm@3.8 run_on_preflight secret_is_base64 uri_param_names
key-auth: anonymous hide_credentials key_in_body key_in_header key_in_query key_names realm@3.7 run_on_preflight
ldap-auth: anonymous attribute base_dn cache_ttl header_type hide_credentials keepalive ldap_host ldap_port ldaps realm@3.8 start_tls timeout verify_ldap_host
loggly: client_errors_severity custom_fields_by_lua host key log_level port server_errors_severity successful_severity tags timeout
oauth2: accept_http_if_already_terminated anonymous auth_header_name enable_authorization_code enable_client_credentials enable_implicit_grant enable_password_grant global_credentials hide_credentials mandatory_scope pkce provision_key realm@3.8 refresh_token_ttl reuse_refresh_token scopes token_expiration
opentelemetry: batch_flush_delay batch_span_count connect_timeout endpoint header_type headers http_response_header_for_traceid logs_endpoint@3.8 propagation@3.7{clear default_format extract inject} queue{concurrency_limit@3.8 initial_retry_delay max_batch_size max_bytes max_coalescing_delay max_entries max_retry_delay max_retry_time} read_timeout resource_attributes sampling_rate@3.6 send_timeout traces_endpoint@3.8
post-function: access body_filter certificate header_filter log rewrite
pre-function: access body_filter certificate header_filter log rewrite
prometheus: ai_metrics@3.8 bandwidth_metrics latency_metrics per_consumer status_code_metrics upstream_health_metrics wasm_metrics@3.10
proxy-cache: cache_control cache_ttl content_type ignore_uri_case memory{dictionary_name} request_method response_code response_headers@3.5{X-Cache-Key X-Cache-Status age} storage_ttl strategy vary_headers vary_query_params
rate-limiting: day error_code error_message fault_tolerant header_name hide_client_headers hour limit_by minute month path policy redis@3.6{database host password port server_name ssl ssl_verify timeout username} redis_database redis_host redis_password redis_port redis_server_name redis_ssl redis_ssl_verify redis_timeout redis_username second sync_rate year
redirect: keep_incoming_path@3.9 location@3.9 status_code@3.9
request-size-limiting: allowed_payload_size require_content_length size_unit
request-termination: body content_type echo message status_code trigger
request-transformer: add{body headers querystring} append{body headers querystring} http_method remove{body headers querystring} rename{body headers querystring} replace{body headers querystring uri}
response-ratelimiting: block_on_first_violation fault_tolerant header_name hide_client_headers limit_by limits policy redis@3.6{database host password port server_name ssl ssl_verify timeout username} redis_database redis_host redis_password redis_port redis_server_name redis_ssl redis_ssl_verify redis_timeout redis_username
response-transformer: add{headers json json_types} append{headers json json_types} remove{headers json} rename{headers json@3.8} replace{headers json json_types}
session: absolute_timeout audience cookie_discard cookie_domain cookie_http_only cookie_httponly cookie_idletime cookie_lifetime cookie_name cookie_path cookie_persistent cookie_renew cookie_same_site cookie_samesite cookie_secure hash_subject@3.10 idling_timeout logout_methods logout_post_arg logout_query_arg read_body_for_logout@3.5 remember remember_absolute_timeout remember_cookie_name remember_rolling_timeout request_headers response_headers rolling_timeout secret stale_ttl storage store_metadata@3.10
standard-webhooks: secret_v1@3.8 tolerance_second@3.8
statsd: allow_status_codes consumer_identifier_default flush_timeout host hostname_in_prefix metrics{consumer_identifier name sample_rate service_identifier stat_type workspace_identifier} port prefix queue{concurrency_limit@3.8 initial_retry_delay max_batch_size max_bytes max_coalescing_delay max_entries max_retry_delay max_retry_time} queue_size retry_count service_identifier_default tag_style udp_packet_size use_tcp workspace_identifier_default
syslog: client_errors_severity custom_fields_by_lua facility log_level server_errors_severity successful_severity
tcp-log: custom_fields_by_lua host keepalive port timeout tls tls_sni
udp-log: custom_fields_by_lua host port timeout
zipkin: connect_timeout default_header_type default_service_name header_type http_endpoint http_response_header_for_traceid http_span_name include_credential local_service_name phase_duration_flavor propagation@3.7{clear default_format extract inject} queue{concurrency_limit@3.8 initial_retry_delay max_batch_size max_bytes max_coalescing_delay max_entries max_retry_delay max_retry_time} read_timeout sample_ratio send_timeout static_tags{name value} tags_header traceid_byte_count
`;

/** Versions of which it is known which fields they do not have: those of these minor versions. */
const KNOWN_VERSIONS = /^3\.[4-9]\./;

/** A field that a Kong does not have. */
export interface UnknownField {
  /** Names from the outermost; places in lists are left out. */
  readonly path: readonly string[];
  /** `major.minor` with which it came; undefined where no version is known to have it. */
  readonly since: string | undefined;
  readonly value: unknown;
}

/**
 * Fields of `value` that open-source Kong of this version does not have. `of`: the kind of an entity, or
 * the name of a plugin whose `config` it is; of others nothing is known. Before 3.4 and after 3.9 only
 * those are named that are known to have come later.
 */
export function unknownFields(
  of: { readonly kind: string } | { readonly plugin: string },
  value: unknown,
  version: KongVersion,
): readonly UnknownField[] {
  const fields = "kind" in of ? entities().get(of.kind) : plugins().get(of.plugin);
  if (fields === undefined) return [];
  const unknown: UnknownField[] = [];
  const search: Search = {
    release: releaseOf(version),
    isKnown: KNOWN_VERSIONS.test(version),
    found: (path, since, found) => unknown.push({ path, since, value: found }),
  };
  collect(value, fields, [], search);
  return unknown;
}

interface Search {
  readonly release: number;
  readonly isKnown: boolean;
  readonly found: (path: readonly string[], since: string | undefined, value: unknown) => void;
}

/** Runs over every entity of a config: what is in order costs a look-up. */
function collect(value: unknown, fields: Fields, path: readonly string[], search: Search): void {
  if (typeof value !== "object" || value === null) return;
  if (Array.isArray(value)) {
    for (const item of value) collect(item, fields, path, search);
    return;
  }
  for (const name of Object.keys(value)) {
    const inner: unknown = Reflect.get(value, name);
    const field = fields.get(name);
    if (field === undefined) {
      if (search.isKnown) search.found([...path, name], undefined, inner);
    } else if (field.release > search.release) {
      search.found([...path, name], field.since, inner);
    } else if (field.fields !== undefined && inner !== null) {
      collect(inner, field.fields, [...path, name], search);
    }
  }
}

/** To compare by major and minor number. */
function releaseOf(version: string): number {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  return major * 1_000 + minor;
}

type Fields = ReadonlyMap<string, Field>;

interface Field {
  readonly since: string;
  /** The same as a number. */
  readonly release: number;
  /** Of a record, or of the records in a list; absent: it holds anything. */
  readonly fields?: Fields;
}

// Read when a config is first checked, not at every start.
const entities = once(() => parseTable(ENTITIES));
const plugins = once(() => parseTable(PLUGINS));

function once<T>(make: () => T): () => T {
  let made: T | undefined;
  return () => {
    made ??= make();
    return made;
  };
}

function parseTable(text: string): ReadonlyMap<string, Fields> {
  const lines = text.trim().split("\n");
  return new Map(
    lines.map((line) => {
      const [name = "", ...fields] = line.split(": ");
      return [name, parseFields(fields.join(": "))] as const;
    }),
  );
}

function parseFields(text: string): Fields {
  const root = new Map<string, Field>();
  const open = [{ fields: root, since: "0.0" }];
  for (const [, name = "", since, brace] of text.matchAll(/([^\s{}@]+)(?:@([\d.]+))?(\{)?|\}/g)) {
    const outer = open.at(-1);
    if (outer === undefined) break;
    if (name === "") {
      open.pop();
      continue;
    }
    const first = since ?? outer.since;
    const field = { since: first, release: releaseOf(first) };
    if (brace === undefined) {
      outer.fields.set(name, field);
    } else {
      const fields = new Map<string, Field>();
      outer.fields.set(name, { ...field, fields });
      open.push({ since: first, fields });
    }
  }
  return root;
}
