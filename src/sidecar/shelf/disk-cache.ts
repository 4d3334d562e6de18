/** The newest config of each Kong version on the local disk, for a restart while control plane and store are gone. */

import type { Clock } from "../../core/clock.ts";
import { ServiceError } from "../../core/errors.ts";
import type { Log } from "../../core/log.ts";
import { Backoff, type BackoffPolicy } from "../../core/trying.ts";
import { Bell, orAborted, raced } from "../../core/waiting.ts";
import type { KongVersion } from "../../kong/version.ts";
import { SnapshotError } from "../../snapshots/errors.ts";
import { currentKey } from "../../snapshots/layout.ts";
import { decodeMetadata, encodeMetadata } from "../../snapshots/metadata.ts";
import { olderVersions, type VersionMatch } from "../../snapshots/order.ts";
import type { Seal } from "../../snapshots/seal/seal.ts";
import { maxCurrentBytes, opened, sightCurrent } from "../../snapshots/sighting.ts";
import { type Metadata, type Store, type StoredObject, StoreError } from "../../store/port.ts";
import type { KeptSnapshot } from "./refresher.ts";
import { type Origin, type Servable, unpackSnapshot } from "./shelf.ts";

export interface DiskCacheOptions {
  /** A directory of this process's own: what lies there is overwritten without a look. */
  readonly store: Store;
  /**
   * For own use: it encrypts where there are keys, and asks for no signature. The directory is private,
   * and all that comes into it was verified when it came: by its signature from a store, by mutual TLS
   * from a control plane.
   */
  readonly seal: Seal;
  /** Ids of the keys one of which must have signed what comes from a store; none: no signature is asked for. */
  readonly trusted: readonly string[];
  /** Which other version's snapshot may stand in for one. */
  readonly match: VersionMatch;
  /** Longest config accepted from the disk, bytes. */
  readonly maxConfigBytes: number;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  readonly log: Log;
}

/** Name of the metadata that say who vouched for a config when it was put here: the disk asks for no signature, and keys change. */
const VOUCHED_BY = "vouched-by";
const CONTROL_PLANE = "control-plane";
/** Of a config that there was nothing to measure by, see Servable. */
const UNMEASURED = "unmeasured";
/** Metadata have 2 kB in all. */
const MAX_NAMED = 30;
/** While the disk takes nothing. */
const RETRY: BackoffPolicy = { minMs: 10_000, maxMs: 5 * 60_000 };

export class DiskCache {
  readonly #options: DiskCacheOptions;
  /** To be written: of each version only the newest. */
  readonly #pending = new Map<KongVersion, Servable>();
  /** Read from the disk, but not sealed as it is to be now. */
  readonly #toReseal = new Set<KongVersion>();
  readonly #bell = new Bell();

  constructor(options: DiskCacheOptions) {
    this.#options = options;
  }

  /**
   * What was kept for this version, verified; undefined if there is nothing. SnapshotError if it
   * cannot be trusted, or was saved for a version that may not stand in, StoreError if it cannot be read. Unlike in a store, a config without metadata
   * counts as corrupt: nobody copies one here by hand, and without its digest damage may go unseen.
   */
  async read(version: KongVersion, signal: AbortSignal): Promise<KeptSnapshot | undefined> {
    const { store, seal, trusted, match, maxConfigBytes } = this.#options;
    const key = currentKey(version);
    const name = `${store.url}/${key}`;
    let object: StoredObject;
    try {
      object = await store.get(key, { maxBytes: maxCurrentBytes(maxConfigBytes) }, signal);
    } catch (error) {
      if (error instanceof StoreError && error.code === "STORE_NOT_FOUND") return undefined;
      throw error;
    }
    checkVoucher(object.metadata, trusted, name);
    const savedFor = decodeMetadata(object.metadata, name)?.kongVersion ?? version;
    const [standIn] = olderVersions(version, [savedFor], match);
    const options = { seal, kongVersion: standIn ?? version, maxConfigBytes };
    const { config, metadata } = opened(await sightCurrent(object, name, options));
    if (!seal.isUpToDate(object.metadata)) this.#toReseal.add(version);
    const isMeasured = object.metadata[UNMEASURED] === undefined;
    if (metadata !== undefined) return { config, metadata, isMeasured };
    throw new SnapshotError("SNAPSHOT_CORRUPT", `${name} has no readable metadata`, {
      hint: "Nothing has to be done: it is replaced by the next config.",
    });
  }

