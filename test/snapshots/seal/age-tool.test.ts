import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, it } from "vitest";
import { makeAgePair } from "../../../src/commands/keys/keys.ts";
import { readIdentities, readRecipients } from "../../../src/commands/seal.ts";
import { Secret } from "../../../src/core/secret.ts";
import { SnapshotError } from "../../../src/snapshots/errors.ts";
import { decrypt, encrypt } from "../../../src/snapshots/seal/encryption.ts";
import { runAge } from "../../servers/age.ts";
import { titled, whyMissing } from "../../servers/locate.ts";

const NAME = "the file of age";
const ANY_SIZE = 2 ** 30;

/** A pair of keys in files, and as our settings read them. */
async function keyPair(folder: string, name: string) {
  const file = join(folder, name);
  await runAge("age-keygen", ["-o", file]);
  const recipient = (await runAge("age-keygen", ["-y", file])).toString().trim();
  return { file, recipient, identities: await readIdentities(new Secret(file)) };
}

const missing = whyMissing("age", "age-keygen");

describe.skipIf(missing)(titled("the public age tool", missing), () => {
  let folder: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "kong-fallback-age-"));
  });
  afterAll(() => rm(folder, { recursive: true }));

  const lengths = [0, 1, 1_000, 65_536, 5 * 2 ** 20];

  it("opens what we encrypted, for each of several recipients", async () => {
    const [one, two] = [await keyPair(folder, "a1"), await keyPair(folder, "a2")];
    for (const length of lengths) {
      const config = randomBytes(length);
      const body = await encrypt(config, [one.recipient, two.recipient]);
      for (const { file } of [one, two]) {
        const opened = await runAge("age", ["-d", "-i", file], body);
        assert.equal(Buffer.compare(opened, config), 0, String(length));
      }
    }
  });

  it("encrypts what we open, in both of its forms, with each of several keys", async () => {
    const [one, two] = [await keyPair(folder, "b1"), await keyPair(folder, "b2")];
    for (const length of lengths) {
      const config = randomBytes(length);
      for (const form of [[], ["-a"]]) {
        const args = [...form, "-r", one.recipient, "-r", two.recipient];
        const body = await runAge("age", args, config);
        for (const { identities } of [one, two]) {
          const opened = await decrypt(body, identities, NAME, ANY_SIZE);
          assert.equal(Buffer.compare(opened, config), 0, String(length));
        }
      }
    }
  });

  it("and we refuse each other's with a wrong key", async () => {
    const [right, wrong] = [await keyPair(folder, "c1"), await keyPair(folder, "c2")];
    const body = await encrypt(Buffer.from("{}"), [right.recipient]);
    await assert.rejects(runAge("age", ["-d", "-i", wrong.file], body), /no identity matched/);
    const theirs = await runAge("age", ["-r", right.recipient], Buffer.from("{}"));
    const error = await decrypt(theirs, wrong.identities, NAME, ANY_SIZE).catch((e: unknown) => e);
    assert.ok(error instanceof SnapshotError && error.code === "SNAPSHOT_SEALED");
  });

  it("uses the keys that we make, and derives the same public half", async () => {
    const pair = await makeAgePair(new Date(0));
    const file = join(folder, "ours.key");
    await writeFile(file, pair.privateText.reveal());
    assert.equal((await runAge("age-keygen", ["-y", file])).toString(), pair.publicText);
    const recipients = join(folder, "ours.pub");
    await writeFile(recipients, pair.publicText);
    const body = await runAge("age", ["-R", recipients], Buffer.from("for ours"));
    assert.equal((await runAge("age", ["-d", "-i", file], body)).toString(), "for ours");
    const identities = await readIdentities(new Secret(file));
    const opened = await decrypt(body, identities, NAME, ANY_SIZE);
    assert.equal(Buffer.from(opened).toString(), "for ours");
  });

  it("writes keys that differ from ours in nothing but their values", async () => {
    const { file, recipient } = await keyPair(folder, "d1");
    const shapeOf = (text: string) =>
      text.replace(/(created: ).+/, "$1").replace(/(age1|KEY-1)\w+/g, "$1");
    const ours = (await makeAgePair(new Date())).privateText.reveal();
    assert.equal(shapeOf(await readFile(file, "utf8")), shapeOf(ours));
    assert.deepEqual(await readRecipients(new Secret(recipient)), [recipient]);
  });

  it("restores a saved config of the history by hand, with gunzip", async () => {
    const { file, recipient } = await keyPair(folder, "e1");
    const config = Buffer.from('{"_format_version":"3.0"}');
    const body = await encrypt(gzipSync(config), [recipient]);
    assert.deepEqual(gunzipSync(await runAge("age", ["-d", "-i", file], body)), config);
  });
});
