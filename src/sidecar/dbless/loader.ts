/** Sends snapshots to a DB-less Kong: how often, how long, and what it thought of them. */

import type { Clock } from "../../core/clock.ts";
import { ServiceError } from "../../core/errors.ts";
import type { NewsLog } from "../../core/news-log.ts";
import { Backoff, type BackoffPolicy, retryAfterMsOf } from "../../core/trying.ts";
import { within } from "../../core/waiting.ts";
import {
  type AdminClient,
  AdminError,
  type ConfigBody,
  type ConfigLoad,
  prepareConfigLoad,
  refusesConfig,
} from "../../kong/admin-client.ts";

/** The newest snapshot for this Kong's version. */
export interface LoadableSnapshot {
  /** Differs where the config differs, e.g. its sha256. */
  readonly id: string;
  /** The exact bytes, verified. Rejects with a ServiceError where they cannot be had now. */
  config(signal: AbortSignal): Promise<Uint8Array>;
}

export interface DblessLoaderOptions {
  /** Not disposed of. */
  readonly client: AdminClient;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  readonly log: NewsLog;
}

/** For one POST. Kong loads 10 MB in about 4 s, and its own lock lasts 60 s. */
export const LOAD_TIMEOUT_MS = 60_000;
/** Between two attempts, until `/status` has shown the hash. */
const BACKOFF: BackoffPolicy = { minMs: 5_000, maxMs: 60_000 };
/** Longest `Retry-After` obeyed. */
const MAX_RETRY_AFTER_MS = 10 * 60_000;

