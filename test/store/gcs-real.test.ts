/** The GCS store against a real fake-gcs-server: the conformance that its wire fake passes, and where the server differs from Google's. */

import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, it } from "vitest";
import type { Store } from "../../src/store/port.ts";
import { startFakeGcs } from "../servers/fake-gcs.ts";
import { titled, whyMissing } from "../servers/locate.ts";
import type { RealServer } from "../servers/process.ts";
import { failsWith, get, keys, list, never, put } from "./conformance/client.ts";
import { storeConformance } from "./conformance.ts";
import { openGcs } from "./gcs-support.ts";

const missing = whyMissing("fake-gcs-server");

describe.skipIf(missing)(titled("gcs, against fake-gcs-server", missing), () => {
  let server: RealServer;
  let prefixes = 0;

  beforeAll(async () => {
    server = await startFakeGcs();
    const created = await fetch(`${server.endpoint}/storage/v1/b?project=test`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ name: "backups" }),
    });
    assert.equal(created.status, 200);
  }, 60_000);
  afterAll(() => server?.stop());

  function open(bucket = "backups", pageSize?: number): Store {
    const prefix = `team/${prefixes}`;
    const apiEndpoint = server.endpoint;
    return openGcs(apiEndpoint, { bucket, prefix, pageSize });
  }

  storeConformance("conformance", {
    async open({ pageSize } = {}) {
      prefixes += 1;
      return open("backups", pageSize);
    },
    async reopen() {
      return open();
    },
  });

  it("says MISCONFIGURED in every operation on a missing bucket", async () => {
    await using store = open("typo");
    const operations = [
      () => get(store, "a"),
      () => put(store, "a", "{}"),
      () => list(store, ""),
      () => store.delete("a", never),
    ];
    for (const operation of operations) {
      const error = await failsWith("STORE_MISCONFIGURED", operation());
      assert.match(error.message, /there is no bucket "typo"/);
    }
  });

  it("lists a folder made by hand as nothing", async () => {
    prefixes += 1;
    await using store = open();
    const name = encodeURIComponent(`team/${prefixes}/3.9.1/`);
    const uploaded = await fetch(
      `${server.endpoint}/upload/storage/v1/b/backups/o?uploadType=media&name=${name}`,
      { method: "POST", body: "" },
    );
    assert.equal(uploaded.status, 200);
    assert.deepEqual(await keys(store, ""), []);
  });

  describe("differs from Cloud Storage, harmlessly", () => {
    const object = () => `${server.endpoint}/storage/v1/b/backups/o/no%2Fsuch`;

    it("in the words of its 404s, which name neither bucket nor object", async () => {
      const { error } = JSON.parse(await (await fetch(object())).text());
      assert.equal(error.message, "Not Found");
      const media = await fetch(`${object()}?alt=media`);
      assert.equal(media.status, 404);
      assert.match(media.headers.get("content-type") ?? "", /^text\/plain/);
    });

    it("in the answer to a delete, 200 with null where Google answers 204", async () => {
      prefixes += 1;
      await using store = open();
      await put(store, "a", "{}");
      const name = encodeURIComponent(`team/${prefixes}/a`);
      const deleted = await fetch(`${server.endpoint}/storage/v1/b/backups/o/${name}`, {
        method: "DELETE",
      });
      assert.equal(deleted.status, 200);
      assert.equal((await deleted.text()).trim(), "null");
    });

    it("in leaving the parameter fields aside", async () => {
      prefixes += 1;
      await using store = open();
      await put(store, "a", "{}");
      const name = encodeURIComponent(`team/${prefixes}/a`);
      const url = `${server.endpoint}/storage/v1/b/backups/o/${name}?fields=name`;
      assert.ok("size" in JSON.parse(await (await fetch(url)).text()));
    });
  });
});
