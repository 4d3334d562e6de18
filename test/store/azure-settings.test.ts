/** Azure settings that cannot work are refused before anything is sent; where the others lead. */

import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { Secret } from "../../src/core/secret.ts";
import type { AzureStoreOptions } from "../../src/store/azure.ts";
import { fromBlobMetadata, toBlobMetadata } from "../../src/store/azure.ts";
import { FakeAzure } from "../fakes/azure-server.ts";
import { openAzure } from "./azure-support.ts";
import { put } from "./conformance/client.ts";
import { refused } from "./refused.ts";

const KEY = Buffer.from("kong-fallback-test-account-key").toString("base64");
const PLACE = { endpoint: "http://127.0.0.1:9", account: "kongfallback", accountKey: KEY };

const open = (options: Partial<AzureStoreOptions>) => openAzure(PLACE, options);

describe("Azure settings that cannot work", () => {
  it.each([
    ["minio:9000", /AZURE_STORAGE_ENDPOINT is not an http\(s\)/],
    ["ftp://{account}.example", /not an http\(s\)/],
    ["https://user:canary-secret@example", /holds credentials/],
    ["https://{account}.example/?sig=canary-secret", /goes on with a "\?"/],
  ])("refuses the endpoint %s", async (endpoint, message) => {
    const hint = /https:\/\/\{account\}\.blob\.core\.windows\.net/;
    await refused(open({ endpoint }), { code: "STORE_MISCONFIGURED", message, hint }, ["canary"]);
  });

  it.each(["DefaultEndpointsProtocol=https;AccountKey=canary", "short", ""])(
    "refuses %j as an account key",
    async (text) => {
      const credentials = { accountKey: new Secret(text) };
      const message = /AZURE_STORAGE_KEY is not base64/;
      await refused(open({ credentials }), { code: "STORE_DENIED", message }, ["canary"]);
    },
  );

  it.each(["sv=canary&se=2030", "https://a.example/b?sv=1&sig=canary"])(
    "refuses %j as a SAS token",
    async (text) => {
      const credentials = { sasToken: new Secret(text) };
      const message = /AZURE_STORAGE_SAS_TOKEN has no "sig"/;
      await refused(open({ credentials }), { code: "STORE_DENIED", message }, ["canary"]);
    },
  );
});

describe("an Azure endpoint", () => {
  it.each([
    ["https://{account}.127.0.0.1.invalid", "https://kongfallback.127.0.0.1.invalid, SAS token"],
    ["https://azurite.invalid:1/", "https://azurite.invalid:1/kongfallback, SAS token"],
    [undefined, "https://kongfallback.blob.core.windows.net, SAS token"],
  ])("%s leads to %s", async (endpoint, place) => {
    const credentials = { sasToken: new Secret("?sv=1&sig=x") };
    await using store = await open({ endpoint, credentials });
    // A signal that has aborted would hide the place: a closed store names it without asking anybody.
    await store[Symbol.asyncDispose]();
    const reading = store.get("a", { maxBytes: 1 }, new AbortController().signal);
    const closed = await refused(reading, { code: "STORE_CLOSED", message: /closed/ });
    assert.ok(closed.message.includes(` at ${place}: `), closed.message);
  });
});

describe("Azure metadata", () => {
  it("goes up under names that Azure takes, with a body of known length and MD5", async () => {
    await using fake = await FakeAzure.start();
    await using store = await openAzure(fake);
    await put(store, "b", "{}", { "config-hash": "x", "3d": "y" });
    const headers = fake.requests.at(-1)?.headers ?? {};
    assert.equal(headers["x-ms-blob-content-md5"], "mZFLkyvTelC5g8XnyQrpOw==");
    assert.equal(headers["content-length"], "2");
    assert.equal(headers["x-ms-meta-kf_config_hash"], "x");
    assert.equal(headers["x-ms-meta-kf_3d"], "y");
    assert.match(`${headers["user-agent"]}`, /^kong-fallback /);
  });

  it("comes back under our names in whatever case, and others' not at all", () => {
    const ours = { "config-hash": "x", sealed: "age", "3d": "y", "-": "z" };
    const theirs = { config_hash: "no", hdi_isfolder: "true" };
    const blob = toBlobMetadata(ours);
    for (const name of Object.keys(blob)) assert.match(name, /^[a-z_][a-z0-9_]*$/);
    const shouted = Object.entries({ ...blob, ...theirs }).map(([name, value]) => [
      name.toUpperCase(),
      value,
    ]);
    assert.deepEqual(fromBlobMetadata(Object.fromEntries(shouted)), ours);
    assert.deepEqual(fromBlobMetadata(undefined), {});
  });
});
