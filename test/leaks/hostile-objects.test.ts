import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";
import { describe, it } from "vitest";
import { systemClock } from "../../src/runtime/clock.ts";
import { encodeMetadata } from "../../src/snapshots/metadata.ts";
import { sha256 } from "../../src/snapshots/snapshot.ts";
import { FileStore } from "../../src/store/file.ts";
import { Stage } from "../e2e/stage.ts";
import { snapshotOf } from "../fakes/config.ts";
import { runLimited } from "./limited.ts";

const TIMEOUT_MS = 120_000;
const { signal } = new AbortController();

/** What a terminal would obey. Line feeds are ours. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
const OBEYED = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/;

/** In the store with metadata that fit it: whoever can write there can compute a digest. */
async function put(stage: Stage, key: string, body: Uint8Array, config = body): Promise<void> {
  const directory = stage.path("store");
  await using store = new FileStore({ url: `file://${directory}`, directory, clock: systemClock });
  const { metadata } = snapshotOf("a", { sha256: sha256(config), bytes: config.length });
  await store.put(key, body, { metadata: encodeMetadata(metadata), contentType: "x" }, signal);
}

/** Runs what reads a snapshot; each must end as a program ends that knows what it met. */
async function readAll(stage: Stage, environment: Readonly<Record<string, string>>) {
  const good = stage.path("good.json");
  await writeFile(good, snapshotOf("good").config);
  const results = [];
  for (const argv of [
    ["import", "--force"],
    ["status"],
    ["snapshots", "list"],
    ["snapshots", "show"],
    ["snapshots", "show", "--json"],
    ["snapshots", "verify"],
    ["snapshots", "diff", "current", good],
  ]) {
    const result = await runLimited(argv, environment);
    const told = `${argv.join(" ")}: ${result.status}\n${result.stderr.slice(0, 2_000)}`;
    assert.ok([0, 1, 3, 4].includes(result.status as number), told);
    assert.ok(!/unexpected error|\n {4}at /.test(result.stderr), told);
    assert.ok(result.status !== 1 || argv[1] === "diff", told);
    assert.ok(!OBEYED.test(result.stdout.toString()), `${told}\n${result.stdout.subarray(0, 500)}`);
    assert.ok(!OBEYED.test(result.stderr), told);
    assert.ok(result.peakMb < 400, `${told}\n${result.peakMb} MiB`);
    results.push(result);
  }
  return results;
}

const ENTITIES = '"_format_version":"3.0","_transform":false';
const EVIL = "\\u001b]0;owned\\u0007\\u009b2J\\u202e\\r\\n";

/** Bytes, and whether they are a config: of what is one, importers hand on each byte; of what is none, nothing. */
const BODIES: readonly (readonly [what: string, body: Uint8Array, isConfig: boolean])[] = [
  [
    "nested a million levels deep",
    Buffer.from(`{${ENTITIES},"a":${"[".repeat(1e6)}${"]".repeat(1e6)}}`),
    false,
  ],
  [
    "objects nested a million levels deep",
    Buffer.from(`${'{"a":'.repeat(1e6)}1${"}".repeat(1e6)}`),
    false,
  ],
  [
    "numbers beyond all bounds",
    Buffer.from(`{${ENTITIES},"services":[{"port":1e999,"n":${"9".repeat(100_000)},"m":-0e-999}]}`),
    true,
  ],
  ["a key of ten megabytes", Buffer.from(`{${ENTITIES},"${"k".repeat(1e7)}":[1]}`), true],
  [
    "a hundred thousand kinds",
    Buffer.from(`{${ENTITIES},${Array.from({ length: 1e5 }, (_, n) => `"kind${n}":[1]`).join()}}`),
    true,
  ],
  [
    "keys that stand twice",
    Buffer.from(`{${ENTITIES},"services":[{"name":"a","name":"b"}],"services":{}}`),
    true,
  ],
  [
    "keys of prototypes",
    Buffer.from(
      `{${ENTITIES},"__proto__":[{"__proto__":{"a":1}}],"constructor":[{"id":"1"}],"services":[{"name":"a","__proto__":{"port":1},"constructor":1,"toString":2,"hasOwnProperty":3}],"toString":[1],"valueOf":{"toJSON":1}}`,
    ),
    true,
  ],
  [
    "bytes that are no UTF-8",
    Buffer.concat([
      Buffer.from(`{${ENTITIES},"services":[{"name":"`),
      Buffer.from([0xff, 0xc0, 0x80, 0xed, 0xa0, 0x80]),
      Buffer.from('"}]}'),
    ]),
    true,
  ],
  [
    "lone surrogates and escaped zeros",
    Buffer.from(`{${ENTITIES},"services":[{"name":"\\ud800\\u0000\\udfff"}]}`),
    true,
  ],
  ["zero bytes", Buffer.from(`{${ENTITIES}\0}`), false],
  ["a byte order mark", Buffer.from(`\ufeff{${ENTITIES}}`), false],
  ["gzip", gzipSync(`{${ENTITIES}}`), false],
  ["a format of another world", Buffer.from('{"_format_version":"99.9","services":[]}'), false],
  ["a format that is a list", Buffer.from('{"_format_version":[[["3.0"]]],"services":[]}'), false],
  [
    "entities that are none",
    Buffer.from(
      `{${ENTITIES},"services":[null,1,"a",[[]],{}],"routes":"x","plugins":[{"name":{}}]}`,
    ),
    true,
  ],
  [
    "names that a terminal obeys",
    Buffer.from(
      `{${ENTITIES},"services":[{"id":"${EVIL}","name":"${EVIL}","host":"${EVIL}"}],"${EVIL}":[{"id":"1","name":"${EVIL}"}]}`,
    ),
    true,
  ],
  ["empty", Buffer.alloc(0), false],
];

