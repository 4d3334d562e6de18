/** Credentials of this machine are asked for on this machine, whatever HTTPS_PROXY and HTTP_PROXY say. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, it } from "vitest";
import { FakeProxy } from "../fakes/proxy.ts";
import { runOnce } from "./cli.ts";

describe("the metadata service", () => {
  it("of Google is asked past the proxy, and Cloud Storage through it", async () => {
    const asked: string[] = [];
    const metadata = createServer(({ url = "" }, response) => {
      asked.push(url);
      const body = url.includes("/token")
        ? JSON.stringify({ access_token: "made-up", expires_in: 3600, token_type: "Bearer" })
        : "default";
      response.writeHead(200, { "metadata-flavor": "Google", "content-type": "application/json" });
      response.end(body);
    });
    metadata.listen(0, "127.0.0.1");
    await once(metadata, "listening");
    const { port } = metadata.address() as AddressInfo;
    await using proxy = await FakeProxy.listen({ status: 403 });
    const run = await runOnce(["import", "--force", "--to", "-"], {
      KONG_VERSION: "3.9.1",
      KONG_CLUSTER_FALLBACK_CONFIG_STORAGE: "gs://backups/team",
      KONG_FALLBACK_READ_TIMEOUT: "3",
      GCE_METADATA_HOST: `127.0.0.1:${port}`,
      HTTPS_PROXY: proxy.url,
      HTTP_PROXY: proxy.url,
      NO_PROXY: "other.example",
    });
    metadata.close();
    assert.ok(
      asked.some((url) => url.includes("/token")),
      run.stderr,
    );
    const targets = new Set(proxy.requests.map(({ target }) => target));
    assert.deepEqual([...targets], ["storage.googleapis.com:443"]);
    assert.match(run.stderr, /the forward proxy makes no tunnel/);
  });
});
