/** The variants of the simulation can fail: each finds what it is for, once that is broken. */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { gunzipSync, gzipSync } from "node:zlib";
import { describe, it, vi } from "vitest";
import { currentKey } from "../../src/snapshots/layout.ts";
import { V391 } from "../fakes/config.ts";
import { quickly, quickSeals } from "../fakes/quick-seals.ts";
import { sealWith } from "../fakes/seals.ts";
import { carelessElection } from "./lease-api.ts";
import { firstBroken, type ManyOptions } from "./many.ts";

// The thread pool that packs has its own time; what comes out is the same.
vi.mock("../../src/snapshots/history-body.ts", async (original) => ({
  ...(await original<object>()),
  packConfig: async (config: Uint8Array) => gzipSync(config),
  unpackConfig: async (body: Uint8Array) => gunzipSync(body),
}));

const key = randomBytes(32);
const seals = quickSeals();
const { reader } = seals;
/** They encrypt, and neither sign nor ask for a signature. */
const unsigned = {
  exporter: quickly(sealWith({}), key, false),
  reader: quickly(sealWith({}), key, true),
};
const gates = { guard: true, rehearsal: true };
const isHostile = true;

const BROKEN: readonly (readonly [string, ManyOptions, RegExp])[] = [
  [
    "exporters that do not sign",
    { variant: { seals: { ...unsigned, reader } } },
    /cannot use what an exporter wrote/,
  ],
  [
    "sealed objects that are not written on a condition",
    { variant: { seals }, unconditional: currentKey(V391) },
    /token \d+ after \d+|config of change \d+ after/,
  ],
  [
    "a guard that is off",
    { variant: { gates: { ...gates, guard: false } } },
    /a config that a gate refuses/,
  ],
  [
    "no rehearsal",
    { variant: { gates: { ...gates, rehearsal: false } } },
    /a config that a gate refuses/,
  ],
  [
    "somebody who writes to the bucket, and nobody who asks for signatures",
    { variant: { seals: unsigned, isHostile } },
    /the newest config is not the current one|nobody made|does not have the newest|took change/,
  ],
  [
    "somebody who writes to the bucket, and a reader without a memory",
    { variant: { seals, isHostile, isForgetful: true } },
    /a reader that had change \d+ took change/,
  ],
  [
    "two stores, and a reader without a memory",
    { stores: 2, variant: { isForgetful: true } },
    /a reader that had change \d+ took change/,
  ],
  [
    "an API server that compares no versions",
    { variant: { election: carelessElection } },
    /holders at one time|a holder with token/,
  ],
];

describe("worlds in which a promise cannot be kept", () => {
  it.each(BROKEN)(
    "with %s, show it within a few hundred seeds",
    async (name, options, expected) => {
      const broken = await firstBroken(expected, options);
      assert.ok(broken, "nothing was found");
      process.stderr.write(`${name}: ${broken}\n`);
    },
  );
});
