import assert from "node:assert/strict";
import { verify } from "node:crypto";
import fc from "fast-check";
import { describe, it } from "vitest";
import { SnapshotError } from "../../../src/snapshots/errors.ts";
import { checkSignature, SIGNED_NAMES, sign } from "../../../src/snapshots/seal/signature.ts";
import type { Metadata } from "../../../src/store/port.ts";
import { signingPair } from "./keys.ts";

const NAME = "s3://bucket/prefix/3.9.1/config.json";

const METADATA: Metadata = {
  format: "kong-fallback/1",
  "kong-version": "3.9.1",
  "config-hash": "1".repeat(32),
  hashes: `routes=${"2".repeat(32)}`,
  "hash-match": "true",
  sha256: "3".repeat(64),
  bytes: "4711",
  "control-plane-timestamp": "1700000000.000",
  "exported-at": "2026-01-01T00:00:00.000Z",
  "exporter-id": "exporter-1",
  "fencing-token": "7",
  rehearsed: "true",
  entities: "services=1",
  held: "lost too much",
  "cluster-id": "e7812444-1462-4a17-b514-1555b47caa5e",
  "write-id": "0123456789abcdef",
};

/** What stores take: printable ASCII, no blank at either end. */
const VALUE = fc
  .string({ unit: fc.integer({ min: 0x20, max: 0x7e }).map((code) => String.fromCharCode(code)) })
  .map((text) => text.trim())
  .filter((text) => text !== "");

function refusal(run: () => void): SnapshotError {
  try {
    run();
  } catch (error) {
    assert.ok(error instanceof SnapshotError, String(error));
    assert.equal(error.code, "SNAPSHOT_UNSIGNED");
    assert.match(error.hint ?? "", /KONG_FALLBACK_VERIFY_KEYS|history/);
    return error;
  }
  assert.fail("it was accepted");
}

function signed(plain: Metadata = METADATA) {
  const pair = signingPair();
  const metadata: Metadata = { ...plain, signature: sign(plain, pair.signingKey) };
  return { ...pair, metadata };
}

describe("the signature of a snapshot", () => {
  it("is accepted by its key, among others, whatever else the store adds", () => {
    const { metadata, verifyKey } = signed();
    const other = signingPair().verifyKey;
    checkSignature(metadata, [other, verifyKey], NAME);
    const copied = { ...metadata, "write-id": "fedcba9876543210", "x-tool": "rclone" };
    checkSignature(copied, [verifyKey], NAME);
  });

  it("is Ed25519 over a text that a person can write down", () => {
    const { metadata, verifyKey } = signed();
    const text = `kong-fallback snapshot signature 1
format: kong-fallback/1
kong-version: 3.9.1
config-hash: ${"1".repeat(32)}
hashes: routes=${"2".repeat(32)}
hash-match: true
sha256: ${"3".repeat(64)}
bytes: 4711
control-plane-timestamp: 1700000000.000
exported-at: 2026-01-01T00:00:00.000Z
exporter-id: exporter-1
fencing-token: 7
rehearsed: true
entities: services=1
held: lost too much
cluster-id: e7812444-1462-4a17-b514-1555b47caa5e
`;
    const [kind, id, base64 = ""] = (metadata["signature"] ?? "").split(":");
    assert.deepEqual([kind, id], ["ed25519", verifyKey.id]);
    assert.ok(verify(null, Buffer.from(text), verifyKey.key, Buffer.from(base64, "base64")));
  });

  it("leaves out what is not there", () => {
    const { metadata, verifyKey } = signed({ format: "kong-fallback/1", bytes: "7", other: "x" });
    const text = "kong-fallback snapshot signature 1\nformat: kong-fallback/1\nbytes: 7\n";
    const [, , base64 = ""] = (metadata["signature"] ?? "").split(":");
    assert.ok(verify(null, Buffer.from(text), verifyKey.key, Buffer.from(base64, "base64")));
  });

  it("is refused after any change of what is signed", () => {
    const { metadata, verifyKey } = signed();
    const changes = fc.record({ name: fc.constantFrom(...SIGNED_NAMES), value: VALUE });
    fc.assert(
      fc.property(changes, ({ name, value }) => {
        fc.pre(value !== metadata[name]);
        const changed = { ...metadata, [name]: value };
        const { message } = refusal(() => checkSignature(changed, [verifyKey], NAME));
        assert.ok(message.startsWith(NAME) && message.includes("changed afterwards"), message);
      }),
    );
  });

  it("is refused where something signed was taken away, or added", () => {
    const { metadata, verifyKey, signingKey } = signed();
    for (const name of SIGNED_NAMES) {
      const { [name]: taken, ...less } = metadata;
      assert.ok(taken !== undefined);
      const added = { ...metadata, signature: sign(less, signingKey) };
      for (const changed of [less, added]) {
        const { message } = refusal(() => checkSignature(changed, [verifyKey], NAME));
        assert.match(message, /changed afterwards/);
      }
    }
  });

  it("lets no value pass for the line of another name", () => {
    const { metadata, verifyKey } = signed({ format: "kong-fallback/1", bytes: "7" });
    const { signature = "" } = metadata;
    const forged = { format: "kong-fallback/1\nbytes: 7", signature };
    refusal(() => checkSignature(forged, [verifyKey], NAME));
    const { signingKey } = signingPair();
    assert.throws(() => sign({ format: "a\nb" }, signingKey), /printable ASCII/);
  });

  it("is refused where it is none, and says so", () => {
    const { verifyKey } = signingPair();
    for (const metadata of [METADATA, {}]) {
      const { message } = refusal(() => checkSignature(metadata, [verifyKey], NAME));
      assert.equal(message, `${NAME} is not signed`);
    }
  });

  it("is refused of a key nobody trusts, naming it and those that are trusted", () => {
    const { metadata, verifyKey } = signed();
    const [one, two] = [signingPair().verifyKey, signingPair().verifyKey];
    const { message } = refusal(() => checkSignature(metadata, [one, two], NAME));
    for (const { id } of [verifyKey, one, two]) assert.ok(message.includes(id), message);
  });

  it("is refused where it names a trusted key that did not make it", () => {
    const { metadata } = signed();
    const { verifyKey } = signingPair();
    const stolen = metadata["signature"]?.replace(/:[0-9a-f]{16}:/, `:${verifyKey.id}:`) ?? "";
    refusal(() => checkSignature({ ...metadata, signature: stolen }, [verifyKey], NAME));
  });

  it.each([
    "",
    "ed25519",
    "ed25519:::",
    "rsa:0123456789abcdef:AAAA",
    "ed25519:0123456789abcdef:AAAA",
    "ed25519:0123456789ABCDEF:x",
  ])("is refused where it cannot be read: %j", (signature) => {
    const { verifyKey } = signingPair();
    refusal(() => checkSignature({ ...METADATA, signature }, [verifyKey], NAME));
  });

  it("is refused with any of its bits turned", () => {
    const { metadata, verifyKey } = signed();
    const [kind, id, base64 = ""] = (metadata["signature"] ?? "").split(":");
    fc.assert(
      fc.property(fc.nat(511), (bit) => {
        const bytes = Buffer.from(base64, "base64");
        bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        const signature = `${kind}:${id}:${bytes.toString("base64")}`;
        refusal(() => checkSignature({ ...metadata, signature }, [verifyKey], NAME));
      }),
    );
  });
});
