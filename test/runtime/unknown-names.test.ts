import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { SETTINGS } from "../../src/runtime/settings/table.ts";
import { doubtfulSettings, readSettings, SettingsError } from "../../src/runtime/settings.ts";

function faultsOf(environment: Record<string, string>): readonly string[] {
  try {
    readSettings(environment);
    return [];
  } catch (error) {
    assert.ok(error instanceof SettingsError, String(error));
    return error.faults;
  }
}

function unknown(name: string, meant?: string): string {
  const advice = meant === undefined ? "remove it" : `did you mean ${meant}?`;
  return `${name}: there is no such setting; ${advice}`;
}

/** What Kubernetes 1.31 injects for a Service with the ports `mesh`, 8005/TCP, and `status`, 8010/TCP. */
function serviceLinks(service: string, address: string): Record<string, string> {
  const links = (port: number) => ({
    [`${service}_PORT_${port}_TCP`]: `tcp://${address}:${port}`,
    [`${service}_PORT_${port}_TCP_PROTO`]: "tcp",
    [`${service}_PORT_${port}_TCP_PORT`]: String(port),
    [`${service}_PORT_${port}_TCP_ADDR`]: address,
  });
  return {
    [`${service}_SERVICE_HOST`]: address,
    [`${service}_SERVICE_PORT`]: "8005",
    [`${service}_SERVICE_PORT_MESH`]: "8005",
    [`${service}_SERVICE_PORT_STATUS`]: "8010",
    [`${service}_PORT`]: `tcp://${address}:8005`,
    ...links(8005),
    ...links(8010),
  };
}

describe("a name that is no setting", () => {
  it.each([
    ["KONG_FALLBACK_VERIFY_KEY", "KONG_FALLBACK_VERIFY_KEYS"],
    ["KONG_FALLBACK_AGE_RECIPIENT", "KONG_FALLBACK_AGE_RECIPIENTS"],
    ["KONG_FALLBACK_REQUIRE_REHEARSAL", "KONG_FALLBACK_REQUIRE_REHEARSED"],
    ["KONG_FALLBACK_VERIFY", "KONG_FALLBACK_VERIFY_KEYS"],
    ["KONG_FALLBACK_GAURD", "KONG_FALLBACK_GUARD"],
    // Names are told apart by case, so this one would do nothing.
    ["kong_fallback_verify_keys", "KONG_FALLBACK_VERIFY_KEYS"],
    ["KONG-FALLBACK-VERIFY-KEYS", "KONG_FALLBACK_VERIFY_KEYS"],
    ["KONG_FALBACK_VERIFY_KEYS", "KONG_FALLBACK_VERIFY_KEYS"],
    ["KONGFALLBACK_VERIFY_KEYS", "KONG_FALLBACK_VERIFY_KEYS"],
    ["KONG_FALLBACK_LISTEN_PORT", "KONG_FALLBACK_LISTEN"],
    ["KONG_FALLBACK_TURBO_CHARGED_COMPRESSION", undefined],
    ["KONG_FALLBACK_", undefined],
  ])("is refused in our own space, with what was probably meant: %s", (name, meant) => {
    assert.deepEqual(faultsOf({ [name]: "x" }), [unknown(name, meant)]);
    assert.deepEqual(faultsOf({ [name]: "" }), [unknown(name, meant)], "whatever its value is");
    assert.deepEqual(doubtfulSettings({ [name]: "x" }), []);
  });

  it.each([
    ["KONG_CLUSTER_FALLBACK_CONFIG_STORE", "KONG_CLUSTER_FALLBACK_CONFIG_STORAGE"],
    ["KONG_CLUSTER_FALBACK_CONFIG_EXPORT", "KONG_CLUSTER_FALLBACK_CONFIG_EXPORT"],
    ["KONG_CLUSTER_FALLBACK_SOMETHING_KONG_WILL_INVENT", undefined],
  ])("is warned of in Kong's space, which may grow: %s", (name, meant) => {
    assert.deepEqual(faultsOf({ [name]: "x" }), []);
    assert.deepEqual(doubtfulSettings({ [name]: "x" }), [unknown(name, meant)]);
  });

  it("is told together with every other fault", () => {
    const faults = faultsOf({ KONG_FALLBACK_VERIFY_KEY: "x", KONG_FALLBACK_PROBE: "ping" });
    assert.equal(faults.length, 2);
    assert.equal(faults[0], unknown("KONG_FALLBACK_VERIFY_KEY", "KONG_FALLBACK_VERIFY_KEYS"));
    assert.match(faults[1] ?? "", /^KONG_FALLBACK_PROBE: /);
  });

  it("is nobody's business elsewhere, nor in a shared environment of the start wrapper", () => {
    const others = {
      KONG_PROXY_LISTEN: "0.0.0.0:8000",
      KONG_CLUSTER_LISTEN: "0.0.0.0:8005",
      KONG_CLUSTER_TELEMETRY_ENDPOINT: "cp:8006",
      KONG_FALLBACK_FILE: "/kong-fallback/kong.json",
      KONG_FALLBACK_ENTRYPOINT: "/entrypoint.sh",
      FALLBACK: "1",
      PATH: "/bin",
    };
    assert.deepEqual(faultsOf(others), []);
    assert.deepEqual(doubtfulSettings(others), []);
  });
});

describe("what Kubernetes injects for a Service", () => {
  it.each([
    "KONG_FALLBACK",
    "KONG_FALLBACK_STATUS",
    "KONG_FALLBACK_LISTEN",
    "KONG_CLUSTER_FALLBACK",
  ])("is passed over: %s", (service) => {
    for (const address of ["10.96.0.7", "fd00::7"]) {
      const links = serviceLinks(service, address);
      assert.deepEqual(faultsOf(links), []);
      assert.deepEqual(doubtfulSettings(links), []);
    }
  });

  it("opens no door: its form does not do without a value of its kind", () => {
    const service = "KONG_FALLBACK_VERIFY";
    const links = serviceLinks(service, "10.96.0.7");
    for (const [name, value] of Object.entries(links)) {
      assert.deepEqual(faultsOf({ [name]: value }), [], "each by itself, as Docker's links come");
      assert.notEqual(faultsOf({ ...links, [name]: "/keys/a.pub" }).length, 0, name);
    }
    assert.equal(faultsOf({ ...links, KONG_FALLBACK_VERIFY_KEY: "/keys/a.pub" }).length, 1);
    assert.equal(faultsOf({ ...links, KONG_FALLBACK_LISTEN_PORT: "8005" }).length, 1);
  });

  it("never has the name of a setting", () => {
    for (const name of Object.keys(SETTINGS)) {
      if (!name.startsWith("KONG_")) continue;
      assert.doesNotMatch(name, /_(HOST|PORT|ADDR|PROTO|TCP|UDP|SCTP)$/);
    }
  });
});
