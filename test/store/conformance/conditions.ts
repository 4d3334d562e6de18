/** Conformance: preconditions of a put, one writer at a time and eight at once. */

import assert from "node:assert/strict";
import { describe } from "vitest";
import type { StoreUnderTest } from "../conformance.ts";
import {
  failsWith,
  get,
  keys,
  list,
  never,
  onlyWinner,
  promised,
  put,
  secondClient,
  text,
} from "./client.ts";

const EIGHT = Array.from({ length: 8 }, (_, place) => place);

export function describeConditions(under: StoreUnderTest): void {
  describe("preconditions", () => {
    promised(under, "ifAbsent", "lets ifAbsent win once, and keeps what it wrote", async () => {
      await using store = await under.open();
      const info = await put(store, "a", "first", { n: "1" }, { ifAbsent: true });
      const error = await failsWith(
        "STORE_PRECONDITION_FAILED",
        put(store, "a", "second", { n: "2" }, { ifAbsent: true }),
      );
      assert.ok(error.message.includes("a"), error.message);
      const object = await get(store, "a");
      assert.equal(new TextDecoder().decode(object.body), "first");
      assert.deepEqual({ ...object.metadata }, { n: "1" });
      assert.equal(object.version, info.version);
    });

    promised(under, "ifAbsent", "refuses ifAbsent even for the very same content", async () => {
      await using store = await under.open();
      await put(store, "a", "same", { n: "1" }, { ifAbsent: true });
      await failsWith(
        "STORE_PRECONDITION_FAILED",
        put(store, "a", "same", { n: "1" }, { ifAbsent: true }),
      );
    });

    promised(under, "ifAbsent", "takes ifAbsent again after a delete", async () => {
      await using store = await under.open();
      await put(store, "a", "first", {}, { ifAbsent: true });
      await store.delete("a", never);
      await put(store, "a", "second", {}, { ifAbsent: true });
      assert.equal(await text(store, "a"), "second");
    });

    promised(under, "ifAbsent", "lets exactly one of eight at once create an object", async () => {
      await using store = await under.open();
      await using other = await secondClient(under, store);
      const winner = await onlyWinner(
        EIGHT.map((place) =>
          put(
            place % 2 ? other : store,
            "dir/a",
            `body ${place}`,
            { n: `${place}` },
            { ifAbsent: true },
          ),
        ),
      );
      const object = await get(store, "dir/a");
      assert.equal(new TextDecoder().decode(object.body), `body ${winner}`);
      assert.deepEqual({ ...object.metadata }, { n: `${winner}` });
      assert.deepEqual(await keys(store, ""), ["dir/a"]);
    });

    promised(
      under,
      "ifVersion",
      "takes the version a put returned, a get shows and a list shows",
      async () => {
        await using store = await under.open();
        const first = await put(store, "a", "1");
        const second = await put(store, "a", "2", {}, { ifVersion: first.version });
        const shown = await get(store, "a");
        assert.equal(shown.version, second.version);
        await put(store, "a", "3", {}, { ifVersion: shown.version });
        const [listed] = await list(store, "");
        assert.ok(listed);
        await put(store, "a", "4", {}, { ifVersion: listed.version });
        assert.equal(await text(store, "a"), "4");
      },
    );

    promised(
      under,
      "ifVersion",
      "refuses a stale version and leaves the object as it is",
      async () => {
        await using store = await under.open();
        const stale = await put(store, "a", "1", { n: "1" });
        const current = await put(store, "a", "2", { n: "2" });
        await failsWith(
          "STORE_PRECONDITION_FAILED",
          put(store, "a", "3", { n: "3" }, { ifVersion: stale.version }),
        );
        const object = await get(store, "a");
        assert.equal(new TextDecoder().decode(object.body), "2");
        assert.deepEqual({ ...object.metadata }, { n: "2" });
        assert.equal(object.version, current.version);
      },
    );

    promised(under, "ifVersion", "refuses the version of another object", async () => {
      await using store = await under.open();
      const a = await put(store, "a", "of a");
      await put(store, "b", "of b");
      await failsWith(
        "STORE_PRECONDITION_FAILED",
        put(store, "b", "new", {}, { ifVersion: a.version }),
      );
      assert.equal(await text(store, "b"), "of b");
    });

    promised(
      under,
      "ifVersion",
      "refuses ifVersion on a missing key as a failed precondition, and creates nothing",
      async () => {
        await using store = await under.open();
        const { version } = await put(store, "a", "1");
        await store.delete("a", never);
        await failsWith(
          "STORE_PRECONDITION_FAILED",
          put(store, "a", "2", {}, { ifVersion: version }),
        );
        await failsWith(
          "STORE_PRECONDITION_FAILED",
          put(store, "never/was", "2", {}, { ifVersion: version }),
        );
        assert.deepEqual(await keys(store, ""), []);
      },
    );

    promised(
      under,
      "ifVersion",
      "lets exactly one of eight at once replace a version",
      async () => {
        await using store = await under.open();
        await using other = await secondClient(under, store);
        const { version } = await put(store, "a", "before");
        const winner = await onlyWinner(
          EIGHT.map((place) =>
            put(
              place % 2 ? other : store,
              "a",
              `body ${place}`,
              { n: `${place}` },
              { ifVersion: version },
            ),
          ),
        );
        const object = await get(store, "a");
        assert.equal(new TextDecoder().decode(object.body), `body ${winner}`);
        assert.deepEqual({ ...object.metadata }, { n: `${winner}` });
      },
    );

    promised(
      under,
      "metadataInVersion",
      "gives the same body with other metadata another version",
      async () => {
        await using store = await under.open();
        const first = await put(store, "a", "same", { n: "1" });
        const second = await put(store, "a", "same", { n: "2" });
        assert.notEqual(second.version, first.version);
        const shown = await get(store, "a");
        assert.equal(shown.version, second.version);
        assert.deepEqual({ ...shown.metadata }, { n: "2" });
        await failsWith(
          "STORE_PRECONDITION_FAILED",
          put(store, "a", "same", { n: "3" }, { ifVersion: first.version }),
        );
      },
    );
  });
}
