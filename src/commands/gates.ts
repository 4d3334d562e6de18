/** Settings to what a config must pass, besides the guard, before `export` makes it current. */

import type { Log } from "../core/log.ts";
import type { Gate } from "../exporter/gates.ts";
import { KongRehearser } from "../exporter/kong-rehearser.ts";
import type { GateMetrics } from "../exporter/metrics.ts";
import { Rehearsal } from "../exporter/rehearsal.ts";
import { StaticChecks } from "../exporter/static-checks.ts";
import { AdminClient, type AdminClientOptions } from "../kong/admin-client.ts";
import { checkConfigInTurns } from "../kong/checks/check-config.ts";
import type { KongVersion } from "../kong/version.ts";
import type { CommandContext } from "./context.ts";

/** Disposed of when no exporter runs any more. */
export interface ConfiguredGates extends AsyncDisposable {
  /** Those of one version, to be shared by its writers; to be called once for each. */
  of(version: KongVersion, log: Log, metrics: GateMetrics): readonly Gate[];
}

export function openGates(
  { settings, clock }: Pick<CommandContext, "settings" | "clock">,
  loadTls: AdminClientOptions["loadTls"],
): ConfiguredGates {
  const { rehearsal, checks: mode, adminToken: token, plugins } = settings;
  const check = (config: Uint8Array, kongVersion: KongVersion) =>
    checkConfigInTurns(config, kongVersion, { plugins });
  const clients: AdminClient[] = [];
  const open = (url: string | undefined, options: { token?: typeof token }) => {
    if (url === undefined) return undefined;
    const client = new AdminClient({ url: new URL(url), loadTls, ...options });
    clients.push(client);
    return client;
  };
  return {
    of(kongVersion, log, metrics) {
      const gates: Gate[] = [];
      if (mode !== "off") {
        gates.push(new StaticChecks({ check, mode, kongVersion, log, metrics }));
      }
      const admin = open(rehearsal.urls.get(kongVersion), { token });
      if (admin !== undefined) {
        const status = open(rehearsal.statusUrls.get(kongVersion), {});
        const { timeoutMs } = rehearsal;
        const rehearser = new KongRehearser({ admin, status, kongVersion, timeoutMs, clock });
        gates.push(new Rehearsal({ rehearser, mode: rehearsal.mode, log, metrics }));
      }
      return gates;
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(clients.map((client) => client[Symbol.asyncDispose]()));
    },
  };
}
