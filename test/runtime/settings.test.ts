import assert from "node:assert/strict";
import { inspect } from "node:util";
import { describe, it } from "vitest";
import { SETTINGS, type Setting, type SettingName } from "../../src/runtime/settings/table.ts";
import {
  type Environment,
  readSettings,
  type Settings,
  SettingsError,
} from "../../src/runtime/settings.ts";

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
  KONG_CLUSTER_MTLS: ["none", "PKI"],
  KONG_CLUSTER_SERVER_NAME: ["a b", "-"],
  KONG_CLUSTER_USE_PROXY: ["yes", "1", "True"],
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
  AWS_CONFIG_STORAGE_ENDPOINT: [
    "minio:9000",
    "http://user:secret@minio:9000",
    "http://minio:9000?sig=secret",
    "http://minio:9000#secret",
    "http://minio:9000/#",
  ],
  STORAGE_EMULATOR_HOST: ["ftp://fake-gcs", "a:secret@fake-gcs", "a b"],
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
  KONG_FALLBACK_ELECTION_ID: ["Upper", "-a", "a b", "a".repeat(201)],
  KONG_FALLBACK_ELECTION_NAMESPACE: ["Kong", "a.b"],
  KONG_FALLBACK_GUARD: ["50", "services=101", "*=50,*=40", "on"],
  KONG_FALLBACK_REHEARSAL_URL: [
    "kong:8001",
    "http://a:secret@b",
    "3.9=http://a",
    "3.9.1=a",
    "3.9.1=http://a,3.9.1=http://b",
  ],
  KONG_FALLBACK_REHEARSAL_STATUS_URL: ["kong:8007", "3.9.1=http://a:secret@b"],
  KONG_FALLBACK_REHEARSAL: ["on", "off"],
  KONG_FALLBACK_REHEARSAL_TIMEOUT: ["0", "soon"],
  KONG_FALLBACK_CHECKS: ["on", "error"],
  KONG_FALLBACK_REQUIRE_REHEARSED: ["yes"],
  KONG_FALLBACK_ADMIN_TOKEN: ["secret\nsecret", "sécret"],
  KONG_FALLBACK_HISTORY_MAX_COUNT: ["0", "50001", "all"],
  KONG_FALLBACK_HISTORY_MAX_AGE: ["0", "1.5"],
  KONG_FALLBACK_HISTORY_MAX_BYTES: ["0", "1G"],
  KUBERNETES_SERVICE_PORT: ["0", "https"],
  KONG_FALLBACK_STATUS_LISTEN: ["8010", "on"],
  KONG_FALLBACK_MAX_CONFIG_BYTES: ["1", "all"],
  KONG_FALLBACK_HASH_CHECK_MAX_BYTES: ["-1"],
  KONG_FALLBACK_STORE_TIMEOUT: ["0"],
  KONG_FALLBACK_SHUTDOWN_TIMEOUT: ["0"],
  KONG_LOG_LEVEL: ["verbose", "INFO"],
};

