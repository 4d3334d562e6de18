import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { armor, Encrypter } from "age-encryption";
import fc from "fast-check";
import { describe, it } from "vitest";
import type { Secret } from "../../../src/core/secret.ts";
import { SnapshotError } from "../../../src/snapshots/errors.ts";
import { isEncrypted } from "../../../src/snapshots/seal/age-header.ts";
import { decrypt, encrypt } from "../../../src/snapshots/seal/encryption.ts";
import { maxSealedBytes } from "../../../src/snapshots/seal/seal.ts";
import { agePair } from "./keys.ts";

const NAME = "s3://bucket/prefix/3.9.1/config.json";
const CONFIG = Buffer.from('{"_format_version":"3.0","canary":"topsecret"}');
const ANY_SIZE = 2 ** 30;

async function refusal(
  body: Uint8Array,
  identities: readonly Secret[],
  maxBytes = ANY_SIZE,
): Promise<SnapshotError> {
  try {
    await decrypt(body, identities, NAME, maxBytes);
  } catch (error) {
    assert.ok(error instanceof SnapshotError, String(error));
    assert.ok(error.message.startsWith(NAME), error.message);
    for (const identity of identities) assert.ok(!error.message.includes(identity.reveal()));
    return error;
  }
  assert.fail("it was opened");
}

/** Past the header: nonce, then chunks. */
function headerBytes(body: Uint8Array): number {
  const mac = Buffer.from(body).indexOf("\n--- ");
  return Buffer.from(body).indexOf("\n", mac + 1) + 1;
}

