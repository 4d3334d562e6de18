/** Conformance: which keys and metadata are taken, and that a missing key is not a bad key. */

import assert from "node:assert/strict";
import { describe, it } from "vitest";
import type { StoreUnderTest } from "../conformance.ts";
import { failsWith, get, keys, list, never, promised, put, text } from "./client.ts";

const BAD_KEYS: Readonly<Record<string, string>> = {
  "the empty key": "",
  "a leading slash": "/a",
  "a trailing slash": "a/",
  "an empty segment": "a//b",
  "a way up": "a/../b",
  "only a way up": "..",
  "a dot": ".",
  "a NUL": "a\u0000b",
  "a newline": "a\nb",
  "more than 512 bytes": `${"é/".repeat(172)}`.slice(0, -1),
};

const ODD_KEYS: Readonly<Record<string, string>> = {
  "with a blank": "a b/c d.json",
  "with a plus": "a+b/c++",
  "with a percent escape that must stay one": "a%2Fb/%00/%",
  "with the delimiters of URLs": "what?a=b&c#d;e:f@g",
  "with quotes and angle brackets": `it's "<quoted>" & so`,
  "with umlauts, kanji and emoji": "größe/設定/😀.json",
  "with dots at the edges": ".a/b./...",
  "with 512 bytes": `${"k".repeat(150)}/${"l".repeat(150)}/${"m".repeat(150)}/${"n".repeat(59)}`,
};

const BAD_METADATA: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  "an upper-case name": { Name: "v" },
  "a name with an underscore": { a_b: "v" },
  "a value that is not ASCII": { a: "grün" },
  "a value with a line end": { a: "v\r\nx-injected: 1" },
  "a value with a blank at its end": { a: "v " },
  "more than 2048 bytes": { a: "v".repeat(2048) },
};

export function describeKeys(under: StoreUnderTest): void {
  describe("keys and metadata", () => {
    it("says NOT_FOUND for a missing key, and which one", async () => {
      await using store = await under.open();
      const error = await failsWith("STORE_NOT_FOUND", get(store, "3.9.1/config.json"));
      assert.ok(error.message.includes("3.9.1/config.json"), error.message);
      for (const secret of under.secrets ?? []) assert.ok(!error.message.includes(secret));
      assert.equal(error.retryable, false);
      await put(store, "3.9.1/config.json", "{}");
      await failsWith("STORE_NOT_FOUND", get(store, "3.9.1/config.jso"));
      await failsWith("STORE_NOT_FOUND", get(store, "3.9.1/config.json2"));
      await failsWith("STORE_NOT_FOUND", get(store, "3.9.1/config.json/x"));
    });

    promised(
      under,
      "folderDelete",
      "says NOT_FOUND for a key that is only the beginning of others",
      async () => {
        await using store = await under.open();
        await put(store, "a/b/c", "{}");
        await failsWith("STORE_NOT_FOUND", get(store, "a/b"));
        await failsWith("STORE_NOT_FOUND", get(store, "a"));
        await store.delete("a/b", never);
        assert.deepEqual(await keys(store, ""), ["a/b/c"]);
      },
    );

    for (const [what, key] of Object.entries(BAD_KEYS)) {
      it(`refuses ${what} as a bad key in get, put and delete, and as a prefix`, async () => {
        await using store = await under.open();
        await failsWith("STORE_BAD_KEY", get(store, key));
        await failsWith("STORE_BAD_KEY", put(store, key, "{}"));
        await failsWith("STORE_BAD_KEY", store.delete(key, never));
        // "" is the one string that is a prefix and no key.
        if (key !== "") await failsWith("STORE_BAD_KEY", list(store, key));
        assert.deepEqual(await keys(store, ""), []);
      });
    }

    for (const [what, metadata] of Object.entries(BAD_METADATA)) {
      it(`refuses metadata with ${what}, and puts nothing`, async () => {
        await using store = await under.open();
        await failsWith("STORE_BAD_KEY", put(store, "a", "{}", metadata));
        await failsWith("STORE_NOT_FOUND", get(store, "a"));
      });
    }

    const goesThrough = (key: string) => async () => {
      await using store = await under.open();
      const info = await put(store, key, "odd", { n: "1" });
      assert.equal(info.key, key);
      assert.equal(await text(store, key), "odd");
      assert.deepEqual(await keys(store, ""), [key]);
      const slash = key.indexOf("/");
      if (slash > 0) assert.deepEqual(await keys(store, key.slice(0, slash)), [key]);
      await store.delete(key, never);
      assert.deepEqual(await keys(store, ""), []);
    };
    for (const [what, key] of Object.entries(ODD_KEYS)) {
      it(`puts, gets, lists and deletes a key ${what}`, goesThrough(key));
    }

    const sentence = "puts, gets, lists and deletes a key with backslashes";
    promised(under, "backslash", sentence, goesThrough("a\\b/\\c"));

    it("tells apart keys that differ only in an escape", async () => {
      await using store = await under.open();
      const lookalikes = ["a b", "a+b", "a%20b", "a%2520b", "a%2Bb"];
      for (const key of lookalikes) await put(store, key, key);
      for (const key of lookalikes) assert.equal(await text(store, key), key);
      assert.deepEqual(await keys(store, ""), lookalikes.toSorted());
    });
  });
}
