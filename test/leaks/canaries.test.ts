import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, it } from "vitest";
import { clusterCertificate } from "../fakes/certificates.ts";
import { Canaries, formsOf, newSecret } from "./canaries.ts";

describe("the search for canaries", () => {
  it("finds each form of each kind of secret in the middle of other text", async () => {
    const pair = await clusterCertificate();
    for (const value of [newSecret(), newSecret(true), pair.key.reveal()]) {
      const canaries = new Canaries();
      canaries.plant("config", "planted", value);
      for (const [form, text] of formsOf(value)) {
        const [leak] = canaries.find(`{"msg":"unlucky ${text}"}`);
        assert.equal(leak?.canary, "planted", form);
      }
      assert.deepEqual(canaries.find(`nothing ${randomBytes(2_000).toString("base64")}`), []);
      assert.deepEqual(canaries.find(pair.cert), [], "a certificate is public");
    }
  });

  it("finds a piece of 16 characters, and one that is broken by line ends", () => {
    const canaries = new Canaries();
    const value = canaries.plant("config", "planted");
    const piece = value.slice(9, 25);
    assert.equal(canaries.find(`"${piece}"`).length, 1);
    assert.equal(canaries.find(piece.slice(1)).length, 0);
    assert.equal(canaries.find(piece.replace(/.{5}/g, "$&\r\n")).length, 1);
    assert.equal(canaries.find(JSON.stringify(piece.replace(/.{5}/g, "$&\n"))).length, 1);
  });

  it("finds base64 of a text that a secret is only a part of, wherever it begins", () => {
    const canaries = new Canaries();
    const value = canaries.plant("config", "planted");
    for (const before of ["", "u", "us", "use", "user"]) {
      const encoded = Buffer.from(`${before}:${value}:more`);
      assert.equal(canaries.find(encoded.toString("base64")).length, 1, before);
      assert.equal(canaries.find(encoded.toString("base64url")).length, 1, before);
    }
  });

  it("leaves out what may be shown, and nothing else", () => {
    const canaries = new Canaries();
    const text = `${canaries.plant("config", "a")} ${canaries.plant("aws-secret", "b")}`;
    assert.deepEqual(
      canaries.find(text, ["config"]).map(({ canary }) => canary),
      ["b"],
    );
  });
});
