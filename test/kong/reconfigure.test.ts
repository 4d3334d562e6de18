import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { deflateRawSync, deflateSync, gunzipSync, gzipSync } from "node:zlib";
import { describe, it } from "vitest";
import { ServiceError } from "../../src/core/errors.ts";
import { matchConfigHash } from "../../src/kong/config-hash.ts";
import { decodeReconfigure } from "../../src/kong/reconfigure.ts";
import { parseKongVersion } from "../../src/kong/version.ts";

const LIMITS = { maxConfigBytes: 1_000_000 };
const CAPTURES = [
  ["3.9.1", "empty"],
  ["3.9.1", "small"],
  ["3.9.1", "rich"],
  ["3.4.2", "rich"],
] as const;

function capture(version: string, name: string): Buffer {
  return readFileSync(
    new URL(`../fixtures/captures/${version}/${name}.reconfigure.bin`, import.meta.url),
  );
}

async function refusal(
  frame: Uint8Array,
  limits = LIMITS,
): Promise<ServiceError & { code: string }> {
  try {
    await decodeReconfigure(frame, limits);
  } catch (error) {
    assert.ok(error instanceof ServiceError, String(error));
    return error;
  }
  assert.fail("the frame was accepted");
}

const frameOf = (payload: string) => gzipSync(payload);

describe("reading a reconfigure frame", () => {
  for (const [version, name] of CAPTURES) {
    it(`cuts config_table out of ${version}/${name}, recorded from a real Kong, byte for byte, and Kong's hash matches`, async () => {
      const frame = capture(version, name);
      const payload = gunzipSync(frame).toString("latin1");
      const update = await decodeReconfigure(frame, LIMITS);
      const table = Buffer.from(update.configTable).toString("latin1");

      // Independent of the scanner: the same text follows the key, and it is what JSON.parse reads there.
      assert.ok(payload.includes(`"config_table":${table}`));
      const parsed = JSON.parse(Buffer.from(payload, "latin1").toString("utf8"));
      assert.deepEqual(
        JSON.parse(Buffer.from(update.configTable).toString("utf8")),
        parsed.config_table,
      );

      assert.equal(update.configHash, parsed.config_hash);
      assert.deepEqual(update.hashes, parsed.hashes);
      assert.equal(update.timestamp, parsed.timestamp);
      assert.equal(update.clusterId, parsed.config_table.parameters[0].value);

      const kongVersion = parseKongVersion(version);
      assert.ok(kongVersion);
      assert.equal(
        matchConfigHash(update.configTable, update.configHash, kongVersion, 1e6),
        "true",
      );
    });
  }

  it.each([
    "[]",
    "{}",
    '"cluster_id"',
    "[null,1]",
    '[{"key":"other","value":"e7812444-1462-4a17-b514-1555b47caa5e"}]',
    '[{"key":"cluster_id"}]',
    '[{"key":"cluster_id","value":17}]',
    '[{"key":"cluster_id","value":"\\r\\nno id"}]',
  ])("knows no cluster where the parameters are %s", async (parameters) => {
    const table = `{"_format_version":"3.0","parameters":${parameters}}`;
    const frame = frameOf(`{"type":"reconfigure","config_table":${table}}`);
    assert.equal((await decodeReconfigure(frame, LIMITS)).clusterId, undefined);
  });

  it("takes members in any order, white space, and members it does not know", async () => {
    const table = '{ "_format_version" : "3.0", "name": "config_table\\": {}", "n": 1.50e+2 }';
    const update = await decodeReconfigure(
      frameOf(
        ` {"x":{"config_table":1},\n"config_table" : ${table} , "type":"reconfigure","new":[]}\n`,
      ),
      LIMITS,
    );
    assert.equal(Buffer.from(update.configTable).toString(), table);
    assert.equal(update.configHash, undefined);
    assert.deepEqual(update.hashes, {});
    assert.equal(update.timestamp, undefined);
  });

  it("takes zlib as well as gzip, as Kong does", async () => {
    const payload = gunzipSync(capture("3.9.1", "small"));
    const update = await decodeReconfigure(deflateSync(payload), LIMITS);
    assert.ok(update.configTable.length > 0);
  });

  it("leaves out hashes that cannot be Kong's", async () => {
    const update = await decodeReconfigure(
      frameOf(
        '{"type":"reconfigure","config_hash":"abc","hashes":{"routes":"abc","config":7},"timestamp":"soon","config_table":{"_format_version":"3.0"}}',
      ),
      LIMITS,
    );
    assert.equal(update.configHash, undefined);
    assert.deepEqual(update.hashes, {});
    assert.equal(update.timestamp, undefined);
  });
});

