/** What an exporter says, answers and sends, when all is well and when the store or the control plane misbehaves. */

import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import { FakeGcsServer } from "../../fakes/gcs-server.ts";
import type { Group } from "../canaries.ts";
import type { Surface } from "../surface.ts";
import type { World } from "../world.ts";

/** Through which an exporter is known to have gone on with its work. */
export const SAVED = "snapshot saved";
export const NOT_SAVED = (line: Readonly<Record<string, unknown>>) =>
  "err" in line && JSON.stringify(line["err"]).includes("STORE_");

export const S3 = { KONG_CLUSTER_FALLBACK_CONFIG_STORAGE: "s3://bucket/p" };

/** Everything the store, or whoever stands in for it, could repeat to us; only that of some groups, if any are named. */
export function echo(world: World, ...groups: readonly Group[]): string {
  const { all } = world.canaries;
  const some = groups.length === 0 ? all : all.filter(({ group }) => groups.includes(group));
  return some.map(({ value }) => value).join(" ");
}

/** Exports until a line says so, looks at all pages, and ends. */
export async function exporting(
  world: World,
  env: Readonly<Record<string, string>>,
  until: Parameters<ReturnType<World["start"]>["logged"]>[0],
): Promise<void> {
  const run = world.start(["export"], { env });
  await run.logged(until);
  await world.visit(run);
  run.signal("SIGTERM");
  await run.ended();
}

export const EXPORT_SURFACES: readonly Surface[] = [
  {
    name: "export to a directory: log, pages, files",
    commands: ["export"],
    run: async (world) => {
      await exporting(world, {}, SAVED);
      assert.ok((await world.stage.saved()).length > 0);
    },
  },
  {
    name: "export to S3: log, pages, requests, objects",
    commands: ["export"],
    run: async (world) => {
      await exporting(world, S3, SAVED);
      assert.ok(world.s3.requests.some(({ headers }) => headers["x-amz-security-token"]));
    },
  },
  {
    name: "export to S3 that refuses and repeats all it was ever told",
    commands: ["export"],
    run: async (world) => {
      world.s3.fault = ({ headers }) => ({
        kind: "error",
        status: 403,
        code: "SignatureDoesNotMatch",
        message: `${echo(world)} ${JSON.stringify(headers)}`,
        elements: { StringToSign: echo(world), Key: echo(world) },
      });
      await exporting(world, S3, NOT_SAVED);
    },
  },
  ...[400, 409, 412, 500, 200].map(
    (status): Surface => ({
      name: `export to something that is no S3 and answers ${status} with all it was told`,
      commands: ["export"],
      run: async (world) => {
        const headers = { "content-type": "text/html" };
        const body = `<html><title>${echo(world)}</title></html>`;
        world.s3.fault = () => ({ kind: "raw", status, headers, body });
        await exporting(world, S3, NOT_SAVED);
      },
    }),
  ),
  {
    name: "export to an emulator of Google Cloud Storage that gets no credentials, and refuses",
    commands: ["export"],
    run: async (world) => {
      await using gcs = await FakeGcsServer.start("bucket");
      const env = {
        KONG_CLUSTER_FALLBACK_CONFIG_STORAGE: "gs://bucket/p",
        STORAGE_EMULATOR_HOST: gcs.endpoint,
      };
      await exporting(world, env, SAVED);
      const json = {
        error: { code: 403, message: echo(world), errors: [{ reason: echo(world) }] },
      };
      gcs.fault = () => ({ kind: "answer", status: 403, json });
      await exporting(world, env, NOT_SAVED);
      for (const { method, path, params, headers } of gcs.requests) {
        world.saw(`GCS ${method} ${path}`, `${path} ${params} ${JSON.stringify(headers)}`);
      }
    },
  },
  {
    name: "export with a service account, to Google behind a proxy that lets nobody through",
    commands: ["export"],
    run: async (world) => {
      const env = {
        KONG_CLUSTER_FALLBACK_CONFIG_STORAGE: "gs://bucket/p",
        HTTPS_PROXY: "http://127.0.0.1:1",
        HTTP_PROXY: "http://127.0.0.1:1",
      };
      await exporting(world, env, NOT_SAVED);
    },
  },
  {
    name: "export through a forward proxy that takes the password",
    commands: ["export"],
    run: async (world) => {
      await exporting(world, { KONG_CLUSTER_USE_PROXY: "on" }, SAVED);
      assert.equal(world.proxy.requests.length, 1);
    },
  },
  {
    name: "export from a control plane that sends garbage with secrets in it",
    commands: ["export"],
    run: async (world) => {
      const run = world.start(["export"]);
      await run.logged(SAVED);
      const session = await world.controlPlane.session();
      const secrets = JSON.stringify(echo(world));
      const table = world.planted.newer.snapshot.config.toString();
      const garbage = [
        `{"type":"reconfigure","config_table":${table.slice(0, -9)}`,
        `{"type":${secrets},"config_table":${table}}`,
        `{"type":"reconfigure","timestamp":${secrets},"config_hash":${secrets},"config_table":${table}}`,
        `{"type":"reconfigure","timestamp":1,"config_hash":"${"a".repeat(32)}","hashes":{${secrets}:${secrets}},"config_table":{${secrets}:1}}`,
        `${secrets}`,
        `{${secrets}:${table}}`,
      ];
      for (const text of garbage) session.sendConfig(gzipSync(text));
      session.sendConfig(Buffer.from(table));
      session.sendConfig(world.planted.later.frame);
      await run.logged(SAVED, 2);
      await world.visit(run);
      run.signal("SIGTERM");
      await run.ended();
    },
  },
  {
    name: "export that asks an Admin API, which refuses the token and repeats it",
    commands: ["export"],
    run: async (world) => {
      const body = JSON.stringify({ message: echo(world) });
      const answers = Array.from({ length: 9 }, () => ({ status: 401, body }));
      world.kong.answerNext("/clustering/data-planes", ...answers);
      await exporting(world, { KONG_FALLBACK_ADMIN_URL: world.kong.url }, SAVED);
    },
  },
];
