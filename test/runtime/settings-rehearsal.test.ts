import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { type Environment, readSettings, SettingsError } from "../../src/runtime/settings.ts";

function rehearsalOf(environment: Environment) {
  const { urls, statusUrls, ...others } = readSettings(environment).rehearsal;
  return { urls: Object.fromEntries(urls), statusUrls: Object.fromEntries(statusUrls), ...others };
}

function faultsOf(environment: Environment): readonly string[] {
  try {
    readSettings(environment);
    return [];
  } catch (error) {
    assert.ok(error instanceof SettingsError);
    return error.faults;
  }
}

const TWO = { KONG_VERSION: "3.8.1,3.9.1" };
const BOTH = "3.8.1=http://a:8001, 3.9.1=https://b/admin/";

describe("the settings of the rehearsal", () => {
  it("are off until there is a URL, which then must be there for every config", () => {
    assert.deepEqual(rehearsalOf({ KONG_VERSION: "3.9.1" }), {
      urls: {},
      statusUrls: {},
      mode: "required",
      timeoutMs: 60_000,
    });
  });

  it("give one URL to the only version", () => {
    const { urls, statusUrls } = rehearsalOf({
      KONG_VERSION: "3.9.1",
      KONG_FALLBACK_REHEARSAL_URL: "http://a:8001/x=1",
      KONG_FALLBACK_REHEARSAL_STATUS_URL: "http://a:8007",
    });
    assert.deepEqual(urls, { "3.9.1": "http://a:8001/x=1" });
    assert.deepEqual(statusUrls, { "3.9.1": "http://a:8007" });
  });

  it("give each version its own", () => {
    const { urls } = rehearsalOf({ ...TWO, KONG_FALLBACK_REHEARSAL_URL: BOTH });
    assert.deepEqual(urls, { "3.8.1": "http://a:8001", "3.9.1": "https://b/admin" });
  });

  it("refuse one URL for several versions, in one sentence", () => {
    const faults = faultsOf({ ...TWO, KONG_FALLBACK_REHEARSAL_URL: "http://a:8001" });
    assert.equal(faults.length, 1);
    assert.match(faults[0] ?? "", /^KONG_FALLBACK_REHEARSAL_URL: must name one for each version/);
  });

  it("refuse a version without a Kong, unless it is enough to try", () => {
    const one = { ...TWO, KONG_FALLBACK_REHEARSAL_URL: "3.9.1=http://b:8001" };
    assert.match(faultsOf(one).join(), /has none for 3\.8\.1 of KONG_VERSION/);
    const { urls } = rehearsalOf({ ...one, KONG_FALLBACK_REHEARSAL: "best-effort" });
    assert.deepEqual(Object.keys(urls), ["3.9.1"]);
  });

  it("do not mind a Kong for a version that is not exported here", () => {
    assert.deepEqual(faultsOf({ KONG_VERSION: "3.9.1", KONG_FALLBACK_REHEARSAL_URL: BOTH }), []);
  });
});
