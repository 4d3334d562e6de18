/** What the GCS store says when the way to Cloud Storage is wrong or broken. */

import { afterEach, beforeEach, describe, it } from "vitest";
import { systemClock } from "../../src/runtime/clock.ts";
import { gcsError, noToken } from "../../src/store/gcs/verdicts.ts";
import type { GcsStoreOptions } from "../../src/store/gcs.ts";
import type { Store } from "../../src/store/port.ts";
import { FakeGcsServer } from "../fakes/gcs-server.ts";
import { put } from "./conformance/client.ts";
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
});
