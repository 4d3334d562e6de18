/** What the GCS store says when the way to Cloud Storage is wrong or broken. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer as createHttpServer } from "node:http";
import type { AddressInfo } from "node:net";
import { connect } from "node:net";
import { inspect } from "node:util";
import { afterEach, beforeEach, describe, it, vi } from "vitest";
import { systemClock } from "../../src/runtime/clock.ts";
import { gcsError, noToken } from "../../src/store/gcs/verdicts.ts";
import type { GcsStoreOptions } from "../../src/store/gcs.ts";
import type { Store, StoreError } from "../../src/store/port.ts";
import { FakeGcsServer } from "../fakes/gcs-server.ts";
import { get, put } from "./conformance/client.ts";
import { openGcs } from "./gcs-support.ts";
import { refused } from "./refused.ts";

let fake: FakeGcsServer;
let store: Store;

function open(options: Partial<GcsStoreOptions> = {}): Store {
  return openGcs(fake.endpoint, options);
}

beforeEach(async () => {
  fake = await FakeGcsServer.start("backups");
  store = open();
  await put(store, "a", "{}");
});
afterEach(async () => {
  await store[Symbol.asyncDispose]();
  await fake[Symbol.asyncDispose]();
});

describe("gcs connections", () => {
  it("says MISCONFIGURED for a certificate of an unknown authority, and what to set", async () => {
    const attempt = {
      action: "read",
      target: "gs://backups/a",
      bucket: "backups",
      place: "https://storage.googleapis.com",
      when: undefined,
      clock: systemClock,
    } as const;
    const cause = Object.assign(
      new Error(
        "request to https://x/ failed, reason: self-signed certificate in certificate chain",
      ),
      { code: "SELF_SIGNED_CERT_IN_CHAIN" },
    );
    const message = /self-signed certificate in certificate chain/;
    const expected = { code: "STORE_MISCONFIGURED", message, hint: /NODE_EXTRA_CA_CERTS/ } as const;
    for (const error of [gcsError(cause, attempt), noToken(cause, attempt)]) {
      await refused(Promise.reject(error), expected);
    }
  });

  describe("through a proxy", () => {
    afterEach(() => {
      vi.unstubAllEnvs();
    });

    it("goes by HTTP_PROXY, and past it for what NO_PROXY names", async () => {
      const tunnels: (string | undefined)[] = [];
      const proxy = createHttpServer().on("connect", ({ url }, client) => {
        tunnels.push(url);
        const server = connect(Number(new URL(fake.endpoint).port), "127.0.0.1", () => {
          client.write("HTTP/1.1 200 Connection established\r\n\r\n");
          server.pipe(client).pipe(server);
        });
        for (const socket of [client, server]) socket.on("error", () => socket.destroy());
      });
      proxy.listen(0, "127.0.0.1");
      await once(proxy, "listening");
      const { port } = proxy.address() as AddressInfo;
      vi.stubEnv("HTTP_PROXY", `http://user:pass@127.0.0.1:${port}`);
      vi.stubEnv("NO_PROXY", "127.0.0.1");
      await using far = open({ apiEndpoint: "http://gcs.test" });
      assert.equal((await get(far, "a")).bytes, 2);
      await using near = open();
      assert.equal((await get(near, "a")).bytes, 2);
      assert.deepEqual([...new Set(tunnels)], ["gcs.test:80"]);
      proxy.close();
    });

    it("refuses a proxy that is no URL, without repeating its password", () => {
      vi.stubEnv("HTTPS_PROXY", "user:proxy-secret@proxy:3128");
      assert.throws(open, (error: StoreError) => {
        assert.equal(error.code, "STORE_MISCONFIGURED");
        assert.match(error.message, /HTTPS_PROXY or HTTP_PROXY is not/);
        assert.ok(!inspect(error, { depth: 10 }).includes("proxy-secret"));
        return true;
      });
    });
  });
});
