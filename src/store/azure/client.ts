/** The SDK's client of one container as this program wants it. */

import type { AgentOptions } from "node:http";
import type { StoragePipelineOptions } from "@azure/storage-blob";
import {
  AnonymousCredential,
  ContainerClient,
  StorageSharedKeyCredential,
} from "@azure/storage-blob";
import { DIRECT, type Egress } from "../../network/egress.ts";
import { Outbound } from "../../network/outbound.ts";
import { StoreError } from "../port.ts";
import type { AzureAccess, AzureCredentials } from "./identity.ts";
import { chooseAccess } from "./identity.ts";

export interface AzureConnection {
  /** Name of the storage account. */
  readonly account: string;
  readonly container: string;
  /**
   * `http(s)://host[:port][/path]`, with `{account}` where the account's name belongs; without that
   * it follows as a path, as emulators want it. Absent: `https://{account}.blob.core.windows.net`.
   */
  readonly endpoint?: string | undefined;
  readonly credentials: AzureCredentials;
  /** Absent: no proxy. */
  readonly egress?: Egress | undefined;
  /** For a connection through a proxy to come about. */
  readonly timeoutMs: number;
}

export interface ConnectedContainer {
  readonly client: ContainerClient;
  /** Where it talks to and as whom, for messages: `https://acme.blob.core.windows.net, managed identity`. */
  readonly place: string;
}

const PUBLIC_CLOUD = "https://{account}.blob.core.windows.net";

/** Node's own for its global agents, which keep connections for 5 s: routers and load balancers forget them without a word, and the SDK's would keep them for ever. */
const KEEP_ALIVE: AgentOptions = { keepAlive: true, scheduling: "lifo", timeout: 5_000 };

const OPTIONS: StoragePipelineOptions = {
  // No retries here: whoever calls the store retries, with one budget for everything.
  retryOptions: { maxTries: 1 },
  userAgentOptions: { userAgentPrefix: "kong-fallback" },
};

/** Rejects with STORE_MISCONFIGURED or STORE_DENIED where the options alone show that nothing could work. Opens no connection. */
export async function connectContainer(connection: AzureConnection): Promise<ConnectedContainer> {
  const base = resolveEndpoint(connection);
  const outbound = new Outbound(connection.egress ?? DIRECT, connection.timeoutMs);
  const access = await chooseAccess(connection.credentials, outbound);
  if (access.kind === "identity" && base.startsWith("http:")) {
    throw new StoreError(
      "STORE_MISCONFIGURED",
      `could not use the ${access.name} at ${base}: an access token goes over https only`,
      { hint: "Give an https:// AZURE_STORAGE_ENDPOINT, or AZURE_STORAGE_KEY for an emulator." },
    );
  }
  const url = `${base}/${connection.container}`;
  const who = access.kind === "identity" ? access.name : NAMES[access.kind];
  const agent = outbound.agents(KEEP_ALIVE)(new URL(base));
  // The SDK hands `agent` on to its pipeline, though its type does not have it.
  const options = { ...OPTIONS, agent };
  return { client: open(url, connection.account, access, options), place: `${base}, ${who}` };
}

const NAMES = { key: "account key", sas: "SAS token" } as const;

function open(
  url: string,
  account: string,
  access: AzureAccess,
  options: StoragePipelineOptions,
): ContainerClient {
  switch (access.kind) {
    case "key": {
      const credential = new StorageSharedKeyCredential(account, access.key.reveal());
      return new ContainerClient(url, credential, options);
    }
    case "sas": {
      const query = access.token.reveal().replace(/^\?/, "");
      return new ContainerClient(`${url}?${query}`, new AnonymousCredential(), options);
    }
    case "identity":
      return new ContainerClient(url, access.credential, options);
    default:
      return access satisfies never;
  }
}

function resolveEndpoint({ account, endpoint = PUBLIC_CLOUD }: AzureConnection): string {
  const filled = endpoint.includes("{account}")
    ? endpoint.replaceAll("{account}", account)
    : `${endpoint.replace(/\/+$/, "")}/${account}`;
  const url = URL.canParse(filled) ? new URL(filled) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.username + url.password !== "") {
    throw misplaced("AZURE_STORAGE_ENDPOINT is not an http(s):// address, or holds credentials");
  }
  if (url.search + url.hash !== "") {
    throw misplaced(`the Azure endpoint at ${url.host} goes on with a "?" or a "#"`);
  }
  return `${url.origin}${url.pathname.replace(/\/+$/, "")}`;
}

function misplaced(message: string): StoreError {
  return new StoreError("STORE_MISCONFIGURED", message, {
    hint: "Write it as https://{account}.blob.core.windows.net, or http://127.0.0.1:10000 for an emulator. A SAS token goes into AZURE_STORAGE_SAS_TOKEN.",
  });
}
