import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { parseHostPort } from "../../src/core/host-port.ts";

describe("host:port", () => {
  it("takes names, IPv4 and bracketed IPv6", () => {
    assert.deepEqual(parseHostPort("cp.example.com:8005"), { host: "cp.example.com", port: 8005 });
    assert.deepEqual(parseHostPort("10.0.0.1:1"), { host: "10.0.0.1", port: 1 });
    assert.deepEqual(parseHostPort("[::1]:0"), { host: "::1", port: 0 });
  });

  it("refuses everything else", () => {
    for (const text of [
      "",
      "cp",
      ":8005",
      "cp:",
      "cp:65536",
      "::1:8005",
      "http://cp:1",
      "cp:1/x",
      "c p:1",
    ]) {
      assert.equal(parseHostPort(text), undefined, text);
    }
  });
});
