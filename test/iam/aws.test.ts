/** The policies for Amazon S3 allow what is asked of it, and nothing else. */

import assert from "node:assert/strict";
import { describe, it } from "vitest";
import type { SeenRequest } from "../fakes/s3-server.ts";
import { FakeS3 } from "../fakes/s3-server.ts";
import { liveAsExporter, liveAsReader } from "./life.ts";
import { awsGrants, idleGrants, refusedUses, type Use } from "./policy.ts";

/**
 * What a request needs. https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html;
 * a HeadObject needs s3:GetObject. An ACL, tags or an object lock would need more: none is sent.
 */
function usesOf({ method, url, headers }: SeenRequest): readonly Use[] {
  const extra = Object.keys(headers).filter((name) =>
    /^x-amz-(acl|grant|tag|object-lock)/.test(name),
  );
  assert.deepEqual(extra, []);
  const { pathname, searchParams } = new URL(url, "http://s3");
  const resource = `arn:aws:s3::${pathname.replace("/", ":")}`;
  if (searchParams.has("list-type")) {
    assert.equal(method, "GET");
    return [{ action: "s3:ListBucket", resource: resource.replace(/\/$/, "") }];
  }
  // `x-id` names the operation for AWS's own use.
  assert.deepEqual(
    [...searchParams.keys()].filter((name) => name !== "x-id"),
    [],
  );
  const actions = { GET: "GetObject", HEAD: "GetObject", PUT: "PutObject", DELETE: "DeleteObject" };
  const action = actions[method as keyof typeof actions];
  assert.ok(action, method);
  return [{ action: `s3:${action}`, resource }];
}

describe("the policies in deploy/iam for Amazon S3", () => {
  it("allow an exporter and readers all they ask for, and nothing they do not", async () => {
    await using s3 = await FakeS3.start();
    s3.buckets.set("my-bucket", new Map());
    const environment = {
      KONG_CLUSTER_FALLBACK_CONFIG_STORAGE: "s3://my-bucket/kong",
      AWS_CONFIG_STORAGE_ENDPOINT: s3.endpoint,
      AWS_ACCESS_KEY_ID: "fake-key-id",
      AWS_SECRET_ACCESS_KEY: "fake-secret",
    };
    await liveAsExporter(environment);
    const written = s3.requests.splice(0).flatMap(usesOf);
    const objects = s3.buckets.get("my-bucket");
    const current = objects?.get("kong/3.9.1/config.json");
    assert.ok(current);
    const damaged = { ...current, body: current.body.subarray(1) };
    await liveAsReader(environment, async () => {
      objects?.set("kong/3.9.1/config.json", damaged);
    });
    const read = s3.requests.splice(0).flatMap(usesOf);

    const exporter = awsGrants("aws-exporter.json");
    const reader = awsGrants("aws-reader.json");
    assert.deepEqual(refusedUses(exporter, written), []);
    assert.deepEqual(idleGrants(exporter, written), []);
    assert.deepEqual(refusedUses(reader, read), []);
    assert.deepEqual(idleGrants(reader, read), []);
  }, 60_000);
});
