/** What the Azure tests share: a store on a fake or a real server. */

import { ContainerClient, StorageSharedKeyCredential } from "@azure/storage-blob";
import { Secret } from "../../src/core/secret.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import type { AzureStoreOptions } from "../../src/store/azure.ts";
import { openAzureStore } from "../../src/store/azure.ts";
import type { Store } from "../../src/store/port.ts";
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
