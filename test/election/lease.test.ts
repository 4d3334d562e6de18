/** The lease document: what is written can be read, and what is no lease is never taken for one. */

import assert from "node:assert/strict";
import fc from "fast-check";
import { describe, it } from "vitest";
import {
  decodeLease,
  encodeLease,
  type Lease,
  MAX_LEASE_TTL_MS,
  MAX_TOKEN,
  MIN_LEASE_TTL_MS,
  protectedMs,
} from "../../src/election/lease.ts";
import { ElectionError } from "../../src/election/port.ts";

const LEASE: Lease = {
  holder: "0b6c1f9e-37a1-4c5c-9f0e-1d5b6a1f2c3d",
  hostname: "exporter-0",
  session: "4e8a2a52-7c6b-4a57-8a06-2d3c4b5a6978",
  sequence: 7,
  token: 3,
  ttlMs: 15_000,
  state: "held",
  renewedAt: new Date("2026-11-21T12:00:00Z"),
};

const NAME = "memory://test/3.9.1/election/lease.json";

function decode(text: string): Lease {
  return decodeLease(new TextEncoder().encode(text), NAME);
}

function changed(change: Readonly<Record<string, unknown>>): string {
  const members: unknown = JSON.parse(new TextDecoder().decode(encodeLease(LEASE)));
  return JSON.stringify(Object.assign({}, members, change));
}

function refuses(text: string, detail: RegExp): void {
  assert.throws(
    () => decode(text),
    (error: unknown) => {
      assert.ok(error instanceof ElectionError);
      assert.equal(error.code, "ELECTION_CORRUPT");
      assert.ok(error.message.startsWith(`${NAME} is no lease: `), error.message);
      assert.match(error.message, detail);
      assert.match(error.hint ?? "", /Delete/);
      return true;
    },
  );
}

describe("a lease", () => {
  it("is small JSON without blanks, in one order", () => {
    assert.equal(
      new TextDecoder().decode(encodeLease(LEASE)),
      '{"holder":"0b6c1f9e-37a1-4c5c-9f0e-1d5b6a1f2c3d","hostname":"exporter-0",' +
        '"session":"4e8a2a52-7c6b-4a57-8a06-2d3c4b5a6978","sequence":7,"token":3,"ttlMs":15000,' +
        '"state":"held","renewedAt":"2026-11-21T12:00:00.000Z"}',
    );
  });

  it("is read as it was written", () => {
    assert.deepEqual(decodeLease(encodeLease(LEASE), NAME), LEASE);
    const released: Lease = { ...LEASE, state: "released", token: MAX_TOKEN };
    assert.deepEqual(decodeLease(encodeLease(released), NAME), released);
  });

  it("is read without the members of somebody else's", () => {
    assert.deepEqual(decode(changed({ comment: "by hand", __proto__: { token: 9 } })), LEASE);
  });

  it.each([
    ["", /not JSON/],
    ["{", /not JSON/],
    ["null", /not a JSON object/],
    ["[]", /not a JSON object/],
    ["7", /not a JSON object/],
    ["{}", /"holder"/],
    [changed({ holder: "" }), /"holder"/],
    [changed({ holder: "a\nb" }), /"holder"/],
    [changed({ holder: "x".repeat(129) }), /"holder"/],
    [changed({ hostname: 7 }), /"hostname"/],
    [changed({ session: null }), /"session"/],
    [changed({ sequence: -1 }), /"sequence"/],
    [changed({ token: 0 }), /"token"/],
    [changed({ token: -1 }), /"token"/],
    [changed({ token: 1.5 }), /"token"/],
    [changed({ token: "3" }), /"token"/],
    [changed({ token: 2 ** 53 }), /"token"/],
    [changed({ token: MAX_TOKEN + 1 }), /"token"/],
    [changed({ ttlMs: 0 }), /"ttlMs"/],
    [changed({ state: "expired" }), /"state"/],
    [changed({ renewedAt: "yesterday" }), /"renewedAt"/],
  ])("is not read from %s", (text, detail) => refuses(text, detail));

  it("is not read from what is no UTF-8", () => {
    assert.throws(() => decodeLease(Uint8Array.of(0x22, 0xff, 0x22), NAME), /not JSON/);
  });

  it("is either read or refused as corrupt, whatever the content", () => {
    const members = fc.dictionary(fc.constantFrom(...Object.keys(LEASE)), fc.jsonValue());
    fc.assert(
      fc.property(fc.oneof(fc.string(), members.map(changed)), (text) => {
        try {
          decode(text);
        } catch (error) {
          assert.ok(error instanceof ElectionError);
          assert.equal(error.code, "ELECTION_CORRUPT");
        }
      }),
    );
  });
});

describe("others leave a lease alone", () => {
  it("for its own TTL", () => assert.equal(protectedMs(LEASE), 15_000));
  it("not at all once it is released", () => {
    assert.equal(protectedMs({ ...LEASE, state: "released" }), 0);
  });
  it("within bounds, whatever it says", () => {
    assert.equal(protectedMs({ ...LEASE, ttlMs: 1 }), MIN_LEASE_TTL_MS);
    assert.equal(protectedMs({ ...LEASE, ttlMs: 2 ** 50 }), MAX_LEASE_TTL_MS);
  });
});