describe("settings", () => {
  it("has the documented defaults, and nothing is required before a command asks for it", () => {
    const settings = readSettings({});
    assert.equal(settings.clusterMtls, "shared");
    assert.equal(settings.clusterMaxPayloadBytes, 16_777_216);
    assert.equal(settings.exportDelayMs, 60_000);
    assert.equal(settings.probe, "config");
    assert.equal(settings.probeTimeoutMs, 10_000);
    assert.equal(settings.fileMode, 0o640);
    assert.deepEqual(settings.statusListen, { host: "127.0.0.1", port: 8010 });
    assert.deepEqual(settings.listen, { host: "127.0.0.1", port: 8005 });
    assert.equal(settings.remember, true);
    assert.equal(settings.reconnectMs, 10_000);
    assert.equal(settings.configWaitMs, 10_000);
    assert.equal(settings.retryMs, 5_000);
    assert.equal(settings.recoveryMs, 10_000);
    assert.equal(settings.releaseMs, 30_000);
    assert.equal(settings.refreshMs, 30_000);
    assert.equal(settings.maxConnections, 4_096);
    assert.equal(settings.maxHandshakesPerSecond, 200);
    assert.equal(settings.serveTarget, undefined);
    assert.equal(settings.serveGraceMs, 10_000);
    assert.equal(settings.logLevel, "info");
    assert.deepEqual(settings.storages, []);
    assert.equal(settings.versionMatch, "patch");
    assert.equal(settings.election, "store");
    assert.equal(settings.leaseTtlMs, 15_000);
    assert.equal(settings.electionId, "kong-fallback-exporter");
    assert.equal(settings.guard.kind === "on" && settings.guard.maxShrinkPercent, 50);
    assert.equal(settings.historyMaxCount, 50);
    assert.equal(settings.historyMaxAgeMs, 90 * 86_400_000);
    assert.equal(settings.historyMaxBytes, 2 ** 30);
    assert.equal(settings.kubernetesService, undefined);
    assert.equal(settings.controlPlane, undefined);
    assert.equal(settings.checks, "warn");
    assert.equal(settings.requireRehearsed, false);
    assert.ok(Object.isFrozen(settings));
  });

  it("accepts every example and every default of the table", () => {
    for (const [name, description] of Object.entries<Setting>(SETTINGS)) {
      const proxy = { KONG_PROXY_SERVER: "http://proxy:3128" };
      assert.deepEqual(faultsOf({ ...proxy, [name]: description.example }), [], name);
      assert.deepEqual(faultsOf({ ...proxy, [name]: description.default }), [], name);
    }
  });

  it("takes a variable set to nothing as not set", () => {
    const nothing = Object.fromEntries(Object.keys(SETTINGS).map((name) => [name, ""]));
    assert.deepEqual(inspect(readSettings(nothing)), inspect(readSettings({})));
  });

  for (const [name, values] of Object.entries(NONSENSE)) {
    it(`refuses nonsense in ${name}, naming it and not repeating the value`, () => {
      for (const value of values) {
        const [fault = "", ...others] = faultsOf({ [name]: value });
        assert.ok(fault.startsWith(`${name}: `), `${value}: ${fault}`);
        assert.deepEqual(others, []);
        assert.ok(!fault.includes("secret"), fault);
      }
    });
  }

  it("tells all faults in one message", () => {
    const nonsense = Object.fromEntries(
      Object.entries(NONSENSE).map(([name, [value]]) => [name, value]),
    );
    const faults = faultsOf(nonsense);
    assert.equal(faults.length, Object.keys(NONSENSE).length);
    for (const name of Object.keys(NONSENSE)) {
      assert.equal(faults.filter((fault) => fault.startsWith(`${name}: `)).length, 1, name);
    }
    const error = new SettingsError(faults);
    assert.equal(error.exitStatus, 2);
    for (const fault of faults) assert.ok(error.message.includes(fault));
  });

  it("takes a value without the blanks, line ends and byte order mark around it, as secrets are pasted", () => {
    const settings = readSettings({
      KONG_FALLBACK_ADMIN_TOKEN: "token\n",
      KONG_CLUSTER_CONTROL_PLANE: " cp:8005\r\n",
      KONG_VERSION: "\uFEFF3.9.1\n",
      KONG_FALLBACK_ADMIN_URL: "http://kong:8001\n",
      KONG_FALLBACK_STATE_DIR: "\n",
    });
    assert.equal(settings.adminToken?.reveal(), "token");
    assert.deepEqual(settings.controlPlane, { host: "cp", port: 8005 });
    assert.deepEqual(settings.kongVersions, ["3.9.1"]);
    assert.equal(settings.adminUrl, "http://kong:8001");
    assert.equal(settings.stateDir, undefined);
  });

  it("refuses them in what AWS's SDK reads by itself", () => {
    assert.deepEqual(faultsOf({ AWS_SECRET_ACCESS_KEY: "secret\n", AWS_ACCESS_KEY_ID: "id" }), [
      "AWS_SECRET_ACCESS_KEY: begins or ends with a blank or a line end, which would be sent along",
    ]);
  });

  it("takes true and false as Kong does", () => {
    const use = (value: string) => {
      const environment = { KONG_CLUSTER_USE_PROXY: value, KONG_PROXY_SERVER: "http://proxy:1" };
      return readSettings(environment).proxy !== undefined;
    };
    assert.deepEqual(["on", "true", "off", "false"].map(use), [true, true, false, false]);
    assert.equal(readSettings({ KONG_FALLBACK_FORCE: "true" }).force, true);
  });

  it("takes the tag of an image for the version of the Kong in it", () => {
    const versionsOf = (value: string) => readSettings({ KONG_VERSION: value }).kongVersions;
    const tags = "3.9.1-ubuntu,3.4.3.5-rhel,3.9.1-alpine3.20,3.8.1-debian-12";
    assert.deepEqual(versionsOf(tags), ["3.9.1", "3.4.3.5", "3.8.1"]);
    assert.deepEqual(versionsOf("3.9.1.2-enterprise-edition"), ["3.9.1.2-enterprise-edition"]);
    assert.deepEqual(versionsOf("3.10.0-rc.1"), ["3.10.0-rc.1"]);
  });

  it("takes an emulator's address with a scheme or without", () => {
    const of = (value: string) => readSettings({ STORAGE_EMULATOR_HOST: value }).gcsEmulator;
    assert.equal(of("localhost:4443"), "http://localhost:4443");
    assert.equal(of("https://localhost:4443/"), "https://localhost:4443");
  });

  it("follows references to Kong's vault env, with a prefix and into JSON", () => {
    const settings = readSettings({
      KONG_CLUSTER_CERT: "{vault://env/cluster-cert}",
      KONG_CLUSTER_CERT_KEY: "{vault://env/cluster-pair/key}",
      KONG_CLUSTER_CA_CERT: "/plain.crt",
      KONG_VAULT_ENV_PREFIX: "my_",
      MY_CLUSTER_CERT: "/certs/a.crt",
      MY_CLUSTER_PAIR: '{"key":"/certs/a.key"}',
    });
    assert.equal(settings.clusterCert, "/certs/a.crt");
    assert.equal(settings.clusterCertKey?.reveal(), "/certs/a.key");
    assert.equal(settings.clusterCaCert, "/plain.crt");
  });

  it("says of a reference that leads nowhere why, at once with all other faults", () => {
    assert.deepEqual(
      faultsOf({
        KONG_CLUSTER_CERT: "{vault://aws/cert}",
        KONG_CLUSTER_CERT_KEY: "{vault://env/no-such}",
        KONG_CLUSTER_CA_CERT: "{vault://env/json/ca}",
        KONG_PROXY_SERVER: "{vault://",
        JSON: "secret, no JSON",
      }),
      [
        'KONG_CLUSTER_CERT: refers to the vault "aws", of which only Kong knows: give the value itself, or refer to the vault env',
        "KONG_CLUSTER_CERT_KEY: refers to NO_SUCH in the environment, which is not set",
        "KONG_CLUSTER_CA_CERT: refers to a member of JSON in the environment, which has none of that name",
        "KONG_PROXY_SERVER: is a reference to a vault that cannot be read",
      ],
    );
  });

  it("refuses a proxy that is switched on but not named", () => {
    assert.deepEqual(faultsOf({ KONG_CLUSTER_USE_PROXY: "on" }), [
      "KONG_CLUSTER_USE_PROXY: is on, but KONG_PROXY_SERVER is not set",
    ]);
    assert.equal(readSettings({ KONG_PROXY_SERVER: "http://proxy:1" }).proxy, undefined);
  });

  it("takes the name admin for the Admin API on this machine, and any URL for another", () => {
    const target = (value: string) =>
      readSettings({ KONG_FALLBACK_SERVE_TARGET: value }).serveTarget;
    assert.equal(target("planes"), undefined);
    assert.equal(target("admin"), "http://127.0.0.1:8001");
    assert.equal(target("https://kong:8444/"), "https://kong:8444");
  });

  it("prints no secret, however it is printed", () => {
    const canary = "canary-secret";
    const settings: Settings = readSettings({
      KONG_CLUSTER_CERT_KEY: canary,
      KONG_FALLBACK_SERVER_CERT_KEY: canary,
      KONG_CLUSTER_USE_PROXY: "on",
      KONG_PROXY_SERVER: `http://user:${canary}@proxy:3128`,
      GCP_SERVICE_ACCOUNT: canary,
      KONG_FALLBACK_ADMIN_TOKEN: canary,
      KONG_FALLBACK_SIGNING_KEY: canary,
      KONG_FALLBACK_VERIFY_KEYS: canary,
      KONG_FALLBACK_AGE_RECIPIENTS: canary,
      KONG_FALLBACK_AGE_IDENTITIES: canary,
    });
    for (const text of [inspect(settings, { depth: 9 }), JSON.stringify(settings)]) {
      assert.ok(!text.includes(canary), text);
      assert.ok(text.includes("[redacted]"));
    }
    assert.equal(settings.adminToken?.reveal(), canary);
  });

  it("reads lists, labels, sizes and modes into types", () => {
    const settings = readSettings({
      KONG_VERSION: "3.8.1, 3.9.1,3.8.1",
      KONG_CLUSTER_DP_LABELS: "env:prod, team:a",
      KONG_PLUGINS: "bundled, my-plugin",
      KONG_CLUSTER_CONTROL_PLANE: "[::1]:8005",
      KONG_CLUSTER_FALLBACK_CONFIG_EXPORT_DELAY: "0.5",
      KONG_FALLBACK_FILE_MODE: "600",
      KONG_FALLBACK_STATUS_LISTEN: "off",
      AWS_DEFAULT_REGION: "eu-west-1",
      KONG_CLUSTER_FALLBACK_CONFIG_STORAGE: "s3://bucket/a, file:///b",
      KUBERNETES_SERVICE_HOST: "10.0.0.1",
    });
    assert.deepEqual(
      settings.storages.map(({ kind }) => kind),
      ["s3", "file"],
    );
    assert.deepEqual(settings.kubernetesService, { host: "10.0.0.1", port: 443 });
    assert.deepEqual(settings.kongVersions, ["3.8.1", "3.9.1"]);
    assert.deepEqual(settings.labels, { env: "prod", team: "a" });
    assert.deepEqual(settings.plugins, ["bundled", "my-plugin"]);
    assert.deepEqual(settings.controlPlane, { host: "::1", port: 8005 });
    assert.equal(settings.exportDelayMs, 500);
    assert.equal(settings.fileMode, 0o600);
    assert.equal(settings.statusListen, undefined);
    assert.equal(settings.awsRegion, "eu-west-1");
  });
});
