import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, it } from "vitest";
import { makeAgePair, makeSigningPair } from "../../src/commands/keys/keys.ts";
import { readSealKeys } from "../../src/commands/seal.ts";
import { type Environment, readSettings, SettingsError } from "../../src/runtime/settings.ts";
import { decrypt, encrypt } from "../../src/snapshots/seal/encryption.ts";

const SIGNING = "KONG_FALLBACK_SIGNING_KEY";
const VERIFY = "KONG_FALLBACK_VERIFY_KEYS";
const RECIPIENTS = "KONG_FALLBACK_AGE_RECIPIENTS";
const IDENTITIES = "KONG_FALLBACK_AGE_IDENTITIES";

const read = (environment: Environment) => readSealKeys(readSettings(environment));

async function faultsOf(environment: Environment): Promise<readonly string[]> {
  try {
    await read(environment);
  } catch (error) {
    assert.ok(error instanceof SettingsError, String(error));
    assert.match(error.hint ?? "", /keys generate/);
    return error.faults;
  }
  assert.fail("they were accepted");
}

const base64 = (text: string) => Buffer.from(text).toString("base64");

describe("the keys of the settings", () => {
  let folder: string;
  const file = async (name: string, text: string) => {
    const path = join(folder, name);
    await writeFile(path, text);
    return path;
  };

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "kong-fallback-keys-"));
  });
  afterAll(() => rm(folder, { recursive: true }));

  it("are none where nothing is set", async () => {
    const none = { signingKey: undefined, verifyKeys: [], recipients: [], identities: [] };
    assert.deepEqual(await read({}), none);
  });

  it("are read from files, from PEM and from base64 of it, several in one setting or file", async () => {
    const [one, two, three] = [makeSigningPair(), makeSigningPair(), makeSigningPair()];
    const both = await file("both.pub", two.publicText + three.publicText);
    const pem = one.privateText.reveal();
    for (const value of [pem, base64(pem), await file("signing.key", pem)]) {
      const { signingKey, verifyKeys } = await read({
        [SIGNING]: value,
        [VERIFY]: `${base64(one.publicText)}, ${both},${two.publicText}`,
      });
      assert.equal(signingKey?.id, one.shown);
      const ids = verifyKeys.map(({ id }) => id);
      assert.deepEqual(ids, [one.shown, two.shown, three.shown, two.shown]);
    }
  });

  it("of age are read from text and from files with comments, none twice", async () => {
    const [one, two] = [await makeAgePair(new Date()), await makeAgePair(new Date())];
    const recipients = await file("age.pub", `# ours\r\n${one.shown}\r\n\n${two.shown}\n`);
    const identities = await file("age.key", one.privateText.reveal());
    const keys = await read({
      [RECIPIENTS]: `${two.shown}, ${recipients}`,
      [IDENTITIES]: `${identities},${two.privateText.reveal()}`,
    });
    assert.deepEqual(keys.recipients, [two.shown, one.shown]);
    const texts = keys.identities.map((identity) => identity.reveal());
    assert.deepEqual(
      texts,
      [one, two].map((pair) => pair.privateText.reveal().split("\n")[2]),
    );
  });

  it("that cannot sign or verify are refused, naming the setting and why", async () => {
    const pair = makeSigningPair();
    const key = pair.privateText.reveal();
    const rsa = generateKeyPairSync("rsa", { modulusLength: 2_048 });
    const rsaKey = rsa.privateKey.export({ type: "pkcs8", format: "pem" }).toString();
    const rsaPub = rsa.publicKey.export({ type: "spki", format: "pem" }).toString();
    const locked = generateKeyPairSync("ed25519")
      .privateKey.export({ type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "x" })
      .toString();
    const empty = await file("empty.pem", "");
    const cases: readonly (readonly [string, string, RegExp])[] = [
      [SIGNING, rsaKey, /of type rsa, and must be ed25519/],
      [SIGNING, locked, /encrypted with a passphrase/],
      [SIGNING, pair.publicText, /holds no private key/],
      [SIGNING, key.replace("MC4C", "MC4D"), /is damaged/],
      [SIGNING, key.slice(30, 80), /neither PEM.*not shown/],
      [SIGNING, empty, /empty\.pem is a file that holds no PEM/],
      [SIGNING, `${folder}/missing.key`, /missing\.key cannot be read: ENOENT/],
      [VERIFY, key, /holds a private key/],
      [VERIFY, rsaPub, /of type rsa/],
      [VERIFY, "-----BEGIN CERTIFICATE-----", /holds no public key/],
      [VERIFY, " , ", /names no key/],
    ];
    for (const [setting, value, expected] of cases) {
      const [fault = "", ...more] = await faultsOf({ [setting]: value });
      assert.ok(fault.startsWith(`${setting}: `), fault);
      assert.match(fault, expected);
      assert.deepEqual(more, []);
      for (const secret of [key, rsaKey, locked].map((pem) => pem.split("\n")[1] ?? "")) {
        assert.ok(!fault.includes(secret), fault);
      }
    }
  });

  it("of age that do not fit are refused, and no secret one is repeated", async () => {
    const pair = await makeAgePair(new Date());
    const identity = pair.privateText.reveal().split("\n")[2] ?? "";
    const secretFile = await file("secret.txt", pair.privateText.reveal());
    const noKey = await file("none.txt", "# nothing\n");
    const lockedFile = await file("locked.age", "age-encryption.org/v1\n-> scrypt a 18\n");
    const cases: readonly (readonly [string, string, RegExp])[] = [
      [RECIPIENTS, identity, /holds a secret key/],
      [RECIPIENTS, secretFile, /secret\.txt holds a secret key/],
      [RECIPIENTS, `${pair.shown.slice(0, -1)}!`, /not a recipient of the form age1/],
      [RECIPIENTS, "age1pq1qqqq", /not a recipient/],
      [RECIPIENTS, "ssh-ed25519 AAAA", /neither an age key nor the path of a file/],
      [RECIPIENTS, noKey, /none\.txt holds no key/],
      [RECIPIENTS, ",", /names no key/],
      [IDENTITIES, pair.shown, /holds a public key/],
      [IDENTITIES, identity.slice(0, -1), /holds something that is not a key/],
      [IDENTITIES, `x${identity}`, /neither an age key.*not shown/],
      [IDENTITIES, lockedFile, /encrypted with a passphrase/],
      [IDENTITIES, `${folder}/missing.key`, /missing\.key cannot be read: ENOENT/],
    ];
    for (const [setting, value, expected] of cases) {
      const [fault = "", ...more] = await faultsOf({ [setting]: value });
      assert.ok(fault.startsWith(`${setting}: `), fault);
      assert.match(fault, expected);
      assert.deepEqual(more, []);
      assert.ok(!fault.includes(identity.slice(16, 60)), fault);
    }
  });

  it("of age are taken up to a number that every reader takes", async () => {
    const pairs = await Promise.all(Array.from({ length: 257 }, () => makeAgePair(new Date())));
    const texts = pairs.map(({ shown }) => shown);
    const { recipients } = await read({ [RECIPIENTS]: texts.slice(1).join(",") });
    const { identities } = await read({ [IDENTITIES]: pairs[256]?.privateText.reveal() });
    const body = await encrypt(Buffer.from("{}"), recipients);
    assert.equal(Buffer.from(await decrypt(body, identities, "it", 2)).toString(), "{}");
    const [fault = ""] = await faultsOf({ [RECIPIENTS]: texts.join(",") });
    assert.match(fault, /holds 257 recipients, more than 256/);
  });

  it("are refused all at once", async () => {
    const nothing = `${folder}/missing.key`;
    const settings = [SIGNING, VERIFY, RECIPIENTS, IDENTITIES];
    const faults = await faultsOf(Object.fromEntries(settings.map((name) => [name, nothing])));
    assert.deepEqual(
      faults.map((fault) => fault.split(":")[0]),
      settings,
    );
  });
});
