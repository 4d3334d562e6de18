/** Configs as real control planes sent them. */

import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";

/** Exact bytes of the `config_table` of a recorded frame: `3.9.1/rich`. */
export function capturedConfig(name: string): Buffer {
  const file = new URL(`../../fixtures/captures/${name}.reconfigure.bin`, import.meta.url);
  const frame: { readonly config_table: object } = JSON.parse(
    gunzipSync(readFileSync(file)).toString("utf8"),
  );
  return Buffer.from(JSON.stringify(frame.config_table));
}

/** A config made for one kind of finding: `unique-values`. */
export function caseConfig(name: string): Buffer {
  return readFileSync(new URL(`../../fixtures/configs/${name}.json`, import.meta.url));
}

/** A captured config with this done to it. */
export function changedConfig(
  name: string,
  change: (table: Record<string, Record<string, unknown>[]>) => void,
): Buffer {
  const table = JSON.parse(capturedConfig(name).toString("utf8"));
  change(table);
  return Buffer.from(JSON.stringify(table));
}

/** The recorded config as a control plane of Enterprise with one workspace might send it. */
export function enterpriseConfig(): Buffer {
  return changedConfig("3.9.1/rich", (table) => {
    for (const kind of ["services", "routes", "plugins", "consumers", "ca_certificates"]) {
      for (const row of table[kind] ?? []) row["ws_id"] = "87c1747a-156f-4ba3-aee5-8d147bf08eea";
    }
    for (const row of table["plugins"] ?? []) row["consumer_group"] = null;
    for (const row of table["workspaces"] ?? []) row["meta"] = { color: "#fff" };
    table["licenses"] = [{ id: "l1", payload: "canary" }];
    table["rbac_users"] = [{ id: "u1", name: "root", user_token: "canary" }];
    table["consumer_groups"] = [{ id: "g1", name: "gold" }];
    table["plugins"]?.push(
      { id: "p1", name: "openid-connect", config: { client_secret: ["canary"] }, route: null },
      { id: "p2", name: "rate-limiting", config: { minute: 1 }, consumer_group: "g1" },
    );
  });
}
