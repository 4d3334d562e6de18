/** What the GCS tests share: a store on a fake or a real server, and what every operation of it must say when it fails. */

import assert from "node:assert/strict";
import { inspect } from "node:util";
import { systemClock } from "../../src/runtime/clock.ts";
import type { GcsStoreOptions } from "../../src/store/gcs.ts";
import { openGcsStore } from "../../src/store/gcs.ts";
import type { Store, StoreError, StoreErrorCode } from "../../src/store/port.ts";
import { failsWith, get, list, never, put } from "./conformance/client.ts";

/** Stands for a configuration, which no error may show. */
export const BODY = '{"consumers":[{"custom_id":"body-secret"}]}'.repeat(100);

/** A store on `gs://backups/team` of this server, of Google's without one, unless `options` say otherwise. */
export function openGcs(
  apiEndpoint: string | undefined,
  options: Partial<GcsStoreOptions> = {},
): Store {
  const { bucket = "backups", prefix = "team" } = options;
  const url = `gs://${bucket}/${prefix}`;
  const common = { url, bucket, prefix, apiEndpoint, timeoutMs: 10_000, clock: systemClock };
  return openGcsStore({ ...common, ...options });
}

/** The operations, by the verb that their messages begin with. */
const OPERATIONS: Readonly<Record<string, (store: Store) => Promise<unknown>>> = {
  "read gs://B/team/a": (store) => get(store, "a"),
  "read gs://B/team/head": (store) => store.head("head", never),
  "write gs://B/team/a": (store) => put(store, "a", BODY),
  "list gs://B/team/": (store) => list(store, ""),
  "delete gs://B/team/a": (store) => store.delete("a", never),
};

/** Every operation fails with this code, names itself and its object, and shows nothing of the body. */
export async function allFail(
  store: Store,
  code: StoreErrorCode,
  message: RegExp,
  hint: RegExp,
  bucket = "backups",
): Promise<void> {
  for (const [what, operation] of Object.entries(OPERATIONS)) {
    const error = await failsWith(code, operation(store));
    const beginning = `could not ${what.replace("B", bucket)} at http`;
    assert.ok(error.message.startsWith(beginning), error.message);
    assertSays(error, message, hint);
  }
}

export function assertSays(error: StoreError, message: RegExp, hint: RegExp): void {
  assert.match(error.message, message);
  assert.match(error.hint ?? "", hint);
  const printed = inspect(error, { depth: 10, showHidden: true, getters: true });
  assert.ok(!printed.includes("body-secret"), printed);
  assert.ok(!printed.includes(Buffer.from(BODY).toString("hex", 0, 8)), printed);
  assert.ok(!printed.includes("Buffer"), printed);
}
