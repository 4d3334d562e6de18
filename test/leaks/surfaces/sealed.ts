/** What comes out where all that is saved is signed and encrypted: nothing of a config in the store, the history, the cache. */

import assert from "node:assert/strict";
import { systemClock } from "../../../src/runtime/clock.ts";
import { FileStore } from "../../../src/store/file.ts";
import type { Metadata } from "../../../src/store/port.ts";
import { HASTE } from "../../e2e/sidecar.ts";
import { FakeDataPlane } from "../../fakes/data-plane.ts";
import { roles, sealWith } from "../../fakes/seals.ts";
import type { Surface } from "../surface.ts";
import type { World } from "../world.ts";
import { exporting, S3, SAVED } from "./export.ts";

const GONE = { KONG_CLUSTER_CONTROL_PLANE: "127.0.0.1:1" };

/** Everything that reads snapshots. */
async function readAll(
  world: World,
  env: Readonly<Record<string, string>>,
  status?: number,
): Promise<void> {
  const good = await world.give("empty.json", '{"_format_version":"3.0"}');
  const [newer, older] = await world.ids();
  for (const argv of [
    ["import", "--force"],
    ["status"],
    ["snapshots", "list", "--all"],
    ["snapshots", "show"],
    ["snapshots", "show", older],
    ["snapshots", "diff", older, newer],
    ["snapshots", "diff", "current", good],
    ["snapshots", "verify", "--deep"],
  ]) {
    for (const json of [[], ["--json"]]) await world.run([...argv, ...json], { env });
  }
  const options = status === undefined ? { env } : { env, status };
  await world.run(["snapshots", "restore", older, "--yes"], options);
  await world.run(["import", "--force"], options);
}

type Damage = (body: Buffer, metadata: Metadata) => { body: Buffer; metadata: Metadata };

/** As whoever can write to the store may do it: the metadata go with the object. */
const DAMAGES: readonly Damage[] = [
  (body, metadata) => {
    const flipped = Buffer.from(body);
    flipped[flipped.length - 40] = (flipped[flipped.length - 40] ?? 0) ^ 1;
    return { body: flipped, metadata };
  },
  (body, metadata) => ({ body: body.subarray(0, -9), metadata }),
  (body, metadata) => ({ body: body.subarray(0, 60), metadata }),
  (body, metadata) => {
    const text = body.toString("latin1").replace("-> X25519", "-> scrypt");
    return { body: Buffer.from(text, "latin1"), metadata };
  },
  (body, metadata) => ({ body, metadata: { ...metadata, "exporter-id": "somebody-else" } }),
  (body, metadata) => ({ body, metadata: { ...metadata, signature: "ed25519:0:AAAA" } }),
];

const READING = [
  "import",
  "status",
  "snapshots list",
  "snapshots show",
  "snapshots diff",
  "snapshots verify",
  "snapshots restore",
];

export const SEALED_SURFACES: readonly Surface[] = [
  {
    name: "sealed: export to a directory and to S3, where no config may be found",
    commands: ["export"],
    run: async (world) => {
      const seal = world.seal();
      await exporting(world, seal, SAVED);
      await exporting(world, { ...seal, ...S3 }, SAVED);
      const saved = (await world.stage.saved()).toString("latin1");
      assert.match(saved, /^age-encryption\.org\/v1\n/);
      assert.ok(
        [...(world.s3.buckets.get("bucket")?.keys() ?? [])].some((key) => key.includes("history")),
      );
    },
  },
  {
    name: "sealed: import, status and every action of snapshots, with the right keys",
    commands: READING,
    run: async (world) => {
      const seal = world.seal();
      await world.save();
      await readAll(world, seal, 0);
    },
  },
  {
    name: "sealed: serve from the store, then from its disk, where no config may be found either",
    commands: ["serve"],
    run: async (world) => {
      const env: Record<string, string> = { ...HASTE, ...GONE, ...world.seal() };
      await world.save();
      for (let round = 0; round < 2; round += 1) {
        const run = world.start(["serve"], { env });
        const { port } = await run.logged("fallback control plane listens");
        const controlPlane = { host: "127.0.0.1", port: Number(port) };
        const { tls } = world.stage;
        await using dataPlane = new FakeDataPlane({ controlPlane, tls, clock: systemClock });
        await dataPlane.connect();
        await dataPlane.configured();
        await world.visit(run);
        if (round === 0) await run.logged("config kept on the local disk");
        await world.stop(run);
        env["KONG_CLUSTER_FALLBACK_CONFIG_STORAGE"] = `file://${world.stage.path("gone")}`;
      }
    },
  },
  {
    name: "sealed: the wrong identity, none, another's signature, none",
    commands: READING,
    run: async (world) => {
      const seal = world.seal();
      const stranger = await roles();
      await world.save();
      const without = (name: string) => ({ ...seal, [name]: "" });
      for (const env of [
        { ...seal, KONG_FALLBACK_AGE_IDENTITIES: stranger.age.identity.reveal() },
        without("KONG_FALLBACK_AGE_IDENTITIES"),
        {
          ...without("KONG_FALLBACK_SIGNING_KEY"),
          KONG_FALLBACK_VERIFY_KEYS: stranger.pem.public,
        },
      ]) {
        await readAll(world, env, 3);
      }
      const recipients = [seal["KONG_FALLBACK_AGE_RECIPIENTS"] ?? ""];
      for (const keys of [{ recipients }, { recipients, signingKey: stranger.signing }]) {
        await world.save(sealWith(keys));
        await readAll(world, seal);
      }
    },
  },
  {
    name: "sealed: objects that were tampered with",
    commands: READING,
    run: async (world) => {
      const seal = world.seal();
      await world.save();
      const [newer, older] = await world.ids();
      const keys = ["config", `history/${newer}`, `history/${older}`].map((name) =>
        name === "config" ? "3.9.1/config.json" : `3.9.1/${name}.json.gz`,
      );
      const directory = world.stage.path("store");
      const url = `file://${directory}`;
      await using store = new FileStore({ url, directory, clock: systemClock });
      const { signal } = new AbortController();
      const objects = [];
      for (const key of keys) objects.push(await store.get(key, { maxBytes: 1_000_000 }, signal));
      for (const damage of DAMAGES) {
        for (const { key, body, metadata } of objects) {
          const damaged = damage(Buffer.from(body), metadata);
          const options = { metadata: damaged.metadata, contentType: "application/json" };
          await store.put(key, damaged.body, options, signal);
        }
        await readAll(world, seal, 3);
      }
    },
  },
];
