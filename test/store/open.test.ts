/** Each kind of location opens its own driver. */

import assert from "node:assert/strict";
import { inspect } from "node:util";
import { afterEach, it, vi } from "vitest";
import { Secret } from "../../src/core/secret.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { FileStore } from "../../src/store/file.ts";
import { openStore } from "../../src/store/open.ts";
import type { StoreError } from "../../src/store/port.ts";
import { parseStorageUrl } from "../../src/store/storage-url.ts";
import { FakeS3 } from "../fakes/s3-server.ts";
import { put } from "./conformance/client.ts";

const OPTIONS = { clock: systemClock, timeoutMs: 5_000 };

afterEach(() => {
  vi.unstubAllEnvs();
});

it("opens s3:// with what concerns it", async () => {
  vi.stubEnv("AWS_ACCESS_KEY_ID", "fake-key-id");
  vi.stubEnv("AWS_SECRET_ACCESS_KEY", "secret");
  await using fake = await FakeS3.start({ region: "eu-west-1" });
  await using store = await openStore(parseStorageUrl("s3://bucket/team/kong/"), {
    ...OPTIONS,
    endpoint: fake.endpoint,
    region: "eu-west-1",
    putOptions: { StorageClass: "STANDARD_IA" },
  });
  assert.equal(store.url, "s3://bucket/team/kong");
  await put(store, "a", "1");
  assert.deepEqual([...(fake.buckets.get("bucket")?.keys() ?? [])], ["team/kong/a"]);
  assert.equal(fake.requests[0]?.headers["x-amz-storage-class"], "STANDARD_IA");
});

it("opens gs:// with the emulator it is given", async () => {
  await using store = await openStore(parseStorageUrl("gs://bucket/prefix"), {
    ...OPTIONS,
    apiEndpoint: "http://127.0.0.1:9",
  });
  assert.equal(store.url, "gs://bucket/prefix");
});

it("opens azure:// with the key and the endpoint it is given, of several accounts each its own", async () => {
  const azureCredentials = { accountKey: new Secret("a2V5LW9mLXRoZS1hY2NvdW50") };
  const azureEndpoint = "http://127.0.0.1:9";
  const options = { ...OPTIONS, azureCredentials, azureEndpoint };
  for (const url of ["azure://first/box/prefix", "azure://second/box/prefix"]) {
    await using store = await openStore(parseStorageUrl(url), options);
    assert.equal(store.url, url);
    const account = url.split("/")[2];
    await assert.rejects(put(store, "a", "1"), {
      code: "STORE_UNAVAILABLE",
      message: `could not write ${url}/a at http://127.0.0.1:9/${account}, account key: the server cannot be reached (ECONNREFUSED)`,
    });
  }
});

it("opens file://", async () => {
  await using store = await openStore(parseStorageUrl("file:///nowhere"), OPTIONS);
  assert.ok(store instanceof FileStore);
  assert.equal(store.url, "file:///nowhere");
});

it.each(["s3://bucket/p", "gs://bucket/p", "azure://account/box/p"])(
  "refuses a proxy that is no URL for %s, without repeating its password",
  async (url) => {
    const proxies = { https: "socks5://user:proxy-secret@proxy:1080" };
    await assert.rejects(openStore(parseStorageUrl(url), { ...OPTIONS, proxies }), (error) => {
      assert.match(String(error), /HTTPS_PROXY is not a proxy's http or https URL/);
      assert.ok(!inspect(error, { depth: 10 }).includes("proxy-secret"));
      return (error as StoreError).code === "STORE_MISCONFIGURED";
    });
  },
);

it("opens file:// whatever the proxy is", async () => {
  const proxies = { https: "socks5://proxy:1080" };
  await using store = await openStore(parseStorageUrl("file:///nowhere"), { ...OPTIONS, proxies });
  assert.ok(store instanceof FileStore);
});
