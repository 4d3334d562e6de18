/** What an importer says, and where it puts a config, on every target and every level of the log. */

import assert from "node:assert/strict";
import { LOG_LEVELS } from "../../../src/runtime/settings/table.ts";
import { clusterCertificate, sharedTls } from "../../fakes/certificates.ts";
import { FakeControlPlane } from "../../fakes/control-plane.ts";
import { schemaRefusal } from "../../fakes/kong-admin-answers.ts";
import { FakeProxy } from "../../fakes/proxy.ts";
import { valuesOf } from "../config-values.ts";
import type { Surface } from "../surface.ts";
import type { World } from "../world.ts";
import { echo, S3 } from "./export.ts";

/** Nobody listens there. */
const GONE = { KONG_CLUSTER_CONTROL_PLANE: "127.0.0.1:1" };

/** Every way in which Kong's refusal may repeat a config: whole, by entity, by field, in its own words. */
function refusals(world: World): readonly { readonly status: number; readonly body: string }[] {
  const entity = JSON.parse(world.planted.newer.snapshot.config.toString()) as Record<
    string,
    readonly Record<string, unknown>[]
  >;
  const flattened = Object.entries(entity)
    .filter(([, list]) => Array.isArray(list))
    .flatMap(([kind, list]) =>
      list.map((one) => ({
        entity_type: kind,
        entity_name: one["name"],
        entity: one,
        errors: valuesOf(one).flatMap((value) => [
          { type: "field", field: "key", message: `value '${value}' is not allowed` },
          { type: "field", field: "key", message: `expected a number, got ${value}` },
          {
            type: "entity",
            messages: [`uniqueness violation: key set to '${value}' already declared`],
          },
        ]),
      })),
    );
  return [
    schemaRefusal({ flattened }),
    schemaRefusal({
      fields: { config: `declarative config is invalid: ${JSON.stringify(entity)}` },
    }),
    {
      status: 400,
      body: JSON.stringify({ message: `declarative config is invalid: ${JSON.stringify(entity)}` }),
    },
    { status: 400, body: JSON.stringify(entity) },
    { status: 401, body: JSON.stringify({ message: echo(world) }) },
    { status: 500, body: `<html>${echo(world)}</html>` },
    { status: 413, body: JSON.stringify({ message: echo(world) }) },
    { status: 418, body: echo(world) },
  ];
}

export const IMPORT_SURFACES: readonly Surface[] = [
  {
    name: "import to a file, at every level of the log, and as JSON",
    commands: ["import"],
    run: async (world) => {
      await world.save();
      for (const level of LOG_LEVELS) {
        const env = { ...GONE, KONG_LOG_LEVEL: level };
        await world.run(["import"], { env, status: 0 });
      }
      await world.run(["import", "--json"], { env: GONE, status: 0 });
    },
  },
  {
    name: "import beside a control plane that lives, which withdraws an earlier file",
    commands: ["import"],
    run: async (world) => {
      await world.save();
      await world.run(["import", "--force"], { status: 0 });
      await world.run(["import", "--json"], { status: 0 });
    },
  },
  {
    name: "import to standard output, where the config is what was asked for",
    commands: ["import"],
    run: async (world) => {
      await world.save();
      const argv = ["import", "--force", "--to", "-"];
      const run = await world.run(argv, { stdout: ["config"], status: 0 });
      assert.deepEqual(run.stdout, Buffer.from(world.planted.newer.snapshot.config));
    },
  },
  {
    name: "import to an Admin API",
    commands: ["import"],
    run: async (world) => {
      await world.save();
      await world.run(["import", "--force", "--to", world.kong.url], { status: 0 });
      assert.ok(world.kong.configs.length > 0);
    },
  },
  {
    name: "import to an Admin API that refuses the config and repeats all of it, or is none",
    commands: ["import"],
    run: async (world) => {
      await world.save();
      const env = { KONG_FALLBACK_APPLY_TIMEOUT: "0.3" };
      for (const refusal of refusals(world)) {
        world.kong.next.clear();
        world.kong.answerNext("/config", ...Array.from({ length: 20 }, () => refusal));
        await world.run(["import", "--force", "--to", world.kong.url], { env, status: 4 });
      }
      world.kong.next.clear();
      for (const body of [echo(world), JSON.stringify(echo(world)), "<html>"]) {
        const answers = Array.from({ length: 20 }, () => ({ status: 200, body }));
        world.kong.answerNext("/status", ...answers);
        world.kong.answerNext("/", ...answers);
        await world.run(["import", "--force", "--to", world.kong.url], { env });
        world.kong.next.clear();
      }
    },
  },
  {
    name: "import from S3 that refuses, lies and repeats all it was told",
    commands: ["import"],
    run: async (world) => {
      const headers = { "content-type": "text/html" };
      const elements = { AWSAccessKeyId: echo(world), CanonicalRequest: echo(world) };
      const message = echo(world);
      const argv = ["import", "--force"];
      for (const code of [
        "AccessDenied",
        "ExpiredToken",
        "InvalidToken",
        "SignatureDoesNotMatch",
      ]) {
        world.s3.fault = () => ({ kind: "error", status: 403, code, message, elements });
        await world.run(argv, { env: S3, status: 4 });
      }
      for (const status of [200, 301, 400, 404, 500]) {
        world.s3.fault = () => ({ kind: "raw", status, headers, body: message });
        await world.run(argv, { env: S3, status: 4 });
      }
      const strange = {
        etag: '"e"',
        "x-amz-meta-format": message,
        [`x-amz-meta-${"a".repeat(20)}`]: message,
      };
      world.s3.fault = () => ({ kind: "raw", status: 200, headers: strange, body: message });
      await world.run(argv, { env: S3 });
    },
  },
  {
    name: "import with a control plane of another cluster, with a proxy that refuses, with none",
    commands: ["import"],
    run: async (world) => {
      await world.save();
      const tls = await sharedTls(clusterCertificate());
      await using other = await FakeControlPlane.listen({ tls });
      const env = { KONG_CLUSTER_CONTROL_PLANE: `127.0.0.1:${other.address.port}` };
      await world.run(["import"], { env, status: 0 });
      for (const status of [403, 407, 502]) {
        await using proxy = await FakeProxy.listen({ status });
        const through = {
          KONG_PROXY_SERVER: world.proxyUrl(proxy.port),
          KONG_CLUSTER_USE_PROXY: "on",
        };
        await world.run(["import"], { env: through, status: 0 });
      }
      const nowhere = { KONG_PROXY_SERVER: world.proxyUrl(1), KONG_CLUSTER_USE_PROXY: "on" };
      await world.run(["import"], { env: nowhere, status: 0 });
    },
  },
];
