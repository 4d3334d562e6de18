import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { SnapshotError } from "../../../src/snapshots/errors.ts";
import { openSeal, PLAIN_SEAL } from "../../../src/snapshots/seal/seal.ts";
import type { Metadata } from "../../../src/store/port.ts";
import { agePair, NO_KEYS, signingPair } from "./keys.ts";

const NAME = "file:///backups/3.9.1/config.json";
const CONFIG = Buffer.from('{"_format_version":"3.0"}');
const METADATA: Metadata = { format: "kong-fallback/1", sha256: "3".repeat(64), bytes: "25" };

function hasCode(code: SnapshotError["code"]): (error: unknown) => boolean {
  return (error) => error instanceof SnapshotError && error.code === code;
}

describe("a seal", () => {
  it("signs and encrypts, so that only its readers open it and only what it signed is taken", async () => {
    const [{ signingKey, verifyKey }, { identity, recipient }] = [signingPair(), await agePair()];
    const writer = openSeal({ ...NO_KEYS, signingKey, recipients: [recipient] });
    const reader = openSeal({ ...NO_KEYS, verifyKeys: [verifyKey], identities: [identity] });
    assert.equal(writer.encrypts, true);
    assert.equal(reader.encrypts, false);
    const { body, metadata } = await writer.close(CONFIG, METADATA);
    assert.ok(!Buffer.from(body).includes("_format_version"));
    const { signature, sealed, "sealed-for": sealedFor, ...rest } = metadata;
    assert.deepEqual(rest, METADATA);
    assert.match(signature ?? "", /^ed25519:/);
    assert.equal(sealed, "age");
    assert.equal(sealedFor, recipient.slice(0, 12));
    reader.checkSignature(metadata, NAME);
    assert.deepEqual(Buffer.from(await reader.open(body, NAME, CONFIG.length)), CONFIG);
    assert.throws(() => reader.checkSignature(METADATA, NAME), hasCode("SNAPSHOT_UNSIGNED"));
    const tooLong = reader.open(body, NAME, CONFIG.length - 1);
    await assert.rejects(tooLong, hasCode("SNAPSHOT_CORRUPT"));
  });

  it("opens what is not encrypted, as of the time before there were keys", async () => {
    const { identity } = await agePair();
    const reader = openSeal({ ...NO_KEYS, identities: [identity] });
    assert.equal(await reader.open(CONFIG, NAME, CONFIG.length), CONFIG);
  });

  it("trusts its own signing key beside those to verify with, and no third", async () => {
    const [old, own, foreign] = [signingPair(), signingPair(), signingPair()];
    const seal = openSeal({
      ...NO_KEYS,
      signingKey: own.signingKey,
      verifyKeys: [old.verifyKey],
    });
    for (const { signingKey } of [old, own]) {
      const { metadata } = await openSeal({ ...NO_KEYS, signingKey }).close(CONFIG, METADATA);
      seal.checkSignature(metadata, NAME);
    }
    const { metadata } = await openSeal({ ...NO_KEYS, signingKey: foreign.signingKey }).close(
      CONFIG,
      METADATA,
    );
    assert.throws(() => seal.checkSignature(metadata, NAME), hasCode("SNAPSHOT_UNSIGNED"));
  });

  it("tells of many recipients no more than fits into metadata", async () => {
    const recipients = await Promise.all(
      Array.from({ length: 10 }, async () => (await agePair()).recipient),
    );
    const { metadata } = await openSeal({ ...NO_KEYS, recipients }).close(CONFIG, METADATA);
    const named = recipients.slice(0, 8).map((recipient) => recipient.slice(0, 12));
    const [, rest] = metadata["sealed-for"]?.split(named.join(",")) ?? [];
    assert.match(rest ?? "", /^,\+2-[0-9a-f]{8}$/);
  });

  it("leaves everything as it is without keys, and refuses only what it cannot open", async () => {
    const { recipient } = await agePair();
    assert.equal(PLAIN_SEAL.encrypts, false);
    assert.deepEqual(await PLAIN_SEAL.close(CONFIG, METADATA), {
      body: CONFIG,
      metadata: METADATA,
    });
    PLAIN_SEAL.checkSignature({}, NAME);
    assert.equal(await PLAIN_SEAL.open(CONFIG, NAME, CONFIG.length), CONFIG);
    const { body } = await openSeal({ ...NO_KEYS, recipients: [recipient] }).close(
      CONFIG,
      METADATA,
    );
    await assert.rejects(PLAIN_SEAL.open(body, NAME, 1_000), (error) => {
      assert.ok(hasCode("SNAPSHOT_SEALED")(error));
      assert.match(String(error), /for one recipient, and KONG_FALLBACK_AGE_IDENTITIES is not set/);
      return true;
    });
  });
});
