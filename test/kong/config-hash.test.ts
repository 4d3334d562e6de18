import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { describe, it } from "vitest";
import {
  computeConfigHash,
  EMPTY_CONFIG_HASH,
  isConfigHash,
  matchConfigHash,
} from "../../src/kong/config-hash.ts";
import type { JsonObject } from "../../src/kong/json-members.ts";
import { kongVersion } from "../fakes/config.ts";

/** As Kong 3.9.1 does. */
function hashTable(table: JsonObject): string {
  return computeConfigHash(Buffer.from(JSON.stringify(table)), kongVersion("3.9.1"));
}

/** As Kong 2.8.5 does. */
function hashLegacyTable(table: JsonObject): string {
  return computeConfigHash(Buffer.from(JSON.stringify(table)), kongVersion("2.8.5"));
}

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

  // By an implementation in Python that shares nothing with ours, and gives Kong's own vectors.
  it.each<[string, JsonObject, string]>([
    ["1,000,000 bytes", { a: "x".repeat(999_995), b: 1 }, "dcf4dfa418fd3f42b8f709fb12503d55"],
    ["1,000,001 bytes", { a: "x".repeat(999_996), b: 1 }, "1657a901ab520f73155947a0e497407b"],
    [
      "1,000,000 bytes, three to a character",
      { a: `${"€".repeat(333_331)}xx`, b: 1 },
      "d81e5f1c4a0cb6528875df42fce39958",
    ],
    [
      "1,000,001 bytes, three to a character",
      { a: `${"€".repeat(333_331)}xxx`, b: 1 },
      "f9765245c4f6f5c38e678091fa828716",
    ],
    [
      "3 MB in short pieces of two, three and four bytes to a character",
      { a: Array.from({ length: 150_000 }, (_, i) => `é€😀${i}`) },
      "3d44321f7366c76a5f8d139ae39d2e48",
    ],
  ])("folds what is longer than a megabyte where Kong does: %s", (_, table, hash) => {
    assert.equal(hashTable(table), hash);
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

  // By the same implementation in Python.
  const numbered = (count: number) => ({
    services: Array.from({ length: count }, (_, i) => `s${i + 1}`),
  });
  it.each<[string, JsonObject, string]>([
    [
      "an object of 512 bytes",
      { services: [{ k: "x".repeat(510) }] },
      "97044bba42d339be6b481fc9122f666c",
    ],
    [
      "an object of 513 bytes",
      { services: [{ k: "x".repeat(511) }] },
      "3825946fea7756d7f1893c6f701f171b",
    ],
    [
      "an object of 512 bytes, two to a character",
      { services: [{ k: "é".repeat(255) }] },
      "96ac1b7ca980eedd9d0b94175324b42f",
    ],
    [
      "an object of 514 bytes, two to a character",
      { services: [{ k: "é".repeat(256) }] },
      "59e7f10ca3059669f3e23c4a9bab1d80",
    ],
    ["99 elements", numbered(99), "9626ab326e39c71c867118ab027d673d"],
    ["100 elements", numbered(100), "7f4cba01d158460aa08140c83b77b760"],
    ["101 elements", numbered(101), "2fa5389e0fe799a092ab3d3d9b81dc77"],
    ["199 elements", numbered(199), "4c58181ca55d246f9b4ff1c994f72400"],
    ["200 elements", numbered(200), "601335f3469c5b73fa3f304f8e1bc899"],
    ["201 elements", numbered(201), "7d4e5e2c762f7c56230dffaf93002e20"],
    ["300 elements", numbered(300), "eafbc84b9988facf2de51a00b4623c5f"],
    ["301 elements", numbered(301), "dcccd4afe0925620df83d8e8afb4b3ea"],
  ])("shortens long objects and lists where Kong does: %s", (_, table, hash) => {
    assert.equal(hashLegacyTable(table), hash);
  });
});

describe("matching the hash a control plane sent", () => {
  const version = kongVersion("3.9.1");
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