  /** Has it written soon, in place of what was kept before. What came from the disk is there already, unless it is to be sealed. */
  keep(servable: Servable): void {
    if (servable.origin === "disk" && !this.#toReseal.has(servable.kongVersion)) {
      this.#pending.delete(servable.kongVersion);
      return;
    }
    this.#pending.set(servable.kongVersion, servable);
    this.#bell.ring();
  }

  /**
   * Writes one config at a time until `stop` aborts, then what is left, for as long as `deadline`
   * allows; so `stop` should come after the jobs that find configs have ended. A write that fails is
   * logged and tried again later. Resolves to whether nothing was left; rejects only for a bug.
   */
  async run(stop: AbortSignal, deadline: AbortSignal): Promise<boolean> {
    // Anything else than the end of a wait, or of a write cut off by the deadline, is a bug.
    await orAborted(deadline, orAborted(stop, this.#writeUntil(stop, deadline)));
    if (!deadline.aborted) await orAborted(deadline, this.#writeAll(deadline));
    return this.#pending.size === 0;
  }

  async #writeUntil(stop: AbortSignal, deadline: AbortSignal): Promise<never> {
    const failing = new Backoff(this.#options.random);
    for (;;) {
      while (this.#pending.size === 0) await this.#bell.wait(stop);
      if (await this.#writeAll(deadline)) failing.succeeded();
      else await this.#options.clock.sleep(failing.failed(RETRY), stop);
      stop.throwIfAborted();
    }
  }

  /** Whether none failed. Rejects with `signal.reason`. */
  async #writeAll(signal: AbortSignal): Promise<boolean> {
    let allWritten = true;
    for (const [version, servable] of [...this.#pending]) {
      try {
        // A disk that hangs takes no notice of any signal.
        await raced(signal, this.#write(servable, signal));
        if (this.#pending.get(version) === servable) this.#pending.delete(version);
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof ServiceError)) throw error;
        allWritten = false;
        this.#options.log.error(
          { err: error, kongVersion: version },
          "config not kept on the local disk, will try again; it is served all the same",
        );
      }
    }
    return allWritten;
  }

  async #write(servable: Servable, signal: AbortSignal): Promise<void> {
    const { store, seal, trusted, log } = this.#options;
    const { kongVersion, configHash, bytes, isMeasured } = servable;
    const { config, metadata } = await unpackSnapshot(servable);
    const sealed = await seal.close(config, {
      ...encodeMetadata(metadata),
      ...voucher(servable.origin, trusted),
      ...(!isMeasured && { [UNMEASURED]: "true" }),
    });
    await store.put(
      currentKey(kongVersion),
      sealed.body,
      { metadata: sealed.metadata, contentType: "application/json" },
      signal,
    );
    this.#toReseal.delete(kongVersion);
    log.debug({ kongVersion, configHash, bytes }, "config kept on the local disk");
  }
}

/** `trusted`: the ids of the keys one of which must have signed what came from a store; none: no signature was asked for. */
function voucher(origin: Origin, trusted: readonly string[]): Metadata {
  if (origin === "memory") return { [VOUCHED_BY]: CONTROL_PLANE };
  return trusted.length === 0 ? {} : { [VOUCHED_BY]: trusted.slice(0, MAX_NAMED).join(",") };
}

/**
 * Throws SNAPSHOT_UNSIGNED where signatures are asked for now, and one of a key that is not trusted any
 * more, or none at all, was good enough then. `name` is the object, for the message.
 */
function checkVoucher(metadata: Metadata, trusted: readonly string[], name: string): void {
  const vouchedBy = metadata[VOUCHED_BY];
  if (trusted.length === 0 || vouchedBy === CONTROL_PLANE) return;
  const ids = vouchedBy?.split(",") ?? [];
  if (ids.length > 0 && ids.every((id) => trusted.includes(id))) return;
  const then = ids.length === 0 ? "no signature was asked for" : `${ids.join(", ")} were trusted`;
  throw new SnapshotError(
    "SNAPSHOT_UNSIGNED",
    `${name} was kept while ${then}, so it is not used`,
    {
      hint: "Nothing has to be done: it is replaced by what the store or the control plane has.",
    },
  );
}
