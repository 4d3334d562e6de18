/** Remembers what passes by: the config a live control plane sends to a data plane is the freshest snapshot for its version. */

import type { Clock } from "../../core/clock.ts";
import { ServiceError } from "../../core/errors.ts";
import type { Log } from "../../core/log.ts";
import { Bell, orAborted } from "../../core/waiting.ts";
import { decodeReconfigure } from "../../kong/reconfigure.ts";
import type { KongVersion } from "../../kong/version.ts";
import { sha256 } from "../../snapshots/snapshot.ts";
import { MAX_VERSIONS, type Shelf } from "./shelf.ts";

export interface RememberOptions {
  readonly shelf: Shelf;
  /** Node id of this process, for the metadata. */
  readonly exporterId: string;
  /** Longest config accepted, bytes. */
  readonly maxConfigBytes: number;
  readonly clock: Clock;
  readonly log: Log;
}

interface Passed {
  readonly frame: Uint8Array;
  readonly at: Date;
}

export class Remember {
  readonly #options: RememberOptions;
  /** The last frame of each version: most data planes are sent the same bytes. */
  readonly #last = new Map<KongVersion, Uint8Array>();
  /** To be read: of each version only the newest. */
  readonly #pending = new Map<KongVersion, Passed>();
  /** What was said of frames that are no config, by version and code. */
  readonly #said = new Set<string>();
  readonly #bell = new Bell();

  constructor(options: RememberOptions) {
    this.#options = options;
  }

  /**
   * For every binary message on its way from the control plane to a data plane of this version. Only
   * compares it with the one before; `run` does the rest. The bytes must not change afterwards.
   * The same bytes as they are kept, one copy for all data planes; undefined if they are not.
   */
  offer(version: KongVersion, frame: Uint8Array): Uint8Array | undefined {
    const last = this.#last.get(version);
    if (last !== undefined && Buffer.compare(last, frame) === 0) return last;
    if (last === undefined && this.#last.size >= MAX_VERSIONS) return undefined;
    this.#last.set(version, frame);
    this.#pending.set(version, { frame, at: this.#options.clock.now() });
    this.#bell.ring();
    return frame;
  }

  /** Reads one frame at a time, until `stop` aborts and nothing is left to read. Rejects only for a bug. */
  async run(stop: AbortSignal): Promise<void> {
    for (;;) {
      for (const [version, passed] of this.#pending) {
        this.#pending.delete(version);
        await this.#remember(version, passed);
      }
      if (stop.aborted) return;
      // Told to stop, too: what came meanwhile is still read.
      await orAborted(stop, this.#bell.wait(stop));
    }
  }

  async #remember(kongVersion: KongVersion, { frame, at }: Passed): Promise<void> {
    const { shelf, exporterId, maxConfigBytes, log } = this.#options;
    try {
      const update = await decodeReconfigure(frame, { maxConfigBytes });
      const { configTable: config, configHash, hashes, timestamp, clusterId } = update;
      const metadata = {
        kongVersion,
        configHash,
        hashes,
        // Right or wrong, it is the hash the control plane's own data planes run with.
        hashMatch: "unchecked",
        sha256: sha256(config),
        bytes: config.length,
        clusterId,
        controlPlaneTimestamp: timestamp,
        exportedAt: at,
        exporterId,
        fencingToken: 0,
        rehearsed: false,
        entities: undefined,
      } as const;
      // A hash that was not understood is not to be sent to data planes again: then a frame is made anew.
      const reusable = configHash === undefined ? undefined : frame;
      if (await shelf.offer({ config, metadata }, "memory", reusable)) {
        log.info(
          { kongVersion, configHash, bytes: config.length },
          "config of the control plane remembered",
        );
      }
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error;
      this.#say(error, kongVersion);
    }
  }

  /** Once each: the data plane is sent the frame all the same, and judges for itself. */
  #say(error: ServiceError & { readonly code: string }, kongVersion: KongVersion): void {
    const key = `${kongVersion} ${error.code}`;
    if (this.#said.has(key)) return;
    this.#said.add(key);
    const fields = { err: error, kongVersion };
    const { log } = this.#options;
    if (error.code === "FRAME_TOO_LARGE") log.warn(fields, "config passed on but not remembered");
    else log.debug(fields, "message passed on that is no config");
  }
}