describe("a hostile current object", () => {
  for (const [what, body, isConfig] of BODIES) {
    it(`is read with little memory and told in plain words: ${what}`, {
      timeout: TIMEOUT_MS,
    }, async () => {
      await using stage = await Stage.open();
      const target = stage.path("kong.json");
      await writeFile(target, "what was there before", { mode: 0o640 });
      await put(stage, "3.9.1/config.json", body);
      const [imported] = await readAll(stage, stage.environment(1));
      const now = await readFile(target);
      // Neither half of it nor something else: the config, or what was there before.
      if (isConfig) assert.ok(now.equals(body));
      else assert.equal(now.toString(), "what was there before");
      assert.equal(imported?.status, isConfig ? 0 : 3, imported?.stderr.slice(0, 500));
    });
  }
});

describe("a hostile history", () => {
  it("of gzip bombs is read with little memory", { timeout: TIMEOUT_MS }, async () => {
    await using stage = await Stage.open();
    // 2 GiB of blanks: as long as any setting would allow.
    const piece = gzipSync(Buffer.alloc(64 * 1024 * 1024, " "));
    const bomb = Buffer.concat(Array.from({ length: 32 }, () => piece));
    const id = "20261121T120000.000Z-0123456789ab";
    await put(stage, `3.9.1/history/${id}.json.gz`, bomb);
    const env = stage.environment(1, { KONG_FALLBACK_MAX_CONFIG_BYTES: "33554432" });
    await readAll(stage, env);
    const shown = await runLimited(["snapshots", "show", id], env);
    assert.equal(shown.status, 3, shown.stderr);
    assert.match(shown.stderr, /unpacks to more than 33554432 bytes/);
  });

  it("whose names lead elsewhere touches nothing there", { timeout: TIMEOUT_MS }, async () => {
    await using stage = await Stage.open();
    const outside = stage.path("outside.json.gz");
    await writeFile(outside, gzipSync("{}"));
    await put(stage, "3.9.1/history/20261121T120000.000Z-0123456789ab.json.gz", Buffer.from("x"));
    const environment = stage.environment(1);
    for (const id of ["../../../outside", "..%2f..%2foutside", "/etc/passwd", "a\u001b[2Jb", "."]) {
      for (const action of [
        ["show", id],
        ["restore", id, "--yes"],
      ]) {
        const { status, stderr } = await runLimited(["snapshots", ...action], environment);
        assert.equal(status, 3, stderr);
        assert.ok(!OBEYED.test(stderr), stderr);
      }
    }
    assert.deepEqual(await readFile(outside), gzipSync("{}"));
  });
});
