/** Finds out at start what a store keeps: conditions of writes, which some accept and ignore, metadata, and versions that never come back. */

import { randomUUID } from "node:crypto";
import type { Key, Precondition, Store, StoredObject, Version } from "./port.ts";
import { StoreError } from "./port.ts";

/** `explanation`: one or two sentences for the operator, with what to do where there is something to do. */
export type PreconditionSupport =
  /** Conditions that hold are accepted, others refused. */
  | {
      readonly kind: "honoured";
      /** Whether one body written twice made two versions. Where not, versions are digests of bodies, and may come back. */
      readonly makesFreshVersions: boolean;
      readonly explanation: string;
    }
  /** Writes were accepted against their condition: a second writer can overwrite the first one unnoticed. */
  | {
      readonly kind: "ignored";
      readonly what: "ifAbsent" | "ifVersion" | "both";
      readonly explanation: string;
    }
  /** A write was refused although its condition held, or because it had one; without one the store takes it. */
  | {
      readonly kind: "refused";
      readonly what: "ifAbsent" | "ifVersion";
      readonly explanation: string;
      readonly cause: StoreError;
    }
  /** Others wrote the probe object each time we did. Conditions are not ignored: ours were refused when they were stale. */
  | { readonly kind: "contended"; readonly explanation: string };

/** Exporters that start at the same moment use the same object; each round lets at least one of them finish. */
const ROUNDS = 16;

/** Name of the metadata that are tried: with a hyphen, as ours have. */
const TRIAL = "trial-of-metadata";

/** As long as the longest value of ours may get. */
const TRIAL_VALUE_CHARS = 512;

/** The probe object is some 100 bytes; whatever else lies under its key is not ours. */
const MAX_BYTES = 64 * 1024;

/**
 * Writes the object `key` at most 5 times a round, reads it, and leaves it; needs no permission to delete.
 * Several probes of one key at once are fine. Rejects with STORE_MISCONFIGURED where metadata do not come
 * back as they were written, with the StoreError of a store that cannot be read or written at all, or with
 * `signal.reason`.
 */
export async function probePreconditions(
  store: Store,
  key: Key,
  signal: AbortSignal,
): Promise<PreconditionSupport> {
  for (let round = 0; round < ROUNDS; round += 1) {
    const support = await new Probe(store, key, signal).run();
    if (support !== undefined) return support;
  }
  return {
    kind: "contended",
    explanation: `Whether ${store.url} honours conditional writes could not be settled: other exporters tested it at the same moment, ${ROUNDS} times in a row. It does refuse stale writes.`,
  };
}

/** One round. */
class Probe {
  readonly #store: Store;
  readonly #key: Key;
  readonly #signal: AbortSignal;
  /** In body and metadata of what was written last. */
  #last = { nonce: "", value: "" };

  constructor(store: Store, key: Key, signal: AbortSignal) {
    this.#store = store;
    this.#key = key;
    this.#signal = signal;
  }

  /** Undefined where another writer came between. */
  async run(): Promise<PreconditionSupport | undefined> {
    const support = await this.#tryConditions();
    if (support !== undefined) await this.#checkMetadata();
    return support;
  }

