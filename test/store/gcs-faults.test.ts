/** What the GCS store says when Cloud Storage refuses, or a transfer breaks. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "vitest";
import type { GcsStoreOptions } from "../../src/store/gcs.ts";
import type { Store } from "../../src/store/port.ts";
import { googleError } from "../fakes/gcs-objects.ts";
import type { Fault, SeenRequest } from "../fakes/gcs-server.ts";
import { FakeGcsServer } from "../fakes/gcs-server.ts";
import { ManualClock } from "../fakes/manual-clock.ts";
import { failsWith, get, never, put } from "./conformance/client.ts";
import { openGcs } from "./gcs-support.ts";
import { refused } from "./refused.ts";

/** Stands for a configuration, which no error may show. */
const BODY = '{"consumers":[{"custom_id":"body-secret"}]}'.repeat(100);

let fake: FakeGcsServer;
let store: Store;

function open(options: Partial<GcsStoreOptions> = {}): Store {
  return openGcs(fake.endpoint, options);
}

beforeEach(async () => {
  fake = await FakeGcsServer.start("backups");
  store = open();
  await put(store, "a", BODY);
});
afterEach(async () => {
  await store[Symbol.asyncDispose]();
  await fake[Symbol.asyncDispose]();
});

function answer(status: number, reason: string, message: string): Fault {
  return { kind: "answer", status, json: googleError(status, reason, message) };
}

const isDownload = ({ params }: SeenRequest) => params.get("alt") === "media";

describe("gcs refusals", () => {
  it("tells a missing bucket from a missing object by a listing, where the 404 does not say which", async () => {
    const vague = answer(404, "notFound", "Not Found");
    fake.fault = ({ path }) => (path.endsWith("/o") ? undefined : vague);
    await failsWith("STORE_NOT_FOUND", get(store, "b"));
    await store.delete("b", never);
    fake.fault = () => vague;
    await failsWith("STORE_MISCONFIGURED", get(store, "b"));
    await failsWith("STORE_MISCONFIGURED", store.delete("b", never));
  });
});

describe("gcs transfers", () => {
  it("lets a download take its time while pieces keep coming", async () => {
    const clock = new ManualClock();
    await using patient = open({ timeoutMs: 100, clock });
    const seen: number[] = [];
    let progressed = () => {};
    let arrival = Promise.resolve();
    const turn = async () => {
      await arrival;
      arrival = new Promise((resolve) => {
        progressed = resolve;
      });
      await clock.advance(60);
    };
    fake.fault = (request) => (isDownload(request) ? { kind: "trickle", turn } : undefined);
    const onProgress = (received: number) => {
      seen.push(received);
      progressed();
    };
    await patient.get("a", { maxBytes: 10_000, onProgress }, never);
    assert.equal(seen.length, 10);
  });

  it("lets an upload take its time while pieces keep going", async () => {
    const clock = new ManualClock();
    await using patient = open({ timeoutMs: 300, clock });
    let passedMs = 0;
    fake.arrived = () => {
      passedMs += 1;
      void clock.advance(1);
    };
    // Far more than the network buffers between the two hold.
    await put(patient, "big", Buffer.alloc(32 * 1024 * 1024));
    assert.ok(passedMs > 300, `${passedMs} ms passed`);
  });

  it("says UNAVAILABLE for an upload that arrived damaged: nothing of it is stored", async () => {
    fake.fault = (request) => {
      request.body.fill(
        "x",
        request.body.indexOf("body-secret"),
        request.body.indexOf("body-secret") + 4,
      );
      return undefined;
    };
    const message = /the body arrived damaged, and was refused/;
    const damaged = { code: "STORE_UNAVAILABLE", message, hint: /sent again/ } as const;
    await refused(put(store, "b", BODY), damaged, ["body-secret"]);
    fake.fault = () => undefined;
    await failsWith("STORE_NOT_FOUND", get(store, "b"));
  });
});
