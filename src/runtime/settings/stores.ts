/** The settings of the stores, and how to get into them. */

import type { Secret } from "../../core/secret.ts";
import { parseStorageUrls, type StorageLocation } from "../../store/storage-url.ts";
import { HTTP_URL, parseHttpUrl, parseObject } from "./parsers.ts";
import type { SettingsReader } from "./reader.ts";

/** See Settings. */
export interface StoreSettings {
  /** Replicas of each other. */
  readonly storages: readonly StorageLocation[];
  readonly s3PutOptions: Readonly<Record<string, unknown>>;
  readonly awsRegion: string | undefined;
  readonly s3Endpoint: string | undefined;
  readonly awsCaBundle: string | undefined;
  readonly gcpServiceAccount: Secret | undefined;
  readonly gcsEmulator: string | undefined;
  readonly azureCredentials: ReturnType<typeof readAzureCredentials>;
  readonly azureEndpoint: string | undefined;
  readonly storeTimeoutMs: number;
}

export function readStores(read: SettingsReader): StoreSettings {
  const storages =
    read.parsed("KONG_CLUSTER_FALLBACK_CONFIG_STORAGE", "storage URLs", parseStorageUrls) ?? [];
  read.parsed("NODE_TLS_REJECT_UNAUTHORIZED", VERIFIED, (text) => text !== "0" || undefined);
  return {
    storages,
    s3PutOptions:
      read.parsed("KONG_CLUSTER_FALLBACK_EXPORT_S3_CONFIG", "a JSON object", parseObject) ?? {},
    awsRegion: read.text("AWS_REGION") ?? read.text("AWS_DEFAULT_REGION"),
    s3Endpoint: read.parsed("AWS_CONFIG_STORAGE_ENDPOINT", HTTP_URL, parseHttpUrl),
    awsCaBundle: read.text("AWS_CA_BUNDLE"),
    gcpServiceAccount: read.secret("GCP_SERVICE_ACCOUNT"),
    gcsEmulator: read.parsed("STORAGE_EMULATOR_HOST", HTTP_URL, parseHttpUrl),
    azureCredentials: readAzureCredentials(read),
    azureEndpoint: readAzureEndpoint(read),
    storeTimeoutMs: read.seconds("KONG_FALLBACK_STORE_TIMEOUT", 0.1, 3_600),
  };
}

const VERIFIED =
  "unset: 0 turns off the verification of certificates; name your CA in AWS_CA_BUNDLE or NODE_EXTRA_CA_CERTS";

/** As chooseAccess of store/azure/credentials.ts takes them. */
function readAzureCredentials(read: SettingsReader) {
  return {
    accountKey: read.secret("AZURE_STORAGE_KEY"),
    sasToken: read.secret("AZURE_STORAGE_SAS_TOKEN"),
    tenantId: read.text("AZURE_TENANT_ID"),
    clientId: read.text("AZURE_CLIENT_ID"),
    clientSecret: read.secret("AZURE_CLIENT_SECRET"),
    federatedTokenFile: read.text("AZURE_FEDERATED_TOKEN_FILE"),
    authorityHost: read.parsed("AZURE_AUTHORITY_HOST", "a URL like https://host", (text) =>
      text.startsWith("https://") ? parseHttpUrl(text) : undefined,
    ),
  };
}

/** May hold `{account}`, in place of which any account is put. */
function readAzureEndpoint(read: SettingsReader): string | undefined {
  return read.parsed(
    "AZURE_STORAGE_ENDPOINT",
    "a URL like http://host:port or https://{account}.host, without credentials",
    (text) => (parseHttpUrl(text.replaceAll("{account}", "account")) ? text : undefined),
  );
}
