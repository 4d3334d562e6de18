/** The lease document: what is written can be read, and what is no lease is never taken for one. */

import assert from "node:assert/strict";
import fc from "fast-check";
import { describe, it } from "vitest";
import { MAX_LEASE_TTL_MS, MAX_TOKEN, MIN_LEASE_TTL_MS } from "../../src/election/lease.ts";
import { ElectionError } from "../../src/election/port.ts";
import { decodeLease, encodeLease, type LeaseDocument } from "../../src/election/store.ts";
import { leaseKey } from "../../src/snapshots/layout.ts";
import { V391 } from "../fakes/config.ts";
import { leaseIn } from "../fakes/lease.ts";
import { ManualClock } from "../fakes/manual-clock.ts";
import { MemoryStore } from "../fakes/memory-store.ts";
import { never, put } from "../store/conformance/client.ts";

const LEASE: LeaseDocument = {
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

const KEY = leaseKey(V391);

function decode(text: string): LeaseDocument {
  return decodeLease(new TextEncoder().encode(text), NAME);
}

function changed(change: Readonly<Record<string, unknown>>): string {
  const members: unknown = JSON.parse(new TextDecoder().decode(encodeLease(LEASE)));
  return JSON.stringify(Object.assign({}, members, change));
}

function isCorrupt(error: unknown): boolean {
  return error instanceof ElectionError && error.code === "ELECTION_CORRUPT";
}

type Attempt =
  | { readonly kind: "read"; readonly lease: LeaseDocument }
  | { readonly kind: "refused"; readonly error: unknown };

function attempt(read: () => LeaseDocument): Attempt {
  try {
    return { kind: "read", lease: read() };
  } catch (error) {
    return { kind: "refused", error };
  }
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
    const released: LeaseDocument = { ...LEASE, state: "released", token: MAX_TOKEN };
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
        const result = attempt(() => decode(text));
        if (result.kind === "read") assert.deepEqual(Object.keys(result.lease), Object.keys(LEASE));
        else assert.ok(isCorrupt(result.error), String(result.error));
      }),
    );
  });
});

describe("others leave a lease alone", () => {
  const claimOf = async (change: Partial<LeaseDocument>) => {
    const store = new MemoryStore();
    await put(store, KEY, encodeLease({ ...LEASE, ...change }));
    return (await leaseIn(store, new ManualClock()).read(never))?.claim;
  };
  const holder = `${LEASE.holder} on ${LEASE.hostname}`;

  it("for its own TTL", async () => {
    assert.deepEqual(await claimOf({}), { kind: "held", holder, protectedMs: 15_000 });
  });
  it("not at all once it is released", async () => {
    assert.deepEqual(await claimOf({ state: "released" }), { kind: "free" });
  });
  it.each([
    [1, MIN_LEASE_TTL_MS],
    [2 ** 50, MAX_LEASE_TTL_MS],
  ])("within bounds, though it says %i ms", async (ttlMs, protectedMs) => {
    assert.deepEqual(await claimOf({ ttlMs }), { kind: "held", holder, protectedMs });
  });
});
