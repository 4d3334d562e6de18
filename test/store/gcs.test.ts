/** The GCS store against the wire fake: conformance, and what is particular to Cloud Storage. */

import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import { afterAll, afterEach, beforeAll, describe, it } from "vitest";
import type { GcsStoreOptions } from "../../src/store/gcs.ts";
import type { Store } from "../../src/store/port.ts";
import type { SeenRequest } from "../fakes/gcs-server.ts";
import { FakeGcsServer } from "../fakes/gcs-server.ts";
import {
  failsWith,
  get,
  getIfChanged,
  keys,
  never,
  put,
  rejectsWith,
  text,
} from "./conformance/client.ts";
import { storeConformance } from "./conformance.ts";
import { openGcs } from "./gcs-support.ts";

let fake: FakeGcsServer;
let prefixes = 0;

beforeAll(async () => {
  fake = await FakeGcsServer.start("backups");
});
afterAll(() => fake[Symbol.asyncDispose]());
afterEach(() => {
  fake.fault = () => undefined;
  fake.requests.length = 0;
});

function open(options: Partial<GcsStoreOptions> = {}): Store {
  const prefix = `team/${prefixes}`;
  return openGcs(fake.endpoint, { prefix, ...options });
}

function openAnew(options?: Partial<GcsStoreOptions>): Store {
  prefixes += 1;
  return open(options);
}

function isDownload({ params }: SeenRequest): boolean {
  return params.get("alt") === "media";
}

storeConformance("gcs, against the wire fake", {
  async open({ pageSize } = {}) {
    return openAnew({ pageSize });
  },
  async reopen() {
    return open();
  },
});

describe("gcs put", () => {
  it("is one multipart request with metadata, CRC32C and the generation it must meet", async () => {
    await using store = openAnew();
    const { version } = await put(store, "a/b", "123456789", { n: "1" }, { ifAbsent: true });
    await put(store, "a/b", "{}", {}, { ifVersion: version });
    const [first, second, ...others] = fake.requests;
    assert.ok(first && second);
    assert.equal(others.length, 0);
    assert.equal(`${first.method} ${first.path}`, "POST /upload/storage/v1/b/backups/o");
    assert.equal(first.params.get("uploadType"), "multipart");
    assert.equal(first.params.get("ifGenerationMatch"), "0");
    assert.equal(second.params.get("ifGenerationMatch"), version);
    // e3069283, the check value of CRC-32C, in base64.
    const resource = {
      name: `team/${prefixes}/a/b`,
      contentType: "application/json",
      metadata: { n: "1" },
      crc32c: "4waSgw==",
    };
    assert.ok(first.body.includes(JSON.stringify(resource)), first.body.toString());
  });

  it("sends no credentials to an emulator", async () => {
    await using store = openAnew();
    await put(store, "a", "{}");
    for (const { headers } of fake.requests) {
      assert.equal(headers.authorization, undefined);
      assert.equal(headers["x-goog-api-key"], undefined);
    }
  });

  it("says who sends, by the configured user agent", async () => {
    await using store = openAnew({ userAgent: "kong-fallback/9.8.7" });
    await put(store, "a", "{}");
    assert.equal(fake.requests[0]?.headers["user-agent"], "kong-fallback/9.8.7");
  });
});