  async #tryConditions(): Promise<PreconditionSupport | undefined> {
    const absent: Precondition = { ifAbsent: true };
    let current: { readonly version: Version } | undefined = await this.#read();
    if (current === undefined) {
      const created = await this.#put(absent);
      if (created instanceof StoreError) {
        if (created.code === "STORE_PRECONDITION_FAILED" && (await this.#read())) return undefined;
        return this.#refused("ifAbsent", created);
      }
      current = created;
    }

    const again = await this.#put(absent);
    const ignoresAbsent = !(again instanceof StoreError);
    if (!ignoresAbsent && again.code !== "STORE_PRECONDITION_FAILED") {
      return this.#refused("ifAbsent", again);
    }
    const before = ignoresAbsent ? again : current;

    const replaced = await this.#put({ ifVersion: before.version });
    if (replaced instanceof StoreError) {
      const now = await this.#read();
      if (replaced.code === "STORE_PRECONDITION_FAILED" && now?.version !== before.version) {
        return undefined;
      }
      return this.#refused("ifVersion", replaced);
    }

    const stale = await this.#put({ ifVersion: before.version });
    const ignoresVersion = !(stale instanceof StoreError);
    if (!ignoresVersion && stale.code !== "STORE_PRECONDITION_FAILED") throw stale;

    if (ignoresAbsent && ignoresVersion) return this.#ignored("both");
    if (ignoresAbsent) return this.#ignored("ifAbsent");
    if (ignoresVersion) return this.#ignored("ifVersion");
    // The stale one was not taken: this is the body that lies there.
    const twice = await this.#put({ ifVersion: replaced.version }, replaced.nonce);
    if (twice instanceof StoreError) {
      if (twice.code === "STORE_PRECONDITION_FAILED") return undefined;
      throw twice;
    }
    const makesFreshVersions = twice.version !== replaced.version;
    const therefore = makesFreshVersions
      ? "Each write makes a version of its own."
      : "Its versions are digests of bodies, so each config is followed by blanks of its own, which JSON allows.";
    return {
      kind: "honoured",
      makesFreshVersions,
      explanation: `${this.#store.url} honours conditional writes: no exporter overwrites what it has not read. It keeps metadata. ${therefore}`,
    };
  }

  /** Rejects with STORE_MISCONFIGURED where what was written last lies there without its metadata. */
  async #checkMetadata(): Promise<void> {
    const found = await this.#read();
    // Of another writer by now.
    const { nonce, value: written } = this.#last;
    if (found === undefined || !Buffer.from(found.body).toString().includes(nonce)) return;
    const value = found.metadata[TRIAL];
    if (value === written) return;
    const { url } = this.#store;
    const what = value === undefined ? "drops metadata" : "changes or cuts metadata";
    throw new StoreError(
      "STORE_MISCONFIGURED",
      `could not use ${url}: it ${what}: what was written with an object did not come back, so nothing saved there could be verified, and nothing is saved`,
      {
        hint: "Look for a proxy before the store that takes headers out: x-amz-meta-*, x-goog-meta-* and x-ms-meta-* must pass (nginx drops names with underscores unless it has underscores_in_headers on). Else use another store.",
      },
    );
  }

  async #read(): Promise<StoredObject | undefined> {
    try {
      return await this.#store.get(this.#key, { maxBytes: MAX_BYTES }, this.#signal);
    } catch (error) {
      if (error instanceof StoreError && error.code === "STORE_NOT_FOUND") return undefined;
      throw error;
    }
  }

  /** Resolves with the error of a store that answered and said no; rejects with others, which say nothing about conditions. */
  async #put(
    when: Precondition | undefined,
    nonce: string = randomUUID(),
  ): Promise<Written | StoreError> {
    // New content each time, so that every write makes a new version even where that is a digest of the body.
    const about = "kong-fallback tries here what the store keeps; it can be deleted";
    const body = new TextEncoder().encode(JSON.stringify({ about, nonce }));
    // Other metadata each time, as snapshots have.
    const value = randomUUID().padEnd(TRIAL_VALUE_CHARS, "-");
    const options = { metadata: { [TRIAL]: value }, contentType: "application/json" };
    try {
      const { version } = await this.#store.put(
        this.#key,
        body,
        when === undefined ? options : { ...options, when },
        this.#signal,
      );
      this.#last = { nonce, value };
      return { version, nonce };
    } catch (error) {
      if (error instanceof StoreError && !error.retryable) return error;
      throw error;
    }
  }

  #ignored(what: "ifAbsent" | "ifVersion" | "both"): PreconditionSupport {
    const did = {
      ifAbsent: "creates an object that exists already, although told not to",
      ifVersion: "replaces an object that changed since it was read, although told not to",
      both: "ignores the conditions of conditional writes, both for new objects and for changed ones",
    }[what];
    return {
      kind: "ignored",
      what,
      explanation: `${this.#store.url} ${did}: two exporters can overwrite each other unnoticed. Run one exporter only, or use a store that honours conditional writes.`,
    };
  }

  /** Rejects with `cause` where the store takes no write without a condition either: then it is not about conditions. */
  async #refused(what: "ifAbsent" | "ifVersion", cause: StoreError): Promise<PreconditionSupport> {
    const plain = await this.#put(undefined);
    if (plain instanceof StoreError) throw cause;
    const condition =
      what === "ifAbsent"
        ? "only if there is none yet"
        : "only if it is still the one that was read";
    return {
      kind: "refused",
      what,
      explanation: `${this.#store.url} takes writes, but not with the condition "${condition}", although it held: ${cause.message}. Run one exporter only, or use a store that honours conditional writes.`,
      cause,
    };
  }
}

interface Written {
  readonly version: Version;
  readonly nonce: string;
}
