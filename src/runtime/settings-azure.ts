/** The settings of the azure store. */

import { parseHttpUrl } from "./settings-parsers.ts";
import type { SettingsReader } from "./settings-reader.ts";

/** As chooseAccess of store/azure/credentials.ts takes them. */
export function readAzureCredentials(read: SettingsReader) {
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
export function readAzureEndpoint(read: SettingsReader): string | undefined {
  return read.parsed(
    "AZURE_STORAGE_ENDPOINT",
    "a URL like http://host:port or https://{account}.host, without credentials",
    (text) => (parseHttpUrl(text.replaceAll("{account}", "account")) ? text : undefined),
  );
}
