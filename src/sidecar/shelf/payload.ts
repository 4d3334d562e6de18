/** A snapshot in the form in which data planes get it: one compressed message for all of them. */

import { constants } from "node:buffer";
import { configuredPlugins } from "../../kong/configured-plugins.ts";
import { decodeReconfigure } from "../../kong/reconfigure.ts";
import { encodeReconfigure } from "../../kong/reconfigure-encode.ts";
import type { KongVersion } from "../../kong/version.ts";
import { type NewSnapshot, type SnapshotMetadata, takenAt } from "../../snapshots/snapshot.ts";

/** Where a config was found: passing by from the control plane, on the local disk, in the store. */
export type Origin = "memory" | "disk" | "store";

/** A verified snapshot as it was found. */
export interface Offer extends NewSnapshot {
  /** Kong version that it is to be served for; absent: the one that it was saved for. */
  readonly wanted?: KongVersion;
}

/** A verified snapshot, ready to be sent. The config itself is kept only in the compressed frame. */
export interface Servable {
  /** One binary message, gzip of a `reconfigure`; never to be written to. */
  readonly frame: Uint8Array;
  /** The hash a data plane reports once it has the config; undefined: it computes one itself. */
  readonly configHash: string | undefined;
  /** Names of the enabled plugins. */
  readonly plugins: ReadonlySet<string>;
  /** That it is served for. Its metadata tell for which one it was saved, which may be an older one. */
  readonly kongVersion: KongVersion;
  /** Length of the config, not compressed. */
  readonly bytes: number;
  /** Seconds since 1970, by the control plane's clock. */
  readonly controlPlaneTimestamp: number | undefined;
  /** Undefined where nobody knows, as after a copy by hand. */
  readonly takenAt: Date | undefined;
  readonly origin: Origin;
  readonly metadata: SnapshotMetadata;
}

/** `frame`: the message the config came in, to be sent again as it is; absent: one is made. */
export async function packSnapshot(
  { config, metadata, wanted = metadata.kongVersion }: Offer,
  origin: Origin,
  frame?: Uint8Array,
): Promise<Servable> {
  const { configHash, hashes, bytes, controlPlaneTimestamp } = metadata;
  return {
    frame:
      frame ??
      (await encodeReconfigure({
        configTable: config,
        configHash,
        hashes,
        timestamp: controlPlaneTimestamp,
      })),
    configHash,
    plugins: configuredPlugins(config),
    kongVersion: wanted,
    bytes,
    controlPlaneTimestamp,
    takenAt: takenAt(metadata),
    origin,
    metadata,
  };
}

/** The snapshot itself, its config unpacked anew: use it and let it go. */
export async function unpackSnapshot({ frame, metadata }: Servable): Promise<NewSnapshot> {
  // It was within the limit when it was packed; only what stands around the config may be longer.
  const { configTable } = await decodeReconfigure(frame, { maxConfigBytes: constants.MAX_LENGTH });
  return { config: configTable, metadata };
}