describe("the timestamp of a reconfigure frame", () => {
  it.each([
    ["99999999999", 99_999_999_999],
    ["100000000000", undefined],
    ["1e300", undefined],
    ["0.001", 0.001],
    ["0", undefined],
    ["-1", undefined],
    ['"1795220000.5"', 1_795_220_000.5],
    ["true", undefined],
  ])("%s is read as %s", async (text, seconds) => {
    const payload = `{"type":"reconfigure","timestamp":${text},"config_table":{"_format_version":"3.0"}}`;
    assert.equal((await decodeReconfigure(frameOf(payload), LIMITS)).timestamp, seconds);
  });
});

describe("a frame that is no config", () => {
  const payload = gunzipSync(capture("3.9.1", "small"));

  it("is refused if it is not compressed", async () => {
    const error = await refusal(payload);
    assert.equal(error.code, "FRAME_NOT_GZIP");
    assert.match(error.message, /not gzip \(\d+ bytes\)/);
    assert.match(error.hint ?? "", /KONG_CLUSTER_CONTROL_PLANE/);
    assert.equal((await refusal(Buffer.alloc(0))).code, "FRAME_NOT_GZIP");
    assert.equal((await refusal(deflateRawSync(payload))).code, "FRAME_NOT_GZIP");
  });

  it("is refused if it is truncated or damaged, at whatever byte", async () => {
    const frame = capture("3.9.1", "small");
    for (let length = 2; length < frame.length; length += 37) {
      assert.equal((await refusal(frame.subarray(0, length))).code, "FRAME_CORRUPT", `${length}`);
    }
    const flipped = Buffer.from(frame);
    flipped[400] = (flipped[400] ?? 0) ^ 0x10;
    const error = await refusal(flipped);
    assert.equal(error.code, "FRAME_CORRUPT");
    assert.match(error.message, /truncated or damaged/);
  });

  it("is refused if it unpacks to more than the cap, without unpacking it all", async () => {
    const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024), { level: 9 });
    assert.ok(bomb.length < 100_000);
    const error = await refusal(bomb);
    assert.equal(error.code, "FRAME_TOO_LARGE");
    assert.match(error.message, /more than 1000000 bytes/);
    assert.match(error.hint ?? "", /KONG_FALLBACK_MAX_CONFIG_BYTES/);
  });

  it("is refused if it is not JSON, or an array", async () => {
    for (const text of ["hello", "[1]", '{"type":"reconfigure"', ""]) {
      const error = await refusal(frameOf(text));
      assert.equal(error.code, "FRAME_NOT_JSON", text);
      assert.match(error.message, /no JSON object/);
    }
  });

  it("is refused without config_table, or with one that is not an object", async () => {
    const missing = await refusal(frameOf('{"type":"reconfigure","x":{"config_table":{}}}'));
    assert.equal(missing.code, "FRAME_NOT_CONFIG");
    assert.match(missing.message, /"config_table" is missing/);
    for (const value of ["[]", "null", '"{}"', "7"]) {
      const error = await refusal(frameOf(`{"type":"reconfigure","config_table":${value}}`));
      assert.equal(error.code, "FRAME_NOT_CONFIG");
      assert.match(error.message, /"config_table" is not an object/);
    }
  });

  it("is refused if its type is another", async () => {
    const error = await refusal(
      frameOf('{"type":"hello","config_table":{"_format_version":"3.0"}}'),
    );
    assert.equal(error.code, "FRAME_NOT_CONFIG");
    assert.match(error.message, /not "reconfigure"/);
  });

  it("is refused if Kong would not take its _format_version", async () => {
    for (const table of [
      "{}",
      '{"_format_version":"9"}',
      '{"_format_version":3}',
      '{"_format_version":{}}',
    ]) {
      const error = await refusal(frameOf(`{"type":"reconfigure","config_table":${table}}`));
      assert.equal(error.code, "CONFIG_FORMAT_VERSION", table);
    }
  });

  it("never quotes what it held", async () => {
    const secret = "canary-key-value";
    for (const text of [
      secret,
      `{"type":"${secret}"}`,
      `{"type":"reconfigure","config_table":"${secret}"}`,
    ]) {
      const error = await refusal(frameOf(text));
      assert.ok(!`${error.message} ${error.stack} ${error.hint}`.includes(secret));
    }
  });
});
