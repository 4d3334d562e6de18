import assert from "node:assert/strict";
import { inspect } from "node:util";
import { describe, it } from "vitest";
import { nameProxy, parseForwardProxy } from "../../src/network/forward-proxy.ts";

describe("Kong's proxy_server", () => {
  it("has port 443 unless it says otherwise, as Kong has it, http proxies too", () => {
    assert.equal(parseForwardProxy("http://proxy.example")?.port, 443);
    assert.equal(parseForwardProxy("http://proxy.example:80")?.port, 80);
    assert.equal(parseForwardProxy("https://proxy.example:3128/")?.port, 3128);
  });

  it("takes names and addresses, IPv6 in brackets", () => {
    assert.equal(parseForwardProxy("HTTP://10.0.0.1:3128")?.host, "10.0.0.1");
    const proxy = parseForwardProxy("https://[fd00::1]:3128");
    assert.ok(proxy);
    assert.equal(proxy.host, "fd00::1");
    assert.equal(nameProxy(proxy), "https://[fd00::1]:3128");
  });

  it("decodes credentials and keeps them out of sight", () => {
    const proxy = parseForwardProxy("http://user%40corp:p%3A%2Fss:w%25rd@proxy.example");
    assert.equal(proxy?.credentials?.reveal(), "user@corp:p:/ss:w%rd");
    assert.doesNotMatch(
      `${inspect(proxy)}${JSON.stringify(proxy)}${proxy && nameProxy(proxy)}`,
      /ss:w|corp/,
    );
    assert.equal(parseForwardProxy("http://user@proxy.example")?.credentials?.reveal(), "user:");
    assert.equal(parseForwardProxy("http://proxy.example")?.credentials, undefined);
  });

  for (const text of [
    "",
    "proxy.example:3128",
    "socks5://proxy.example",
    "http://",
    "http://proxy.example:0",
    "http://proxy.example:65536",
    "http://proxy.example/path",
    "http://proxy.example?x=1",
    "http://us%er@proxy.example",
    "http://two words@proxy.example:x",
  ]) {
    it(`is not ${JSON.stringify(text)}`, () => {
      assert.equal(parseForwardProxy(text), undefined);
    });
  }
});
