import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "vitest";
import { openConfiguredSeal } from "../../src/commands/seal.ts";
import { readSettings } from "../../src/runtime/settings.ts";
import { runOnce } from "./cli.ts";

const CONFIG = Buffer.from('{"_format_version":"3.0"}');

describe("kong-fallback keys generate", () => {
  let out: string;

  beforeEach(async () => {
    out = join(await mkdtemp(join(tmpdir(), "kong-fallback-keys-e2e-")), "keys");
  });
  afterEach(() => rm(join(out, ".."), { recursive: true }));

  async function secretLines(): Promise<readonly string[]> {
    const names = (await readdir(out)).filter((name) => name.endsWith(".key"));
    const texts = await Promise.all(names.map((name) => readFile(join(out, name), "utf8")));
    const lines = texts.flatMap((text) => text.split("\n"));
    return lines.filter((line) => line !== "" && !/^[#-]/.test(line));
  }

  it("makes keys that fit the settings it names, and shows nothing secret", async () => {
    const { status, stdout, stderr } = await runOnce(
      ["keys", "generate", "--signing", "--age", "--out", out, "--json"],
      {},
    );
    assert.equal(status, 0, stderr);
    const made: unknown = JSON.parse(stdout.toString());
    const { exporter, readers, ...facts } = made as {
      readonly exporter: Record<string, string>;
      readonly readers: Record<string, string>;
    };
    assert.deepEqual(Object.keys(facts), ["signingKeyId", "ageRecipient", "files"]);
    assert.deepEqual((await readdir(out)).sort(), [
      ...["age.key", "age.pub", "signing.key", "signing.pub"],
    ]);
    const secrets = await secretLines();
    assert.equal(secrets.length, 2);
    for (const secret of secrets) assert.ok(!`${stdout}${stderr}`.includes(secret));

    const writer = await openConfiguredSeal(readSettings(exporter));
    const reader = await openConfiguredSeal(readSettings(readers));
    const { body, metadata } = await writer.close(CONFIG, { format: "kong-fallback/1" });
    reader.checkSignature(metadata, "it");
    assert.deepEqual(Buffer.from(await reader.open(body, "it", CONFIG.length)), CONFIG);
  });

  it("says in words what it made and where it goes", async () => {
    const { status, stdout, stderr } = await runOnce(
      ["keys", "generate", "--age", "--out", out],
      {},
    );
    assert.equal(status, 0, stderr);
    const text = stdout.toString();
    for (const word of [join(out, "age.key"), "KONG_FALLBACK_AGE_RECIPIENTS=", "age1"]) {
      assert.ok(text.includes(word), text);
    }
    assert.ok(!text.includes("SIGNING") && !text.includes("AGE-SECRET-KEY"), text);
  });

  it("overwrites nothing, and ends with 2", async () => {
    assert.equal((await runOnce(["keys", "generate", "--age", "--out", out], {})).status, 0);
    const before = await readFile(join(out, "age.key"), "utf8");
    const { status, stderr } = await runOnce(
      ["keys", "generate", "--signing", "--age", "--out", out],
      {},
    );
    assert.equal(status, 2);
    assert.match(stderr, /KEYS_NOT_WRITTEN/);
    assert.equal(await readFile(join(out, "age.key"), "utf8"), before);
    assert.deepEqual((await readdir(out)).sort(), ["age.key", "age.pub"]);
  });

  it("needs to be told which, and ends with 2", async () => {
    const { status, stderr } = await runOnce(["keys", "generate", "--out", out], {});
    assert.equal(status, 2);
    assert.match(stderr, /--signing, --age, or both/);
  });
});