/** Says in the log what goes wrong. Rejects with `signal.reason`, or with whatever is no ServiceError. */
export class DblessLoader {
  readonly #options: DblessLoaderOptions;
  /** Hashes of what was sent and not refused, with the id of the snapshot. */
  readonly #sent = new Map<string, string>();
  /** The last snapshot that was read, and the hash Kong would give it. */
  #foreseen: { readonly id: string; readonly hash: string | undefined } | undefined;
  #acceptedId: string | undefined;
  /** Ids of what Kong refused since it was last away, and whether the config was the matter. */
  readonly #refused = new Map<string, boolean>();
  /** Counts attempts since Kong last reported what it was sent. */
  readonly #attempts: Backoff;
  /** Monotonic time before which nothing is tried. */
  #retryAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: DblessLoaderOptions) {
    this.#options = options;
    this.#attempts = new Backoff(options.random);
  }

  /** The id of the snapshot that has this hash: one that was sent, or `newest`, sent by whomever; undefined: it is not ours. */
  async recognise(
    hash: string,
    newest: LoadableSnapshot | undefined,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    const isNews = newest !== undefined && newest.id !== this.#foreseen?.id;
    if (isNews && !this.#sent.has(hash) && this.mayTry) await this.#prepare(newest, signal);
    return this.#foreseen?.hash === hash ? this.#foreseen.id : this.#sent.get(hash);
  }

  /** Kong has this hash, of this snapshot, and that is all we want. */
  settle(hash: string, id: string): void {
    this.#sent.clear();
    this.#sent.set(hash, id);
    this.#acceptedId = undefined;
    this.#refused.clear();
    this.#attempts.succeeded();
    this.#retryAtMs = Number.NEGATIVE_INFINITY;
  }

  /** Kong was away: it may think differently of what it refused. Delays go on, for the config may be what it fell over. */
  restarted(): void {
    this.#acceptedId = undefined;
    this.#refused.clear();
  }

  /** Not too soon after a former attempt. */
  get mayTry(): boolean {
    return this.#options.clock.monotonicMs() >= this.#retryAtMs;
  }

  /** Nothing is tried for a while, as after an attempt that failed. */
  postpone(): void {
    this.#delay(0);
  }

  hasRefused(id: string): boolean {
    return this.#refused.has(id);
  }

  /** Whether it was refused for what it holds, so that another one may be taken. */
  hasRefusedConfig(id: string): boolean {
    return this.#refused.get(id) ?? false;
  }

  /**
   * `sent`: Kong has or had it; `/status` will tell. `refused`: it will not be sent again. `later`:
   * not now, a former attempt was too recent or this one failed. `isStillWanted` is asked right
   * before the POST, for reading the snapshot takes time. `held`: the hash Kong has.
   */
  async load(
    newest: LoadableSnapshot,
    held: string | undefined,
    isStillWanted: () => Promise<boolean>,
    signal: AbortSignal,
  ): Promise<"sent" | "refused" | "later"> {
    const { log } = this.#options;
    const snapshot = newest.id;
    if (this.hasRefused(snapshot)) return "refused";
    if (!this.mayTry) return "later";
    if (snapshot === this.#acceptedId) {
      log.say("warn", { snapshot }, "Kong took the snapshot but does not report it", snapshot);
    }
    const load = await this.#prepare(newest, signal);
    if (load === undefined) return "later";
    const { body, expectedHash } = load;
    // The same text under another id.
    if (expectedHash !== undefined && expectedHash === held) return "sent";
    if (!(await isStillWanted())) return "later";
    const refusal = await this.#post(body, signal);
    if (refusal !== undefined && !refusal.retryable) {
      this.#refused.set(snapshot, refusesConfig(refusal));
      log.say("error", { err: refusal, snapshot }, "Kong refuses the snapshot", snapshot);
      return "refused";
    }
    // Even now: a lost answer may have been a yes.
    if (expectedHash !== undefined) this.#sent.set(expectedHash, snapshot);
    if (refusal !== undefined) {
      this.#putOff(refusal, snapshot, "Kong did not take the snapshot, will try again");
      return "later";
    }
    this.#acceptedId = snapshot;
    this.#delay(0);
    if (expectedHash === undefined) {
      const message = "the snapshot is not valid UTF-8: Kong's config cannot be told to be ours";
      log.say("warn", { snapshot }, message, snapshot);
    }
    return "sent";
  }

  /** Why Kong did not take it; undefined if it did. */
  async #post(body: ConfigBody, signal: AbortSignal): Promise<AdminError | undefined> {
    const { client, clock } = this.#options;
    const late = (): AdminError => notLoaded(client.url, body.bytes.length);
    try {
      await within({ ms: LOAD_TIMEOUT_MS, clock, late }, signal, (inTime) =>
        client.loadConfig(body, inTime),
      );
      return undefined;
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof AdminError) return error;
      throw error;
    }
  }

  /** Undefined where the snapshot cannot be had now. */
  async #prepare(newest: LoadableSnapshot, signal: AbortSignal): Promise<ConfigLoad | undefined> {
    try {
      const load = prepareConfigLoad(await newest.config(signal));
      this.#foreseen = { id: newest.id, hash: load.expectedHash };
      return load;
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof ServiceError)) throw error;
      this.#putOff(error, newest.id, "could not read the snapshot for Kong, will try again");
      return undefined;
    }
  }

  #putOff(err: ServiceError, snapshot: string, message: string): void {
    const retryInMs = this.#delay(Math.min(retryAfterMsOf(err), MAX_RETRY_AFTER_MS));
    this.#options.log.say("warn", { err, snapshot, retryInMs }, message, err.message);
  }

  #delay(atLeastMs: number): number {
    const delayMs = this.#attempts.failed(BACKOFF, atLeastMs);
    this.#retryAtMs = this.#options.clock.monotonicMs() + delayMs;
    return delayMs;
  }
}

function notLoaded(url: string, bytes: number): AdminError {
  return new AdminError(
    "ADMIN_UNAVAILABLE",
    `POST ${url}/config did not finish loading ${bytes} bytes within ${LOAD_TIMEOUT_MS / 1000} s`,
    { hint: "Look into Kong's error log, and whether Kong is short of memory." },
  );
}
