/** What becomes of transfers to and from Azure that break. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "vitest";
import type { AzureStoreOptions } from "../../src/store/azure.ts";
import type { Store } from "../../src/store/port.ts";
import type { AzureFault } from "../fakes/azure-server.ts";
import { FakeAzure } from "../fakes/azure-server.ts";
import { openAzure, refused } from "./azure-support.ts";
import { get, put, text } from "./conformance/client.ts";

/** Stands for a configuration, which no error may show. */
const BODY = '{"consumers":[{"custom_id":"body-secret"}]}'.repeat(5_000);

let fake: FakeAzure;
let store: Store;

const open = (options: Partial<AzureStoreOptions> = {}) => openAzure(fake, options);

beforeEach(async () => {
  fake = await FakeAzure.start();
  store = await open();
  await put(store, "a", BODY);
  fake.requests.length = 0;
});
afterEach(async () => {
  await store[Symbol.asyncDispose]();
  await fake[Symbol.asyncDispose]();
});

describe("an Azure transfer", () => {
  it("that ends early is no object, and is not asked for again", async () => {
    fake.fault = () => ({ kind: "half" });
    await refused(get(store, "a"), { code: "STORE_UNAVAILABLE", message: /connection broke/ }, [
      "body-secret",
    ]);
    assert.equal(fake.requests.length, 1);
  });

  it("that was damaged on the way is found out by its MD5", async () => {
    fake.fault = () => ({ kind: "damage" });
    const message = /do not have the object's MD5/;
    await refused(get(store, "a"), { code: "STORE_UNAVAILABLE", message }, ["body-secret"]);
  });

  it("sends the MD5 of its body, its length, and its metadata under names that Azure takes", async () => {
    await put(store, "b", "{}", { "config-hash": "x", "3d": "y" });
    const headers = fake.requests.at(-1)?.headers ?? {};
    assert.equal(headers["x-ms-blob-content-md5"], "mZFLkyvTelC5g8XnyQrpOw==");
    assert.equal(headers["content-length"], "2");
    assert.equal(headers["x-ms-meta-kf_config_hash"], "x");
    assert.equal(headers["x-ms-meta-kf_3d"], "y");
    assert.match(`${headers["user-agent"]}`, /^kong-fallback /);
  });

  it("that stalls before or within the answer ends after the time of silence", async () => {
    await using hasty = await open({ timeoutMs: 200 });
    const late = {
      code: "STORE_UNAVAILABLE",
      message: /not answer in time \(no (?:rest of the )?answer within 200 ms\)/,
    } as const;
    for (const kind of ["stall", "half-stall"] as const) {
      fake.fault = () => ({ kind });
      await refused(get(hasty, "a"), late);
    }
    fake.fault = () => ({ kind: "stall" });
    await refused(put(hasty, "a", BODY), late);
  });

  it("under way when the store is closed rejects with STORE_CLOSED", async () => {
    const arrived = new Promise<void>((resolve) => {
      fake.fault = () => {
        resolve();
        return { kind: "stall" };
      };
    });
    const reading = get(store, "a");
    const closed = refused(reading, { code: "STORE_CLOSED", message: /the store was closed/ });
    await arrived;
    await store[Symbol.asyncDispose]();
    await closed;
  });
});

describe("a conditional write to Azure whose answer is lost", () => {
  const cut: AzureFault = { kind: "reset" };
  const cutPut = (fault: AzureFault) => {
    fake.fault = ({ method }) => (method === "PUT" ? fault : undefined);
  };

  it("lost, where another object lies there now", async () => {
    const { version } = await get(store, "a");
    fake.store("backups/some/prefix/a", "another's");
    cutPut(cut);
    const lost = {
      code: "STORE_PRECONDITION_FAILED",
      message: /written by somebody else/,
    } as const;
    await refused(put(store, "a", "mine", {}, { ifVersion: version }), lost);
    await refused(put(store, "a", "mine", {}, { ifAbsent: true }), {
      code: "STORE_PRECONDITION_FAILED",
      message: /exists already/,
    });
  });

  it("may have taken effect, where it is what lies there, or what it was to replace", async () => {
    const { version } = await get(store, "a");
    const broke = { code: "STORE_UNAVAILABLE", message: /connection broke/ } as const;
    cutPut(cut);
    await refused(put(store, "a", "mine", {}, { ifVersion: version }), broke);
    cutPut({ kind: "lost-answer" });
    await refused(put(store, "a", "mine", { n: "1" }, { ifVersion: version }), broke);
    assert.equal(await text(store, "a"), "mine");
  });

  it("asks nothing where it had no condition, or the look fails, too", async () => {
    cutPut(cut);
    const broke = { code: "STORE_UNAVAILABLE", message: /connection broke/ } as const;
    await refused(put(store, "a", "mine"), broke);
    assert.equal(fake.requests.length, 1);
    fake.fault = () => cut;
    await refused(put(store, "a", "mine", {}, { ifAbsent: true }), broke);
  });
});
