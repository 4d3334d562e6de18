import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { describe, it } from "vitest";
import { matchConfigHash } from "../../src/kong/config-hash.ts";
import { hashTable } from "../../src/kong/config-hash-current.ts";
import { hashLegacyTable } from "../../src/kong/config-hash-legacy.ts";
import { EMPTY_CONFIG_HASH, isConfigHash, type JsonObject } from "../../src/kong/config-parts.ts";
import { parseKongVersion } from "../../src/kong/version.ts";

const LETTERS = ["v1", "v2", "v3", "v4", "v5", "v6"];

/** The "complex table" whose hash Kong/kong@3.9.1 and @2.8.5 spec/01-unit/19-hybrid/02-clustering_spec.lua expect. */
const KONG_COMPLEX: JsonObject = {
  plugins: [
    { name: "0", config: { param: "value" } },
    ...[6, 5, 4, 3, 2, 1, 0].map((length, index) => ({
      name: String(index + 1),
      config: { param: LETTERS.slice(0, length) },
    })),
    { name: "8", config: { param: "value", array: LETTERS } },
    {
      name: "9",
      config: {
        bool1: true,
        bool2: false,
        number: 1,
        double: 1.1,
        empty: {},
        null: null,
        string: "test",
        hash: { k: "v" },
        array: LETTERS,
      },
    },
  ],
  consumers: Array.from({ length: 1000 }, (_, index) => ({ username: `user-${index + 1}` })),
};

const SAMPLE: JsonObject = {
  _format_version: "3.0",
  _transform: false,
  services: [
    {
      id: "0855b320-0dd2-547d-891d-601e9b38647f",
      name: "s",
      host: "example.com",
      port: 80,
      protocol: "http",
      retries: 5,
      tags: null,
      enabled: true,
    },
  ],
  routes: [
    {
      id: "481a9539-f49c-51b6-b2e2-fe99ee68866c",
      name: "r",
      paths: ["/"],
      service: "0855b320-0dd2-547d-891d-601e9b38647f",
    },
  ],
};

describe("config hash of Kong 3.x", () => {
  it("equals Kong's own test vectors", () => {
    assert.equal(hashTable({}), "2da3c26e4dbd6dd6ea3ab60a3dd7fb3e");
    assert.equal(
      hashTable({ routes: [], services: [], plugins: [] }),
      "81aac97a81ad03c0cf0b36663806488e",
    );
    assert.equal(hashTable({ upstreams: [], targets: [] }), "4d60dd9998ea4314039da5ca2f1db96f");
    assert.equal(hashTable(SAMPLE), "67633921276cb3e3c8fa21d9478e5d3a");
    assert.equal(hashTable(KONG_COMPLEX), "675ff4b6b1c8cefa5198284110786ad0");
  });
});

describe("config hash of Kong 2.8", () => {
  it("equals Kong's own test vectors", () => {
    assert.equal(hashLegacyTable({}), "aaf38faf0b5851d711027bb4d812d50d");
    assert.equal(
      hashLegacyTable({ routes: [], services: [], plugins: [] }),
      "768533baebe6e0d46de8d5f8a0c05bf0",
    );
    assert.equal(
      hashLegacyTable({ upstreams: [], targets: [] }),
      "6c5fb69169a0fabb24dcfa3a5d7a14b0",
    );
    assert.equal(hashLegacyTable(SAMPLE), "91fc1cfa2f5008bb85cfed4d5d742f0a");
    assert.equal(hashLegacyTable(KONG_COMPLEX), "cb83c48d5b2932d1bc9d13672b433365");
  });
});

describe("matching the hash a control plane sent", () => {
  const version = parseKongVersion("3.9.1");
  assert.ok(version);
  const config = Buffer.from(JSON.stringify(SAMPLE));
  const hash = "67633921276cb3e3c8fa21d9478e5d3a";

  it("tells equal from different", () => {
    assert.equal(matchConfigHash(config, hash, version, 1e6), "true");
    assert.equal(matchConfigHash(config, "f".repeat(32), version, 1e6), "false");
  });

  it("does not try without a hash, above the limit, or where the bytes are no UTF-8", () => {
    assert.equal(matchConfigHash(config, undefined, version, 1e6), "unchecked");
    assert.equal(matchConfigHash(config, hash, version, config.length - 1), "unchecked");
    const latin1 = Buffer.from('{"_format_version":"3.0","name":"\xe9"}', "latin1");
    assert.equal(matchConfigHash(latin1, hash, version, 1e6), "unchecked");
  });

  it("sorts keys by their bytes, not by UTF-16 units", () => {
    const high = "\u{1F600}";
    const low = "\uFFFD";
    assert.ok(high < low, "UTF-16 order differs from byte order for this pair");
    const md5 = (text: string) => createHash("md5").update(text).digest("hex");
    const expected = md5(EMPTY_CONFIG_HASH.repeat(5) + md5(`${low}:1;${high}:2;`));
    assert.equal(hashTable({ [high]: 2, [low]: 1 }), expected);
  });

  it("takes neither zeros nor anything but 32 lower-case hex digits for a hash", () => {
    assert.ok(isConfigHash(hash));
    for (const bad of [EMPTY_CONFIG_HASH, hash.toUpperCase(), hash.slice(1), "", 7, null]) {
      assert.equal(isConfigHash(bad), false);
    }
  });
});
