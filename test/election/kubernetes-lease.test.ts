/** One Lease over the API: what is sent and what is read, and how an abort ends a request. */

import assert from "node:assert/strict";
import { KubeConfig, V1MicroTime } from "@kubernetes/client-node";
import { afterEach, beforeEach, describe, it } from "vitest";
import {
  ApiLeaseResource,
  readResource,
  writeResource,
} from "../../src/election/kubernetes-lease.ts";
import { MAX_LEASE_TTL_MS, MIN_LEASE_TTL_MS } from "../../src/election/lease.ts";
import { type FakeCaller, FakeLeaseApi, status } from "../fakes/lease-api.ts";
import { Pause } from "../fakes/pause.ts";
import { leaseDraft } from "./kubernetes-stage.ts";
import { kubeconfigText } from "./kubernetes-world.ts";

const NAME = { name: "lease", namespace: "kong" };
const { signal } = new AbortController();

let api: FakeLeaseApi;
let caller: FakeCaller;
let resource: ApiLeaseResource;

beforeEach(async () => {
  api = await FakeLeaseApi.start();
  caller = api.connect(new Pause());
  const config = new KubeConfig();
  config.loadFromString(kubeconfigText(api.endpoint, caller.token));
  resource = new ApiLeaseResource({ config, server: api.endpoint, namespace: "kong" }, "lease");
});
afterEach(() => api[Symbol.asyncDispose]());

/** What was read of a Lease with this spec. */
function read(spec: object) {
  return readResource({ metadata: { ...NAME, resourceVersion: "1" }, spec }, "the Lease");
}

describe("what is read of a Lease", () => {
  it.each([
    [undefined, MIN_LEASE_TTL_MS],
    [15, 15_000],
    [86_400, MAX_LEASE_TTL_MS],
  ])("has bounds for its TTL: it says %s s", (leaseDurationSeconds, ttlMs) => {
    assert.equal(read({ leaseDurationSeconds }).ttlMs, ttlMs);
  });
});

describe("what is sent of a Lease", () => {
  it("leaves out the account that the server keeps, and nothing else of others", () => {
    const metadata = { ...NAME, uid: "u", resourceVersion: "1", labels: { team: "gateway" } };
    const managedFields = [{ manager: "kubectl" }];
    const lying = { metadata: { ...metadata, managedFields }, spec: { preferredHolder: "other" } };
    const sent = writeResource(leaseDraft(3), readResource(lying, "the Lease"), NAME);
    assert.deepEqual(sent.metadata, {
      ...metadata,
      annotations: {
        "kong-fallback/fencing-token": "3",
        "kong-fallback/store": "memory://test",
      },
    });
    assert.equal(Object(sent.spec).preferredHolder, "other");
  });

  it("has a count of transitions that fits an int32", () => {
    const most = 2 ** 31 - 1;
    for (const [transitions, sent] of [
      [most, most],
      [most + 1, most],
    ] as const) {
      const { spec } = writeResource({ ...leaseDraft(1), transitions }, undefined, NAME);
      assert.equal(spec?.leaseTransitions, sent);
    }
  });

  it("keeps the time of the acquisition where the draft has none", () => {
    const acquireTime = new V1MicroTime("2026-11-21T11:00:00.000Z");
    const { acquiredAt: _, ...renewal } = leaseDraft(1);
    assert.equal(
      writeResource(renewal, read({ acquireTime }), NAME).spec?.acquireTime,
      acquireTime,
    );
  });
});

describe("a write", () => {
  it("over a Lease that is gone changes nothing, and is no error", async () => {
    const created = await resource.write(leaseDraft(1), undefined, signal);
    assert.ok(created);
    caller.answer = status(404, "NotFound", 'leases "lease" not found');
    assert.equal(await resource.write(leaseDraft(2), created, signal), undefined);
  });
});

describe("an abort", () => {
  it("while the server is silent rejects with its reason", async () => {
    caller.fault = "silent";
    const controller = new AbortController();
    const reading = resource.read(controller.signal);
    const reason = new Error("SIGTERM");
    controller.abort(reason);
    await assert.rejects(reading, (error) => error === reason);
  });
});
