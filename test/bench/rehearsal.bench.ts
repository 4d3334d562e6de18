/** What a rehearsal costs besides Kong's own work: with a fake of its Admin API, beside the same text posted to it. */

import { type BenchOptions, bench, describe } from "vitest";
import { KongRehearser } from "../../src/exporter/kong-rehearser.ts";
import { AdminClient, prepareConfigLoad } from "../../src/kong/admin-client.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { V391 } from "../fakes/config.ts";
import { FakeKongAdmin } from "../fakes/kong-admin.ts";
import { largeConfig, megabytes } from "./large-config.ts";

const never = new AbortController().signal;

for (const pairs of [1, 10_000, 50_000]) {
  const { config } = largeConfig(pairs);
  const { body } = prepareConfigLoad(config);
  describe(`rehearsing ${megabytes(config)}`, () => {
    let kong: FakeKongAdmin;
    let admin: AdminClient;
    const options: BenchOptions = {
      iterations: 5,
      time: 0,
      warmupIterations: 0,
      warmupTime: 0,
      async setup() {
        kong = await FakeKongAdmin.start();
        kong.hasReadiness = true;
        kong.maxBodyBytes = 2 ** 28;
        admin = new AdminClient({ url: new URL(kong.url) });
      },
      async teardown() {
        await admin[Symbol.asyncDispose]();
        await kong[Symbol.asyncDispose]();
      },
    };
    bench(
      "KongRehearser",
      async () => {
        const rehearser = new KongRehearser({
          admin,
          status: admin,
          kongVersion: V391,
          timeoutMs: 60_000,
          clock: systemClock,
        });
        const { kind } = await rehearser.rehearse(config, never);
        if (kind !== "passed") throw new Error(`the rehearsal was ${kind}`);
      },
      options,
    );
    bench(
      "floor: the config posted, nothing asked",
      async () => void (await admin.loadConfig(body, never)),
      options,
    );
  });
}
