/** One look at what a DB-less Kong holds. */

import type { AdminClient } from "../../kong/admin-client.ts";
import { AdminError } from "../../kong/admin-error.ts";
import { isEmptyHash } from "../../kong/config-load.ts";

/**
 * `silent`: no hash is told. Kong before 2.8, which never tells, or one whose worker is not done
 * starting. Kong/kong@3.9.1 kong/api/routes/health.lua; since 2.8 an empty Kong tells zeros (Kong/kong#8425).
 */
export type Sight =
  | { readonly kind: "failed"; readonly error: AdminError }
  | { readonly kind: "silent" }
  | { readonly kind: "empty" }
  | Filled;

export interface Filled {
  readonly kind: "filled";
  readonly hash: string;
}

/** Rejects with AdminError where this Kong has a database, and with `signal.reason`. */
export async function look(client: AdminClient, signal: AbortSignal): Promise<Sight> {
  let database: string | undefined;
  try {
    const hash = await client.configurationHash(signal);
    if (hash !== undefined) return isEmptyHash(hash) ? { kind: "empty" } : { kind: "filled", hash };
    ({ database } = await client.node(signal));
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof AdminError)) throw error;
    return { kind: "failed", error };
  }
  if (database === undefined || database === "off") return { kind: "silent" };
  throw new AdminError(
    "ADMIN_REFUSED",
    `Kong at ${client.url} is not DB-less, its database is ${database}`,
    {
      hint: "Only a Kong with database=off (KONG_DATABASE=off) takes a config over its Admin API. Check the URL.",
    },
  );
}

/** Whether two looks saw the same config, or both none. */
export function sawSame(a: Sight, b: Sight): boolean {
  return a.kind === "filled" ? b.kind === "filled" && a.hash === b.hash : a.kind === b.kind;
}
