/** What is no config, and what people paste in its place. */

import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import { describe, it } from "vitest";
import {
  checkDeclarativeConfig,
  DeclarativeConfigError,
} from "../../src/kong/declarative-config.ts";
import { CLUSTER_1, configBytes } from "../fakes/config.ts";

function refusal(text: string | Uint8Array): DeclarativeConfigError {
  try {
    checkDeclarativeConfig(Buffer.from(text));
  } catch (error) {
    assert.ok(error instanceof DeclarativeConfigError, String(error));
    assert.ok(!/canary/.test(error.message), "it repeats nothing of what was pasted");
    return error;
  }
  assert.fail("it was taken");
}

const CONFIG = configBytes("canary").toString();

describe("what is taken for a config", () => {
  it("is a JSON object with one of Kong's format versions", () => {
    assert.deepEqual(checkDeclarativeConfig(configBytes("a", CLUSTER_1)), { clusterId: CLUSTER_1 });
  });

  it.each([
    ["YAML", '_format_version: "3.0"\nservices:\n- name: canary\n', /looks like YAML.*yq -o json/],
    ["YAML with a head", "---\nservices: []\n", /looks like YAML/],
    ["YAML below comments", "# canary\n\nservices:\n", /looks like YAML/],
    ["gzip", gzipSync(CONFIG), /compressed with gzip/],
    ["age", "age-encryption.org/v1\n-> X25519 canary", /encrypted with age/],
    [
      "a whole message of a control plane",
      `{"type":"reconfigure","timestamp":1,"config_table":${CONFIG}}`,
      /whole message; the config is its member `config_table`/,
    ],
    [
      "the answer to GET /config",
      JSON.stringify({ config: "_format_version: '3.0'\nservices: [canary]" }),
      /GET \/config/,
    ],
    ["a page of an Admin API", '{"data":[{"name":"canary"}],"next":null}', /page of an Admin API/],
    ["another object", '{"services":[]}', /_format_version is missing.*"3\.0"/],
    ["a number as format version", '{"_format_version":3.0}', /is no text; it must be one of/],
    ["a format version that no Kong has", '{"_format_version":"4.0"}', /is unknown/],
    ["nothing", "", /no JSON object \(0 bytes\)/],
    ["a truncated one", CONFIG.slice(0, 30), /no JSON object \(30 bytes\)/],
  ])("is not %s, which is said", (_, text, why) => {
    assert.match(refusal(text).message, why);
  });
});
