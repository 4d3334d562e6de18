import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { hearsay } from "../../src/core/hearsay.ts";

describe("what a server says in its own words", () => {
  it("is repeated where it is a sentence", () => {
    for (const sentence of [
      "Access Denied.",
      "User: arn:aws:sts::123456789012:assumed-role/kong-exporter/session-1 is not authorized to perform: s3:GetObject on resource: arn:aws:s3:::bucket/prefix/3.9.1/config.json",
      "the region 'us-east-1' is wrong; expecting 'eu-central-1'",
      "backup@shop.iam.gserviceaccount.com does not have storage.objects.get access to the Google Cloud Storage object. Permission 'storage.objects.get' denied on resource (or it may not exist)",
      "Request has expired at 2026-11-21T12:00:00Z, now is 2026-11-21T13:00:00Z",
    ]) {
      assert.equal(hearsay(sentence), sentence);
    }
  });

  it("loses what looks like a key, wherever it stands", () => {
    const secrets = [
      "0123456789abcdef",
      "AKIAIOSFODNN7EXAMPLE",
      "IQoJb3JpZ2luX2VjEJr//////////wEaCXVzLWVhc3QtMSJHMEUCIQDz+x/2",
      "eyJhbGciOiJIUzI1NiJ9.e30.abc",
      "ya29.c.made-up-token",
      // No part of it is a word of 16 characters with a digit in it.
      "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    ];
    for (const secret of secrets) {
      for (const sentence of [`token ${secret} is bad`, `bad:${secret}`, `'${secret}'.`]) {
        const said = hearsay(sentence);
        assert.match(said, /\[redacted\]/);
        assert.ok(!said.includes(secret.slice(0, 12)), said);
      }
    }
    assert.equal(
      hearsay("sent Authorization: Bearer abc def"),
      "sent Authorization: [redacted] def",
    );
    assert.equal(
      hearsay('field "correct horse battery staple" is bad'),
      'field "[redacted]" is bad',
    );
  });

  it("ends where it begins to quote what was sent", () => {
    assert.equal(hearsay('cannot parse {"key":"short"}'), "cannot parse");
    assert.equal(hearsay("no: <html>password</html>"), "no:");
    assert.equal(hearsay("bad key -----BEGIN PRIVATE KEY-----\nMIGH"), "bad key");
    assert.equal(hearsay(String.raw`bad text a\nb`), "bad text a");
  });

  it("is one line that no terminal obeys, and not endless", () => {
    assert.equal(
      hearsay("a\r\n{0}".replace("{0}", "b\u001b[2J\u009b1m\u202ec")),
      "a b\ufffd[2J\ufffd1m\ufffdc",
    );
    assert.equal(hearsay("word ".repeat(1_000_000)).length, 300);
  });

  it("keeps what stands between two quoted names, and a name without digits", () => {
    const said = 'User "system:serviceaccount:kong:exporter" cannot get resource "leases"';
    assert.equal(hearsay(said), said);
    assert.equal(
      hearsay('token "x" of "correct Horse battery staple"'),
      'token "x" of "[redacted]"',
    );
  });
});
