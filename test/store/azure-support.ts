/** What the Azure tests share: a store on a fake or a real server, and a look for secrets in errors. */

import assert from "node:assert/strict";
import { inspect } from "node:util";
import { ContainerClient, StorageSharedKeyCredential } from "@azure/storage-blob";
import { Secret } from "../../src/core/secret.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import type { AzureStoreOptions } from "../../src/store/azure.ts";
import { openAzureStore } from "../../src/store/azure.ts";
import type { Store } from "../../src/store/port.ts";
import { StoreError } from "../../src/store/port.ts";
import type { AzuriteFacts } from "../servers/azurite.ts";

/** A store on `azure://<account>/backups/some/prefix` of this server unless `options` say otherwise. */
export function openAzure(
  { endpoint, account, accountKey }: Omit<AzuriteFacts, "name" | "version">,
  options: Partial<AzureStoreOptions> = {},
): Promise<Store> {
  const { container = "backups", prefix = "some/prefix" } = options;
  return openAzureStore({
    url: `azure://${account}/${container}/${prefix}`,
    account,
    container,
    prefix,
    endpoint,
    credentials: { accountKey: new Secret(accountKey) },
    timeoutMs: 10_000,
    clock: systemClock,
    ...options,
  });
}

/** The container as its owner sees it, past the store. */
export function containerOf(
  { endpoint, account, accountKey }: Omit<AzuriteFacts, "name" | "version">,
  container = "backups",
): ContainerClient {
  const credential = new StorageSharedKeyCredential(account, accountKey);
  return new ContainerClient(`${endpoint}/${account}/${container}`, credential, {
    keepAliveOptions: { enable: false },
  });
}

export interface Expected {
  readonly code: StoreError["code"];
  readonly message: RegExp;
  readonly hint?: RegExp | undefined;
  /** Absent: as the code's rule says. */
  readonly retryable?: boolean;
}

/** Resolves with the StoreError that `promise` rejects with, when it is as expected and holds none of `secrets`. */
export async function refused(
  promise: Promise<unknown>,
  expected: Expected,
  secrets: readonly string[] = [],
): Promise<StoreError> {
  const error = await promise.then(
    () => assert.fail("it succeeded"),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof StoreError, inspect(error));
  assert.equal(error.code, expected.code, error.message);
  assert.match(error.message, expected.message);
  if (expected.hint !== undefined) assert.match(error.hint ?? "", expected.hint);
  const byRule = error.code === "STORE_UNAVAILABLE" || error.code === "STORE_FULL";
  assert.equal(error.retryable, expected.retryable ?? byRule, "retryable");
  // Everything a logger or a crash could print, down to what inspect hides.
  const printed = inspect(error, { depth: 12, showHidden: true, getters: true });
  const all = [error.message, error.hint, error.stack, printed].join("\n");
  for (const secret of secrets) assert.ok(!all.includes(secret), all);
  assert.doesNotMatch(all, /sig=(?!\.\.\.)|SharedKey |Bearer |eyJ/);
  return error;
}
