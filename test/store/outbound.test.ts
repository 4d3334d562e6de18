/** How each remote store leaves this machine: through a proxy or not, and to which of several addresses. */

import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { readEgress } from "../../src/network/egress.ts";
import { FakeProxy } from "../fakes/proxy.ts";
import { NAME, Replicas } from "../fakes/replicas.ts";
import { get, put } from "./conformance/client.ts";
import { refused } from "./refused.ts";
import { STAGES } from "./remote-stage.ts";

const { signal } = new AbortController();
const LIMIT = { maxBytes: 100 };

describe.each(Object.entries(STAGES))("%s", (_, start) => {
  it("is reached through the proxy, and past it where NO_PROXY says so", async () => {
    await using stage = await start();
    const { port } = new URL(stage.endpoint);
    await using proxy = await FakeProxy.listen({ leadsTo: Number(port) });
    const http = proxy.url.replace("//", "//user:pass@");
    const far = { endpoint: `http://store.test:${port}` };
    await using store = await stage.open({ ...far, egress: readEgress({ http }) });
    await put(store, "a", "{}");
    assert.equal((await get(store, "a")).bytes, 2);
    assert.ok(proxy.requests.length >= 1);
    for (const { target, headers } of proxy.requests) {
      assert.equal(target, `store.test:${port}`);
      assert.equal(headers["proxy-authorization"], `Basic ${btoa("user:pass")}`);
    }
    const count = proxy.requests.length;
    await using replicas = await Replicas.before(Number(port), () => {});
    const egress = readEgress({ http, except: `other.example, .${NAME}` });
    const near = { endpoint: `http://${NAME}:${replicas.port}`, timeoutMs: 200, egress };
    await using direct = await stage.open(near);
    await Promise.allSettled([direct.get("a", LIMIT, signal), direct.get("a", LIMIT, signal)]);
    assert.equal(proxy.requests.length, count);
  });

  it("is asked directly where it is on this machine", async () => {
    await using stage = await start();
    await using proxy = await FakeProxy.listen();
    await using store = await stage.open({ egress: readEgress({ http: proxy.url }) });
    await put(store, "a", "{}");
    assert.equal(proxy.requests.length, 0);
  });

  it.each([
    ["hangs up", { hangsUp: true }, /the forward proxy makes no tunnel \((?:EPROXY|.*hang up)/],
    [
      "refuses",
      { status: 407 },
      /the forward proxy makes no tunnel \((?:EPROXY|.*answered HTTP 407)/,
    ],
    ["says nothing", { hangs: true }, /the forward proxy makes no tunnel|in time/],
  ] as const)("is not hammered through a proxy that %s", async (_, options, message) => {
    await using stage = await start();
    await using proxy = await FakeProxy.listen(options);
    const egress = readEgress({ http: proxy.url });
    const store = await stage.open({ endpoint: "http://store.test", timeoutMs: 500, egress });
    await refused(store.get("a", LIMIT, signal), { code: "STORE_UNAVAILABLE", message });
    await store[Symbol.asyncDispose]();
    assert.ok(proxy.requests.length <= 2, `${proxy.requests.length} requests`);
  });

  it("is asked at another address where one takes connections and says nothing", async () => {
    await using stage = await start();
    await using store = await stage.open();
    await put(store, "a", "{}");
    let attempt = new AbortController();
    const silence = () => attempt.abort(new Error("given up"));
    await using replicas = await Replicas.before(Number(new URL(stage.endpoint).port), silence);
    await using named = await stage.open({ endpoint: `http://${NAME}:${replicas.port}` });
    const sizes: (number | undefined)[] = [];
    for (let i = 0; i < 2; i += 1) {
      attempt = new AbortController();
      const found = named.get("a", LIMIT, attempt.signal);
      sizes.push(await found.then((object) => object.bytes).catch(() => undefined));
    }
    assert.ok(sizes.includes(2));
  });
});