describe("an encrypted body", () => {
  it("is opened by each of its recipients, whatever keys they have besides", async () => {
    const [one, two, other] = [await agePair(), await agePair(), await agePair()];
    const body = await encrypt(CONFIG, [one.recipient, two.recipient]);
    assert.ok(isEncrypted(body) && !isEncrypted(CONFIG));
    assert.ok(!Buffer.from(body).includes("topsecret"));
    for (const { identity } of [one, two]) {
      const opened = await decrypt(body, [other.identity, identity], NAME, CONFIG.length);
      assert.deepEqual(Buffer.from(opened), CONFIG);
    }
  });

  it("is as long as foretold, and comes back unchanged, at any length", async () => {
    const { identity, recipient } = await agePair();
    const chunk = 65_536;
    const edges = [0, 1, chunk - 1, chunk, chunk + 1, 4 * chunk, 4 * chunk + 1];
    const lengths = fc.oneof(fc.constantFrom(...edges), fc.nat(600_000));
    await fc.assert(
      fc.asyncProperty(lengths, async (length) => {
        const config = randomBytes(length);
        const body = await encrypt(config, [recipient]);
        assert.ok(body.length <= maxSealedBytes(length));
        const opened = await decrypt(body, [identity], NAME, length);
        assert.equal(Buffer.compare(opened, config), 0);
      }),
      { numRuns: 25, examples: edges.map((length) => [length]) },
    );
  });

  it("is refused with another key, saying for how many it is and which keys were tried", async () => {
    const [one, two, other] = [await agePair(), await agePair(), await agePair()];
    const body = await encrypt(CONFIG, [one.recipient, two.recipient]);
    const error = await refusal(body, [other.identity]);
    assert.equal(error.code, "SNAPSHOT_SEALED");
    assert.match(error.message, /for 2 recipients/);
    assert.ok(error.message.includes(other.recipient));
    assert.match(error.hint ?? "", /KONG_FALLBACK_AGE_IDENTITIES/);
  });

  it("is refused after any change of one byte, and never opened to something else", async () => {
    const { identity, recipient } = await agePair();
    const body = await encrypt(randomBytes(70_000), [recipient]);
    const header = headerBytes(body);
    const bits = fc.record({ at: fc.nat(body.length - 1), bit: fc.nat(7) });
    await fc.assert(
      fc.asyncProperty(bits, async ({ at, bit }) => {
        const changed = Buffer.from(body);
        changed[at] = (changed[at] ?? 0) ^ (1 << bit);
        const { code } = await refusal(changed, [identity]);
        // A stanza that is damaged is as one for somebody else.
        assert.ok(code === "SNAPSHOT_CORRUPT" || (code === "SNAPSHOT_SEALED" && at < header));
      }),
      { examples: [[{ at: header, bit: 0 }], [{ at: body.length - 1, bit: 7 }]] },
    );
  });

  it("is refused where it was cut off or prolonged", async () => {
    const { identity, recipient } = await agePair();
    const body = await encrypt(randomBytes(70_000), [recipient]);
    const header = headerBytes(body);
    const cuts = [22, header - 10, header, header + 16, header + 20, body.length - 4_448 - 16];
    for (const cut of [...cuts, header + 16 + 65_552, body.length - 1]) {
      const { code } = await refusal(body.subarray(0, cut), [identity]);
      assert.equal(code, "SNAPSHOT_CORRUPT", String(cut));
    }
    const { code } = await refusal(Buffer.concat([body, Buffer.from("\n")]), [identity]);
    assert.equal(code, "SNAPSHOT_CORRUPT");
  });

  it("is refused where it is longer than allowed, without opening it", async () => {
    const { identity, recipient } = await agePair();
    const body = Buffer.from(await encrypt(randomBytes(100_000), [recipient]));
    // Were it opened, this would be the complaint.
    body[body.length - 1] = (body[body.length - 1] ?? 0) ^ 1;
    const error = await refusal(body, [identity], 99_999);
    assert.equal(error.code, "SNAPSHOT_CORRUPT");
    assert.match(error.message, /100000 bytes, more than 99999/);
  });

  it("is refused with a header beyond all measure, before a key is tried", async () => {
    const { identity, recipient } = await agePair();
    const body = Buffer.from(await encrypt(CONFIG, [recipient])).toString("latin1");
    const [version = "", ...rest] = body.split("\n");
    const [stanza = "", share = ""] = rest;
    const many = Array.from({ length: 1_000 }, () => `${stanza}\n${share}`).join("\n");
    const hostile = Buffer.from([version, many, ...rest].join("\n"), "latin1");
    const error = await refusal(hostile, [identity]);
    assert.equal(error.code, "SNAPSHOT_CORRUPT");
    assert.match(error.message, /its header is damaged/);
  });

  it("is refused with a passphrase, whatever keys there are", async () => {
    const { identity } = await agePair();
    const encrypter = new Encrypter();
    encrypter.setScryptWorkFactor(2);
    encrypter.setPassphrase("a passphrase");
    const error = await refusal(await encrypter.encrypt(CONFIG), [identity]);
    assert.equal(error.code, "SNAPSHOT_SEALED");
    assert.match(error.message, /passphrase/);
  });

  it("is opened in its armoured form, and refused where that is damaged", async () => {
    const { identity, recipient } = await agePair();
    const text = armor.encode(await encrypt(CONFIG, [recipient]));
    for (const form of [text, text.replaceAll("\n", "\r\n"), `${text}\n`]) {
      const body = Buffer.from(form);
      assert.ok(isEncrypted(body));
      assert.deepEqual(Buffer.from(await decrypt(body, [identity], NAME, ANY_SIZE)), CONFIG);
    }
    const [begin = "", line = ""] = text.split("\n");
    const damaged = [
      text.slice(0, -30),
      text.replace(line, `*${line}`),
      `${begin}\n`,
      `${text}more`,
    ];
    for (const form of damaged) {
      const { code } = await refusal(Buffer.from(form), [identity]);
      assert.equal(code, "SNAPSHOT_CORRUPT");
    }
  });

  it("leaves others their turn while a long one is encrypted or opened", async () => {
    const { identity, recipient } = await agePair();
    const config = randomBytes(2_000_000);
    const turns = async (work: Promise<Uint8Array>) => {
      let count = 0;
      let waiting = setImmediate(function turn() {
        count++;
        waiting = setImmediate(turn);
      });
      const result = await work;
      clearImmediate(waiting);
      return { count, result };
    };
    const { count, result: body } = await turns(encrypt(config, [recipient]));
    assert.ok(count >= 4, String(count));
    const opened = await turns(decrypt(body, [identity], NAME, config.length));
    assert.ok(opened.count >= 4, String(opened.count));
  });
});
