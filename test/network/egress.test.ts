/** Which requests go through a proxy. */

import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { EgressError, exceptMetadata, readEgress } from "../../src/network/egress.ts";

const PROXY = "http://proxy.example:3128";

function isDirect(except: string, url: string): boolean {
  const { protocol, hostname: host, port } = new URL(url);
  const to = { protocol: protocol as "http:", host, port: Number(port || 80) };
  return readEgress({ http: PROXY, https: PROXY, except })(to) === undefined;
}

describe("NO_PROXY", () => {
  it.each([
    ["store.example", "http://store.example"],
    ["store.example", "http://bucket.store.example"],
    [".store.example", "http://bucket.store.example"],
    [".store.example", "http://store.example"],
    ["*.store.example", "http://bucket.store.example"],
    ["STORE.example.", "http://store.EXAMPLE"],
    ["a.example, store.example", "http://store.example"],
    ["a.example store.example", "http://store.example"],
    ["store.example:9000", "http://store.example:9000"],
    ["10.1.2.3", "http://10.1.2.3"],
    ["10.0.0.0/8", "http://10.1.2.3:9000"],
    ["10.1.2.3:9000", "http://10.1.2.3:9000"],
    ["2001:db8::1", "http://[2001:DB8:0::1]"],
    ["[2001:db8::1]:9000", "http://[2001:db8::1]:9000"],
    ["2001:db8::/32", "http://[2001:db8::7]"],
    ["*", "http://store.example"],
  ])("%s covers %s", (except, url) => assert.ok(isDirect(except, url)));

  it.each([
    ["", "http://store.example"],
    ["store.example", "http://otherstore.example"],
    ["store.example", "http://store.example.org"],
    ["store.example:9000", "http://store.example:9001"],
    ["10.0.0.0/8", "http://11.1.2.3"],
    ["10.0.0.0/33", "http://10.0.0.1"],
    ["10.0.0.0/8", "http://store.example"],
    ["2001:db8::/32", "http://[2001:db9::7]"],
    ["., ,", "http://store.example"],
  ])("%s does not cover %s", (except, url) => assert.ok(!isDirect(except, url)));
});

describe("what only this machine may ask", () => {
  it.each([
    "http://169.254.169.254",
    "http://169.254.170.23",
    "http://[fd00:ec2::254]",
    "http://[fe80::1]",
    "http://metadata.google.internal",
    "http://localhost:8081",
    "http://127.0.0.1:41000",
    "http://[::1]:41000",
  ])("goes through no proxy: %s", (url) => assert.ok(isDirect("", url)));

  it("is told to SDKs, beside what is told already", () => {
    const value = exceptMetadata("store.example", ["metadata.test"]).split(",");
    for (const host of [
      ...["store.example", "metadata.test", "localhost", "127.0.0.1", "metadata.google.internal"],
      ...["169.254.169.254", "169.254.170.2", "169.254.170.23", "fd00:ec2::254"],
    ]) {
      assert.ok(value.includes(host), host);
    }
    assert.ok(!exceptMetadata(undefined, [""]).includes(",,"));
  });
});

describe("the proxy", () => {
  const to = { host: "store.example", port: 443 } as const;

  it("is that of the scheme", () => {
    const egress = readEgress({ https: "http://a:1", http: "http://b:2" });
    assert.equal(egress({ ...to, protocol: "https:" })?.host, "a");
    assert.equal(egress({ ...to, protocol: "http:" })?.host, "b");
    assert.equal(readEgress({ http: "http://b:2" })({ ...to, protocol: "https:" }), undefined);
  });

  it.each([
    ["proxy.example", 80],
    ["http://proxy.example", 80],
    ["https://proxy.example", 443],
    ["proxy.example:3128", 3128],
  ])("of %s has port %d", (https, port) => {
    assert.equal(readEgress({ https })({ ...to, protocol: "https:" })?.port, port);
  });

  it("is refused where it is none, by the variable's name alone", () => {
    for (const https of ["socks5://user:secret@proxy", "http://user:secret@proxy:99999"]) {
      assert.throws(
        () => readEgress({ https }),
        (error) => error instanceof EgressError && /^HTTPS_PROXY is not/.test(error.message),
      );
    }
  });
});
