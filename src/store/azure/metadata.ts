/** Our metadata as blob metadata, and back. */

import type { Metadata } from "../port.ts";

/**
 * A name must be a C# identifier, its case is not kept on the way, and other tools keep their own
 * names beside ours. So `config-hash` is `kf_config_hash`: with the prefix no name is a keyword of
 * C# or begins with a digit, and without it it is not ours.
 * https://learn.microsoft.com/rest/api/storageservices/setting-and-retrieving-properties-and-metadata-for-blob-resources
 */
const PREFIX = "kf_";

export function toBlobMetadata(metadata: Metadata): Record<string, string> {
  return Object.fromEntries(
    Object.entries(metadata).map(([name, value]) => [PREFIX + name.replaceAll("-", "_"), value]),
  );
}

/** Only what `toBlobMetadata` made. */
export function fromBlobMetadata(metadata: Readonly<Record<string, string>> = {}): Metadata {
  return Object.fromEntries(
    Object.entries(metadata).flatMap(([name, value]) => {
      const lower = name.toLowerCase();
      return lower.startsWith(PREFIX)
        ? [[lower.slice(PREFIX.length).replaceAll("_", "-"), value]]
        : [];
    }),
  );
}

/** Whether the blob stands for a folder, as those of a hierarchical namespace and of some tools do. */
export function isFolder(metadata: Readonly<Record<string, string>> = {}): boolean {
  return Object.entries(metadata).some(
    ([name, value]) => name.toLowerCase() === "hdi_isfolder" && value === "true",
  );
}
