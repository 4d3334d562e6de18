/** What `snapshots` and `status` show of configs, good and damaged ones. */

import assert from "node:assert/strict";
import { copyFile, writeFile } from "node:fs/promises";
import type { Surface } from "../surface.ts";
import { echo, S3 } from "./export.ts";

export const SNAPSHOTS_SURFACES: readonly Surface[] = [
  {
    name: "status, for people and machines, with and without a control plane and an Admin API",
    commands: ["status"],
    run: async (world) => {
      await world.save();
      await world.run(["status"]);
      await world.run(["status", "--json"], { env: { KONG_FALLBACK_ADMIN_URL: world.kong.url } });
      await world.run(["status"], { env: { KONG_CLUSTER_CONTROL_PLANE: "127.0.0.1:1" } });
    },
  },
  {
    name: "snapshots list, show, verify and prune, for people and machines",
    commands: ["snapshots list", "snapshots show", "snapshots verify", "snapshots prune"],
    run: async (world) => {
      await world.save();
      const [, older] = await world.ids();
      for (const action of [
        ["list", "--all"],
        ["show"],
        ["show", older],
        ["verify"],
        ["prune", "--dry-run"],
      ]) {
        for (const json of [[], ["--json"]]) {
          await world.run(["snapshots", ...action, ...json], { status: 0 });
        }
      }
      const few = { KONG_FALLBACK_HISTORY_MAX_COUNT: "1" };
      await world.run(["snapshots", "prune"], { env: few, status: 0 });
    },
  },
  {
    name: "snapshots show --config, where the config is what was asked for",
    commands: ["snapshots show"],
    run: async (world) => {
      await world.save();
      const run = await world.run(["snapshots", "show", "--config"], {
        stdout: ["config"],
        status: 0,
      });
      assert.deepEqual(run.stdout, Buffer.from(world.planted.newer.snapshot.config));
    },
  },
  {
    name: "snapshots diff of two configs that differ in every secret, and of a config and nothing",
    commands: ["snapshots diff"],
    run: async (world) => {
      await world.save();
      const [newer, older] = await world.ids();
      const empty = await world.give("empty.json", '{"_format_version":"3.0"}');
      const pairs: readonly (readonly [string, string])[] = [
        [older, newer],
        [newer, empty],
        [empty, newer],
      ];
      for (const [from, to] of pairs) {
        await world.run(["snapshots", "diff", from, to], { status: 1 });
        await world.run(["snapshots", "diff", from, to, "--json"], { status: 1 });
      }
      const { config } = world.planted.newer.snapshot;
      const cut = await world.give("cut.json", config.subarray(0, -9));
      await world.run(["snapshots", "diff", cut, newer]);
      // Every secret as the value of a plugin's field that nobody knows, and of a tag.
      const values = world.canaries.all.map(({ value }) => value);
      const plugins = [
        { id: "1", name: "p", config: Object.fromEntries(values.map((value) => [value, [value]])) },
      ];
      const strange = await world.give(
        "strange.json",
        JSON.stringify({ _format_version: "3.0", plugins }),
      );
      await world.run(["snapshots", "diff", strange, empty], { status: 1 });
    },
  },
  {
    name: "snapshots restore, asked for and refused, and beside a lease that is held",
    commands: ["snapshots restore"],
    run: async (world) => {
      await world.save();
      const [, older] = await world.ids();
      await world.run(["snapshots", "restore", older], { status: 2 });
      await world.run(["snapshots", "restore", older, "--yes"], { status: 0 });
      await world.run(["snapshots", "restore", older, "--yes", "--json"]);
    },
  },
  {
    name: "damaged snapshots: import, status, list, show, verify, restore",
    commands: [
      "import",
      "status",
      "snapshots list",
      "snapshots show",
      "snapshots verify",
      "snapshots restore",
    ],
    run: async (world) => {
      await world.save();
      const [newer, older] = await world.ids();
      const path = (name: string) => world.stage.path("store", "3.9.1", name);
      const { config } = world.planted.newer.snapshot;
      await copyFile(path(`history/${older}.json.gz`), path(`history/${newer}.json.gz`));
      const damages = [
        config.subarray(0, -9),
        Buffer.from(echo(world, "config")),
        Buffer.from(`{${JSON.stringify(echo(world, "config"))}:1}`),
      ];
      for (const damage of damages) {
        await writeFile(path("config.json"), damage);
        for (const argv of [
          ["import", "--force"],
          ["status"],
          ["snapshots", "list"],
          ["snapshots", "show"],
        ]) {
          await world.run(argv);
        }
        await world.run(["snapshots", "verify"]);
        await world.run(["snapshots", "restore", newer, "--yes"], { status: 3 });
      }
    },
  },
  {
    name: "snapshots and status on S3 that refuses and repeats all it was told",
    commands: ["status", "snapshots list", "snapshots verify", "snapshots prune"],
    run: async (world) => {
      const message = echo(world);
      world.s3.fault = () => ({ kind: "error", status: 403, code: "AccessDenied", message });
      for (const argv of [
        ["status"],
        ["snapshots", "list"],
        ["snapshots", "verify"],
        ["snapshots", "prune"],
      ]) {
        await world.run(argv, { env: S3 });
        await world.run([...argv, "--json"], { env: S3 });
      }
    },
  },
];
