/** The roles for Google Cloud Storage permit what is asked of it, and nothing else. */

import assert from "node:assert/strict";
import { describe, it } from "vitest";
import type { SeenRequest } from "../fakes/gcs-server.ts";
import { FakeGcsServer } from "../fakes/gcs-server.ts";
import { liveAsExporter, liveAsReader } from "./life.ts";
import { gcpPermissions } from "./policy.ts";

const OBJECTS = "/storage/v1/b/bucket/o";

/**
 * What a request needs; `overwrites`: the object it uploads exists.
 * https://cloud.google.com/storage/docs/access-control/iam-json
 */
function permissionsOf({ method, path }: SeenRequest, overwrites: boolean): readonly string[] {
  if (method === "POST" && path === `/upload${OBJECTS}`) {
    return ["storage.objects.create", ...(overwrites ? ["storage.objects.delete"] : [])];
  }
  if (method === "GET" && path === OBJECTS) return ["storage.objects.list"];
  assert.ok(path.startsWith(`${OBJECTS}/kong%2F`), path);
  if (method === "DELETE") return ["storage.objects.delete"];
  assert.equal(method, "GET");
  return ["storage.objects.get"];
}

function nameOf({ body }: SeenRequest): string | undefined {
  return /"name":"([^"]+)"/.exec(body.toString("latin1"))?.[1];
}

describe("the roles in deploy/iam for Google Cloud Storage", () => {
  it("permit an exporter and readers all they ask for, and nothing they do not", async () => {
    await using gcs = await FakeGcsServer.start("bucket");
    const objects = gcs.buckets.get("bucket");
    assert.ok(objects);
    const used = new Set<string>();
    gcs.fault = (request) => {
      const overwrites = objects.has(nameOf(request) ?? "");
      for (const permission of permissionsOf(request, overwrites)) used.add(permission);
      return undefined;
    };
    const environment = {
      KONG_CLUSTER_FALLBACK_CONFIG_STORAGE: "gs://bucket/kong",
      STORAGE_EMULATOR_HOST: gcs.endpoint,
    };
    await liveAsExporter(environment);
    assert.deepEqual([...used].sort(), gcpPermissions("gcp-exporter-role.json"));

    used.clear();
    const current = objects.get("kong/3.9.1/config.json");
    assert.ok(current);
    const { resource } = current;
    await liveAsReader(environment, async () => {
      gcs.store("bucket", resource, Buffer.from("{}"));
    });
    assert.deepEqual([...used].sort(), gcpPermissions("gcp-reader-role.json"));
  }, 60_000);
});
