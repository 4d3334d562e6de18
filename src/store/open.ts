/** Storage location to store. Each driver is loaded only when its kind is asked for: an SDK costs some 0.2 s. */

import type { Clock } from "../core/clock.ts";
import type { Secret } from "../core/secret.ts";
import { type Egress, EgressError, type EgressVariables, readEgress } from "../network/egress.ts";
import type { AzureCredentials } from "./azure/identity.ts";
import { type Store, StoreError } from "./port.ts";
import type { StorageLocation } from "./storage-url.ts";

/** What the drivers need besides the location. Every one takes what concerns it. */
export interface StoreOptions {
  readonly clock: Clock;
  /** s3, gcs, azure: longest silence of the server, milliseconds. */
  readonly timeoutMs: number;
  /** s3, gcs, azure: the proxy's variables. Absent: no proxy. */
  readonly proxies?: EgressVariables | undefined;
  /** s3: region of the bucket. Absent: as the AWS SDK finds it; `us-east-1` where `endpoint` is given. */
  readonly region?: string | undefined;
  /** s3: address of an S3-compatible server. Absent: AWS. */
  readonly endpoint?: string | undefined;
  /** s3: how buckets are addressed. Absent: by path where `endpoint` is given, else by host. */
  readonly addressing?: "path" | "virtual" | undefined;
  /** s3: PEM of certificate authorities to trust besides those built into Node. */
  readonly caBundle?: string | undefined;
  /** s3: parameters for every PutObject, as `KONG_CLUSTER_FALLBACK_EXPORT_S3_CONFIG` gives them. */
  readonly putOptions?: Readonly<Record<string, unknown>> | undefined;
  /** gcs: JSON text of a service-account key. Absent: Application Default Credentials. */
  readonly credentials?: Secret<string> | undefined;
  /** gcs: address of an emulator. Absent: Google. */
  readonly apiEndpoint?: string | undefined;
  /** azure: absent, as where none is set: the managed identity of this machine. */
  readonly azureCredentials?: AzureCredentials | undefined;
  /** azure: address of the service, as AzureConnection tells. Absent: the public cloud. */
  readonly azureEndpoint?: string | undefined;
}

/** Opens no connection. Rejects with StoreError where the options alone show that nothing could work. */
export async function openStore(location: StorageLocation, options: StoreOptions): Promise<Store> {
  switch (location.kind) {
    case "s3": {
      const { openS3Store } = await import("./s3.ts");
      const { addressing, region, endpoint, caBundle, putOptions, timeoutMs, clock } = options;
      const forcePathStyle = addressing === undefined ? undefined : addressing === "path";
      const egress = egressOf(options);
      const connection = { region, endpoint, forcePathStyle, caBundle, egress, timeoutMs, clock };
      return openS3Store({ ...location, ...connection, putOptions });
    }
    case "gcs": {
      const { openGcsStore } = await import("./gcs.ts");
      const { credentials, apiEndpoint, timeoutMs, clock } = options;
      const egress = egressOf(options);
      return openGcsStore({ ...location, credentials, apiEndpoint, egress, timeoutMs, clock });
    }
    case "azure": {
      const { openAzureStore } = await import("./azure.ts");
      const {
        azureCredentials: credentials = {},
        azureEndpoint: endpoint,
        timeoutMs,
        clock,
      } = options;
      const egress = egressOf(options);
      return openAzureStore({ ...location, credentials, endpoint, egress, timeoutMs, clock });
    }
    case "file": {
      const { FileStore } = await import("./file.ts");
      return new FileStore({ ...location, clock: options.clock });
    }
    default:
      return location satisfies never;
  }
}

/** Throws STORE_MISCONFIGURED. */
function egressOf({ proxies = {} }: StoreOptions): Egress {
  try {
    return readEgress(proxies);
  } catch (error) {
    if (!(error instanceof EgressError)) throw error;
    throw new StoreError(
      "STORE_MISCONFIGURED",
      `could not use the proxy for the store: ${error.message}`,
      { hint: "Write it as http://proxy.example:3128, or unset it." },
    );
  }
}
