/** What an exporter says, counts and keeps of a config that the Kong of its rehearsal refuses, values and all. */

import assert from "node:assert/strict";
import { FakeKongAdmin } from "../../fakes/kong-admin.ts";
import { schemaRefusal } from "../../fakes/kong-admin-answers.ts";
import { valuesOf } from "../config-values.ts";
import type { Surface } from "../surface.ts";
import { echo, SAVED } from "./export.ts";

export const REHEARSAL_SURFACES: readonly Surface[] = [
  {
    name: "export with a rehearsal that Kong refuses, repeating the config: log, pages, what is held",
    commands: ["export", "status", "snapshots list", "snapshots show", "snapshots diff"],
    run: async (world) => {
      await using kong = await FakeKongAdmin.start();
      kong.token = world.planted.adminToken;
      kong.hasReadiness = true;
      const env = { KONG_FALLBACK_REHEARSAL_URL: kong.url, KONG_FALLBACK_LEASE_TTL: "3" };
      const run = world.start(["export"], { env });
      await run.logged(SAVED);
      const config = world.planted.later.snapshot.config.toString();
      const entities = Object.entries(JSON.parse(config) as Readonly<Record<string, unknown>>);
      const flattened = entities.flatMap(([kind, list]) =>
        (Array.isArray(list) ? list : []).map((entity: unknown) => ({
          entity_type: kind,
          entity,
          errors: valuesOf(entity).map((value) => ({
            type: "field",
            field: "key",
            message: `invalid value: ${value}`,
          })),
        })),
      );
      kong.refuse = () => flattened;
      const session = await world.controlPlane.session();
      session.sendConfig(world.planted.later.frame);
      await run.logged((line) => String(line["msg"]).startsWith("config held back"));
      await world.visit(run);
      await world.run(["status"], { env });
      await world.run(["status", "--json"], { env });
      await world.stop(run);
      const list = await world.run(["snapshots", "list", "--all", "--json"], { env });
      const [, held = ""] = /"([^"]+\.held)"/.exec(list.stdout.toString()) ?? [];
      assert.notEqual(held, "", list.stdout.toString());
      await world.run(["snapshots", "list", "--all"], { env });
      await world.run(["snapshots", "show", held], { env, status: 0 });
      await world.run(["snapshots", "show", held, "--json"], { env, status: 0 });
      await world.run(["snapshots", "diff", "current", held], { env, status: 1 });
    },
  },
  {
    name: "export with a rehearsal that cannot be had: Kong says no, or repeats all it was told",
    commands: ["export"],
    run: async (world) => {
      await using kong = await FakeKongAdmin.start();
      const env = { KONG_FALLBACK_REHEARSAL_URL: kong.url, KONG_FALLBACK_REHEARSAL_TIMEOUT: "1" };
      const run = world.start(["export"], { env });
      const body = JSON.stringify({ message: echo(world) });
      const many = (reply: { readonly status: number; readonly body: string }) =>
        Array.from({ length: 3 }, () => reply);
      kong.answerNext("/", ...many({ status: 401, body }));
      kong.answerNext(
        "/config",
        ...many({ status: 500, body }),
        ...many(schemaRefusal({ fields: { config: echo(world) } })),
      );
      await run.logged((line) => /REHEARSAL_|config held back/.test(JSON.stringify(line)));
      await world.visit(run);
      run.signal("SIGTERM");
      await run.ended();
    },
  },
];
