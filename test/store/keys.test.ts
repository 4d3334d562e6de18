/** What a key, a prefix and metadata may look like. */

import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { checkKey, checkMetadata, checkPrefix } from "../../src/store/keys.ts";
import { StoreError } from "../../src/store/port.ts";

function badKey(pattern: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof StoreError);
    assert.equal(error.code, "STORE_BAD_KEY");
    assert.equal(error.retryable, false);
    assert.match(error.message, pattern);
    return true;
  };
}

describe("checkKey", () => {
  for (const key of [
    "a",
    "3.9.1/config.json",
    ".hidden/..x/...",
    "a b/c+d/%2F/?#&=",
    "ü/Ω/😀",
    `${"x".repeat(255)}/${"y".repeat(256)}`,
    `${"é".repeat(256)}`,
  ]) {
    it(`takes ${JSON.stringify(key.slice(0, 40))}`, () => checkKey(key));
  }

  for (const [key, pattern] of [
    ["", /key "" is empty/],
    ["/a", /begins with "\/"/],
    ["a/", /ends with "\/"/],
    ["/", /begins with "\/"/],
    ["a//b", /empty segment/],
    [".", /segment "\." or "\.\."/],
    ["..", /segment "\." or "\.\."/],
    ["a/../b", /segment "\." or "\.\."/],
    ["a/./b", /segment "\." or "\.\."/],
    ["a\u0000b", /key "a\\u0000b" has a control character/],
    ["a\nb", /key "a\\nb" has a control character/],
    ["a\u007fb", /control character/],
    ["a\u0085b", /key "a\\u0085b" has a control character/],
    ["a\ud83d", /half of a surrogate pair/],
    ["x".repeat(513), /"x{80}…" is 513 bytes long, more than 512/],
    ["é".repeat(257), /is 514 bytes long/],
  ] as const) {
    it(`refuses ${JSON.stringify(key.slice(0, 40))}`, () => {
      assert.throws(() => checkKey(key), badKey(pattern));
    });
  }
});

describe("checkPrefix", () => {
  it("takes the empty prefix and any key", () => {
    checkPrefix("");
    checkPrefix("3.9.1/history");
  });

  it("refuses a trailing slash, and says that it is about a prefix", () => {
    assert.throws(() => checkPrefix("3.9.1/"), badKey(/prefix "3\.9\.1\/" ends with "\/"/));
  });
});

describe("checkMetadata", () => {
  it("takes none, punctuation, inner blanks, and 2048 bytes exactly", () => {
    checkMetadata({});
    checkMetadata({ a: '{"b": 1, "c": [+;=/]} ~', "x-1": "!" });
    checkMetadata({ abcd: "v".repeat(2044) });
  });

  it("refuses 2049 bytes of names and values", () => {
    assert.throws(
      () => checkMetadata({ abcd: "v".repeat(2000), efgh: "v".repeat(41) }),
      badKey(/2049 bytes long, more than 2048/),
    );
  });

  for (const name of ["", "A", "a_b", "a b", "ä"]) {
    it(`refuses the name ${JSON.stringify(name)}`, () => {
      assert.throws(() => checkMetadata({ [name]: "v" }), badKey(/metadata name/));
    });
  }

  for (const value of ["", " a", "a ", "a\tb", "a\nb", "ä", "\u007f"]) {
    it(`refuses the value ${JSON.stringify(value)}, and names only its entry`, () => {
      assert.throws(() => checkMetadata({ name: value }), badKey(/value of metadata "name"/));
    });
  }

  it("keeps the value out of the message, for it may be a signature", () => {
    assert.throws(
      () => checkMetadata({ seal: "s3cret\n" }),
      (error: unknown) => error instanceof StoreError && !error.message.includes("s3cret"),
    );
  });
});
