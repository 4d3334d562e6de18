import assert from "node:assert/strict";
import { inspect } from "node:util";
import { describe, it } from "vitest";
import { readSettings, type Settings } from "../../src/runtime/settings.ts";
import { type Environment, SettingsError } from "../../src/runtime/settings-reader.ts";
import {
  SETTINGS,
  type SettingDescription,
  type SettingName,
} from "../../src/runtime/settings-table.ts";

function faultsOf(environment: Environment): readonly string[] {
  try {
    readSettings(environment);
  } catch (error) {
    assert.ok(error instanceof SettingsError, String(error));
    return error.faults;
  }
  return [];
}

/** For each setting, values that are nonsense for it. Absent: any text is accepted. */
const NONSENSE: { readonly [Name in SettingName]?: readonly string[] } = {
  KONG_CLUSTER_CONTROL_PLANE: ["cp", "cp:", "cp:0", "cp:99999", "https://cp:8005", "a b:8005"],
  KONG_CLUSTER_MTLS: ["none", "pki_check_cn"],
  KONG_CLUSTER_SERVER_NAME: ["a b", "-"],
  KONG_CLUSTER_USE_PROXY: ["yes", "1", "true"],
  KONG_PROXY_SERVER: ["proxy:3128", "ftp://proxy", "http://proxy/path"],
  KONG_PROXY_SERVER_SSL_VERIFY: ["maybe"],
  KONG_CLUSTER_MAX_PAYLOAD: ["16m", "-1", "0", "1e99"],
  KONG_CLUSTER_DP_LABELS: ["a", "a=b", "a:b,"],
  KONG_PLUGINS: ["a,,b", "a b"],
  KONG_VERSION: ["3", "3.9", "latest", "3.9.1,", "3.9.1 3.8.0"],
  KONG_CLUSTER_FALLBACK_CONFIG_STORAGE: [
    "bucket",
    "ftp://x/y",
    "s3://",
    "azure://a/b",
    "s3://a/b,s3://c/d",
  ],
  KONG_CLUSTER_FALLBACK_CONFIG_EXPORT: ["yes"],
  KONG_CLUSTER_FALLBACK_CONFIG_IMPORT: ["yes"],
  KONG_CLUSTER_FALLBACK_CONFIG_EXPORT_DELAY: ["soon", "-1", "1e9"],
  KONG_CLUSTER_FALLBACK_EXPORT_S3_CONFIG: ["{", "[]", "7", "null"],
  AWS_CONFIG_STORAGE_ENDPOINT: ["minio:9000", "http://user:secret@minio:9000"],
  STORAGE_EMULATOR_HOST: ["fake-gcs"],
  NODE_TLS_REJECT_UNAUTHORIZED: ["0"],
  AZURE_AUTHORITY_HOST: ["login", "http://login", "https://a:secret@login"],
  AZURE_STORAGE_ENDPOINT: ["azurite", "http://a:secret@azurite", "{account}.blob"],
  KONG_FALLBACK_IMPORT_TO: ["/path", "file:relative", "ftp://x", "http://u:secret@kong:8001"],
  KONG_FALLBACK_FORCE: ["yes"],
  KONG_FALLBACK_ADAPT: ["yes"],
  KONG_FALLBACK_PROBE: ["ping"],
  KONG_FALLBACK_PROBE_TIMEOUT: ["0", "x"],
  KONG_FALLBACK_FILE_MODE: ["rw", "999", "7"],
  KONG_FALLBACK_READ_TIMEOUT: ["0"],
  KONG_FALLBACK_APPLY_TIMEOUT: ["0"],
  KONG_FALLBACK_ADMIN_URL: ["admin:8001", "http://a:secret@b"],
  KONG_FALLBACK_LISTEN: ["8005", "off", "0.0.0.0:99999"],
  KONG_FALLBACK_REMEMBER: ["yes"],
  KONG_FALLBACK_RECONNECT_TIME: ["-1", "3601", "soon"],
  KONG_FALLBACK_CONFIG_WAIT: ["0"],
  KONG_FALLBACK_RETRY_TIME: ["0", "3601"],
  KONG_FALLBACK_RECOVERY_TIME: ["-1"],
  KONG_FALLBACK_RELEASE_TIME: ["3601"],
  KONG_FALLBACK_REFRESH_INTERVAL: ["0.5", "1e9"],
  KONG_FALLBACK_MAX_CONNECTIONS: ["0", "1.5", "many"],
  KONG_FALLBACK_MAX_HANDSHAKES: ["0"],
  KONG_FALLBACK_SERVE_TARGET: ["kong:8001", "plane", "http://a:secret@b"],
  KONG_FALLBACK_SERVE_GRACE: ["-1"],
  KONG_FALLBACK_VERSION_MATCH: ["major", "any"],
  KONG_FALLBACK_ELECTION: ["on", "etcd"],
  KONG_FALLBACK_LEASE_TTL: ["0.5", "301"],
  KONG_FALLBACK_ELECTION_ID: ["Upper", "-a", "a b"],
  KONG_FALLBACK_ELECTION_NAMESPACE: ["Kong", "a.b"],
  KONG_FALLBACK_GUARD: ["50", "services=101", "*=50,*=40", "on"],
