/** What a sidecar says and answers, to data planes and to a DB-less Kong. */

import { rm } from "node:fs/promises";
import { systemClock } from "../../../src/runtime/clock.ts";
import { HASTE } from "../../e2e/sidecar.ts";
import { certificateAuthority, clusterCertificate, sharedTls } from "../../fakes/certificates.ts";
import { FakeDataPlane } from "../../fakes/data-plane.ts";
import { schemaRefusal } from "../../fakes/kong-admin-answers.ts";
import type { Surface } from "../surface.ts";
import type { World } from "../world.ts";
import { echo, S3 } from "./export.ts";

async function plane(world: World, port: unknown, behaviour = {}): Promise<FakeDataPlane> {
  const { tls } = world.stage;
  const controlPlane = { host: "127.0.0.1", port: Number(port) };
  return new FakeDataPlane({ controlPlane, tls, clock: systemClock, behaviour });
}

export const SERVE_SURFACES: readonly Surface[] = [
  {
    name: "serve with a control plane: log, pages, what is remembered",
    commands: ["serve"],
    run: async (world) => {
      const run = world.start(["serve"], { env: HASTE });
      const { port } = await run.logged("fallback control plane listens");
      await using dataPlane = await plane(world, port);
      await dataPlane.connect();
      await dataPlane.configured();
      await world.visit(run);
      await world.stop(run);
    },
  },
  {
    name: "serve without a control plane, from the store, then from its disk",
    commands: ["serve"],
    run: async (world) => {
      await world.save();
      const env = { ...HASTE, KONG_CLUSTER_CONTROL_PLANE: "127.0.0.1:1" };
      for (let round = 0; round < 2; round += 1) {
        const run = world.start(["serve"], { env });
        const { port } = await run.logged("fallback control plane listens");
        await using dataPlane = await plane(world, port);
        await dataPlane.connect();
        await dataPlane.configured();
        await world.visit(run);
        if (round === 0) await run.logged("config kept on the local disk");
        await world.stop(run);
        await rm(world.stage.path("store"), { recursive: true, force: true });
      }
    },
  },
  {
    name: "serve to data planes that refuse the config, and to one of another cluster",
    commands: ["serve"],
    run: async (world) => {
      await world.save();
      const env = { ...HASTE, KONG_CLUSTER_CONTROL_PLANE: "127.0.0.1:1" };
      const run = world.start(["serve"], { env });
      const { port } = await run.logged("fallback control plane listens");
      await using refusing = await plane(world, port, { rejects: true, reportsErrors: true });
      await refusing.connect();
      await refusing.until(() => refusing.refused.length > 0);
      const controlPlane = { host: "127.0.0.1", port: Number(port) };
      const tls = await sharedTls(clusterCertificate());
      await using stranger = new FakeDataPlane({ controlPlane, tls, clock: systemClock });
      await stranger.connect().catch(() => {});
      await world.visit(run);
      await world.stop(run);
    },
  },
  {
    name: "serve with a store that refuses and repeats all it was told",
    commands: ["serve"],
    run: async (world) => {
      const message = echo(world);
      world.s3.fault = () => ({ kind: "error", status: 403, code: "AccessDenied", message });
      const env = { ...HASTE, ...S3, KONG_CLUSTER_CONTROL_PLANE: "127.0.0.1:1" };
      const run = world.start(["serve"], { env });
      await run.logged((line) => JSON.stringify(line).includes("STORE_DENIED"));
      await world.visit(run);
      await world.stop(run);
    },
  },
  {
    name: "serve with a certificate of its own, whose key is wrong",
    commands: ["serve"],
    run: async (world) => {
      const authority = await certificateAuthority();
      const env = { ...HASTE, ...world.pki() };
      const { cert } = await authority.issue("sidecar.internal");
      await world.run(["serve"], { env: { ...env, KONG_FALLBACK_SERVER_CERT: cert }, status: 2 });
      const run = world.start(["serve"], { env });
      await run.logged("fallback control plane listens");
      await world.visit(run);
      await world.stop(run);
    },
  },
  {
    name: "serve --target admin: log, pages, what Kong gets",
    commands: ["serve"],
    run: async (world) => {
      await world.save();
      const env = { KONG_FALLBACK_SERVE_GRACE: "0" };
      const run = world.start(["serve", "--target", world.kong.url], { env });
      await run.logged("Kong has the newest snapshot");
      await world.visit(run);
      await world.stop(run);
    },
  },
  {
    name: "serve --target admin, where Kong refuses the config and repeats it",
    commands: ["serve"],
    run: async (world) => {
      await world.save();
      const fields = { key: `value '${echo(world)}' is wrong` };
      const refusal = schemaRefusal({ fields });
      world.kong.answerNext("/config", ...Array.from({ length: 20 }, () => refusal));
      const env = { KONG_FALLBACK_SERVE_GRACE: "0" };
      const run = world.start(["serve", "--target", world.kong.url], { env });
      await run.logged((line) => JSON.stringify(line).includes("ADMIN_REFUSED"));
      await world.visit(run);
      await world.stop(run);
    },
  },
];