describe("gcs get", () => {
  it("pins the body to the generation of the metadata, and starts over if that is gone", async () => {
    await using store = openAnew();
    await put(store, "a", "old", { n: "old" });
    const name = `team/${prefixes}/a`;
    fake.fault = (request) => {
      if (!isDownload(request)) return undefined;
      fake.fault = () => undefined;
      fake.store("backups", { name, metadata: { n: "new" } }, Buffer.from("newer"));
      return undefined;
    };
    const { body, metadata } = await get(store, "a");
    assert.equal(new TextDecoder().decode(body), "newer");
    assert.deepEqual(metadata, { n: "new" });
  });

  it("closes the connection of an answer that it does not read to its end", async () => {
    await using store = openAnew();
    await put(store, "a", "old");
    const name = `team/${prefixes}/a`;
    fake.fault = (request) => {
      if (!isDownload(request)) return undefined;
      fake.fault = () => undefined;
      fake.store("backups", { name }, Buffer.from("newer"));
      return { kind: "hang" };
    };
    assert.equal(await text(store, "a"), "newer");
    await fake.requests.find(isDownload)?.closed();
  });

  it("gives up on an object that is replaced between its requests again and again", async () => {
    await using store = openAnew();
    await put(store, "a", "old");
    const name = `team/${prefixes}/a`;
    fake.fault = (request) => {
      if (isDownload(request)) fake.store("backups", { name }, Buffer.from("new"));
      return undefined;
    };
    const error = await failsWith("STORE_UNAVAILABLE", get(store, "a"));
    assert.match(error.message, /replaced 100 times/);
  });

  it("says NOT_FOUND for an object deleted between its requests", async () => {
    await using store = openAnew();
    await put(store, "a", "old");
    fake.fault = (request) => {
      if (isDownload(request)) fake.buckets.get("backups")?.delete(`team/${prefixes}/a`);
      return undefined;
    };
    await failsWith("STORE_NOT_FOUND", get(store, "a"));
  });

  it("takes what another tool stored: without metadata, or with Content-Encoding gzip as it lies there", async () => {
    await using store = openAnew();
    const name = `team/${prefixes}/a`;
    const packed = gzipSync("by hand");
    const resource = { name, contentType: "application/json", contentEncoding: "gzip" };
    fake.store("backups", resource, packed);
    const object = await get(store, "a");
    assert.deepEqual(Buffer.from(object.body), packed);
    assert.deepEqual(object.metadata, {});
    assert.equal(fake.requests.find(isDownload)?.headers["accept-encoding"], "gzip");
  });
});

describe("gcs conditional get", () => {
  it("asks once for the description, and for no body, while nothing has changed", async () => {
    await using store = openAnew();
    const { version } = await put(store, "a", "old");
    fake.requests.length = 0;
    assert.equal(await getIfChanged(store, "a", version), undefined);
    assert.deepEqual(
      fake.requests.map(({ method, params }) => `${method} ${[...params.keys()]}`),
      ["GET fields"],
    );
  });
});

describe("gcs list", () => {
  it("leaves out the folders that the console makes", async () => {
    await using store = openAnew();
    for (const folder of ["", "3.9.1/"]) {
      fake.store("backups", { name: `team/${prefixes}/${folder}` }, Buffer.alloc(0));
    }
    await put(store, "3.9.1/config.json", "{}");
    assert.deepEqual(await keys(store, ""), ["3.9.1/config.json"]);
  });

  it("asks for pages of 1000 objects", async () => {
    await using store = openAnew();
    assert.deepEqual(await keys(store, "a"), []);
    assert.equal(fake.requests[0]?.params.get("maxResults"), "1000");
  });
});

describe("gcs endpoint", () => {
  it("takes STORAGE_EMULATOR_HOST in the forms that other tools take", async () => {
    for (const apiEndpoint of [`127.0.0.1:${fake.port}`, `${fake.endpoint}/`]) {
      await using store = openAnew({ apiEndpoint, prefix: "" });
      await put(store, "at/the/root", apiEndpoint);
      assert.equal(await text(store, "at/the/root"), apiEndpoint);
      assert.ok(fake.buckets.get("backups")?.has("at/the/root"));
    }
  });

  it("refuses one that is no URL", () => {
    assert.throws(() => open({ apiEndpoint: "ftp://files" }), {
      code: "STORE_MISCONFIGURED",
      message: /"ftp:\/\/files" is not an http or https URL/,
      hint: /STORAGE_EMULATOR_HOST/,
    });
  });
});

describe("gcs abort and dispose", () => {
  it("closes the connection of a request that is aborted or outlived by the store", async () => {
    const store = openAnew();
    const asked = () =>
      new Promise<SeenRequest>((resolve) => {
        fake.fault = (request) => {
          resolve(request);
          return { kind: "stall" };
        };
      });
    const controller = new AbortController();
    const reason = new Error("enough");
    const first = asked();
    const aborted = rejectsWith(reason, put(store, "a", "{}", {}, undefined, controller.signal));
    const seen = await first;
    controller.abort(reason);
    await Promise.all([aborted, seen.closed()]);

    const second = asked();
    const outlived = failsWith("STORE_CLOSED", store.delete("a", never));
    const seenLater = await second;
    await store[Symbol.asyncDispose]();
    await Promise.all([outlived, seenLater.closed()]);
  });
});
