/** Keeps a DB-less Kong configured: fills it when nobody else does, and never touches what somebody else filled in. */

import type { Clock } from "../../core/clock.ts";
import { ServiceError } from "../../core/errors.ts";
import type { Log } from "../../core/log.ts";
import { NewsLog } from "../../core/news-log.ts";
import { type AdminClient, AdminError, isEmptyHash } from "../../kong/admin-client.ts";
import { DblessLoader, type LoadableSnapshot } from "./loader.ts";

export interface DblessKeeperOptions {
  /** Not disposed of. */
  readonly client: AdminClient;
  /** The newest snapshot for the version of this Kong; undefined while there is none. */
  readonly newest: () => LoadableSnapshot | undefined;
  /** Those of the history that are older than the newest, the newest of them first. Rejects with a ServiceError. */
  readonly earlier: (signal: AbortSignal) => AsyncIterable<LoadableSnapshot>;
  /** Whether the control plane is known to live, so that nothing older than the newest may be loaded. */
  readonly isControlPlaneLive: (signal: AbortSignal) => Promise<boolean>;
  /** How long an empty Kong is left to others, milliseconds. */
  readonly graceMs: number;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  readonly log: Log;
}

/**
 * What was found at a look:
 *
 * - `unreachable`: nothing answers: Kong is starting, stopping or gone.
 * - `waiting`: it has no config, or does not say which, and whoever looks after it has time to fill it.
 * - `empty`: it has no config; there is no snapshot, or Kong has not taken it yet.
 * - `ours`: it has a config of ours, if not yet the newest.
 * - `foreign`: it has a config that somebody else loaded.
 * - `refused`: it does not take the newest snapshot; `hash` is that of an older one of ours, if it has one.
 *
 * `hash` is Kong's `configuration_hash`.
 */
export type DblessFinding =
  | { readonly kind: "unreachable" | "waiting" | "empty" }
  | { readonly kind: "ours" | "foreign"; readonly hash: string }
  | { readonly kind: "refused"; readonly hash: string | undefined };

/** `since`: when this was found first, and nothing else since then. */
export type DblessState = DblessFinding & { readonly since: Date };

/** Between two looks at `/status`. */
export const POLL_MS = 2_000;
/** Older ones that are tried where Kong refuses the newest. */
const MAX_EARLIER = 20;

/**
 * What a look saw. `silent`: no hash is told. Kong before 2.8, which never tells, or one whose worker is not done
 * starting. Kong/kong@3.9.1 kong/api/routes/health.lua; since 2.8 an empty Kong tells zeros (Kong/kong#8425).
 */
type Sight =
  | { readonly kind: "failed"; readonly error: AdminError }
  | { readonly kind: "silent" }
  | { readonly kind: "empty" }
  | Filled;

interface Filled {
  readonly kind: "filled";
  readonly hash: string;
}

/**
 * Goes by Kong's `configuration_hash`. Empty for `graceMs`: the newest snapshot is loaded. The hash
 * of a config of ours: a newer snapshot replaces it. Any other: somebody else's, left alone until
 * Kong is empty again. What Kong refuses is not sent again until there is a newer snapshot or Kong
 * was away; other failures are tried again with a growing delay. An empty Kong that refuses the newest
 * is given the newest of the history that it takes, unless the control plane is known to live.
 *
 * Three limits:
 * - Kong has no conditional POST. The hash is looked at again right before, but a config pushed in
 *   the moment between that look and our POST is overwritten; its owner's next push is left alone.
 * - A config without any entity has the empty hash, so one pushed on purpose is taken for none.
 *   Kong/kong@3.9.1 kong/db/declarative/import.lua:config_is_empty
 * - A config is known as ours while this program runs, or while it is the newest snapshot's. After
 *   a restart an older one counts as somebody else's, and so, always, does one that is not UTF-8,
 *   whose hash cannot be foreseen.
 */
export class DblessKeeper {
  readonly #options: DblessKeeperOptions;
  readonly #loader: DblessLoader;
  readonly #news: NewsLog;
  #state: DblessState;
  #emptySinceMs: number | undefined;
  #hasAnswered = false;
  /** Id of the newest one, where Kong has refused it and all that were older. */
  #exhaustedId: string | undefined;

  constructor(options: DblessKeeperOptions) {
    const { client, clock, random, log } = options;
    this.#options = options;
    this.#news = new NewsLog(log);
    this.#loader = new DblessLoader({ client, clock, random, log: this.#news });
    this.#state = { kind: "unreachable", since: clock.now() };
  }

  /** As of the last look. */
  get state(): DblessState {
    return this.#state;
  }

  /**
   * Ends only by rejecting: with `signal.reason`, or with AdminError where Kong has a database or
   * the first answer shows that URL, token or TLS are wrong. Once Kong has answered well, the latter
   * is only logged.
   */
  async run(signal: AbortSignal): Promise<never> {
    for (;;) {
      const wasSent = await this.#react(await this.#look(signal), signal);
      if (!wasSent) await this.#options.clock.sleep(POLL_MS, signal);
    }
  }

  async #look(signal: AbortSignal): Promise<Sight> {
    const sight = await look(this.#options.client, signal);
    if (sight.kind !== "failed") this.#hasAnswered = true;
    else if (!sight.error.retryable && !this.#hasAnswered) throw sight.error;
    return sight;
  }

  /** Whether a config was sent, so that it is worth looking again at once. */
  async #react(sight: Sight, signal: AbortSignal): Promise<boolean> {
    const { clock, graceMs } = this.#options;
    if (sight.kind !== "empty") this.#emptySinceMs = undefined;
    switch (sight.kind) {
      case "failed": {
        const { error: err } = sight;
        this.#restarted();
        this.#found({ kind: "unreachable" });
        if (err.retryable) this.#news.say("warn", { err }, "Kong does not answer, waiting for it");
        else this.#news.say("error", { err }, "Kong's Admin API refuses, an operator must act");
        return false;
      }
      case "silent":
        this.#found({ kind: "waiting" });
        this.#news.say("warn", {}, "Kong does not say which config it has, leaving it alone");
        return false;
      case "empty": {
        const now = clock.monotonicMs();
        // It had a config at the last look, so it was restarted since.
        if (this.#emptySinceMs === undefined) this.#restarted();
        this.#emptySinceMs ??= now;
        if (now - this.#emptySinceMs >= graceMs) return this.#fill(sight, signal);
        this.#found({ kind: "waiting" });
        this.#news.say("info", { graceMs }, "Kong is empty, leaving others time to fill it");
        return false;
      }
      case "filled":
        return this.#follow(sight, signal);
      default:
        return sight satisfies never;
    }
  }

  async #fill(sight: Sight, signal: AbortSignal): Promise<boolean> {
    const newest = this.#options.newest();
    if (newest !== undefined) return this.#load(newest, sight, undefined, signal);
    this.#found({ kind: "empty" });
    this.#news.say("warn", {}, "Kong is empty and there is no snapshot for it");
    return false;
  }

  async #follow(sight: Filled, signal: AbortSignal): Promise<boolean> {
    const { hash } = sight;
    const newest = this.#options.newest();
    const id = await this.#loader.recognise(hash, newest, signal);
    if (id === undefined) {
      this.#found({ kind: "foreign", hash });
      this.#news.say("info", { hash }, "Kong has somebody else's config, leaving it alone", hash);
      return false;
    }
    if (newest !== undefined && newest.id !== id) return this.#load(newest, sight, hash, signal);
    this.#loader.settle(hash, id);
    this.#found({ kind: "ours", hash });
    this.#news.say("info", { hash, snapshot: id }, "Kong has the newest snapshot", id);
    return false;
  }

  async #load(
    newest: LoadableSnapshot,
    sight: Sight,
    hash: string | undefined,
    signal: AbortSignal,
  ): Promise<boolean> {
    if (!this.#loader.hasRefused(newest.id)) {
      this.#found(hash === undefined ? { kind: "empty" } : { kind: "ours", hash });
    }
    const isStillSo = async (): Promise<boolean> => sawSame(sight, await this.#look(signal));
    const outcome = await this.#loader.load(newest, hash, isStillSo, signal);
    if (outcome !== "refused") return outcome === "sent";
    this.#found({ kind: "refused", hash });
    if (sight.kind !== "empty" || !this.#loader.hasRefusedConfig(newest.id)) return false;
    return this.#walkBack(newest, isStillSo, signal);
  }

  /** Kong has refused the newest, and is empty. Whether an older one was sent. */
  async #walkBack(
    newest: LoadableSnapshot,
    isStillSo: () => Promise<boolean>,
    signal: AbortSignal,
  ): Promise<boolean> {
    const { earlier, isControlPlaneLive } = this.#options;
    if (this.#exhaustedId === newest.id || !this.#loader.mayTry) return false;
    if (await isControlPlaneLive(signal)) {
      this.#loader.postpone();
      const message = "control plane lives, so Kong is given no older snapshot than it refuses";
      this.#news.say("error", { snapshot: newest.id }, message, newest.id);
      return false;
    }
    let tried = 0;
    try {
      for await (const snapshot of earlier(signal)) {
        const outcome = await this.#loader.load(snapshot, undefined, isStillSo, signal);
        if (outcome === "later") return false;
        if (outcome === "sent") {
          const fields = { refused: newest.id, snapshot: snapshot.id };
          const message = "Kong refuses the newest snapshot, it is given an older one";
          this.#news.say("error", fields, message, snapshot.id);
          return true;
        }
        tried += 1;
        if (tried === MAX_EARLIER) break;
      }
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof ServiceError)) throw error;
      this.#loader.postpone();
      const message = "could not read older snapshots for Kong, will try again";
      this.#news.say("warn", { err: error }, message, error.message);
      return false;
    }
    this.#exhaustedId = newest.id;
    if (tried === 0) return false;
    const message = "Kong refuses the newest snapshot and all older ones that were tried";
    this.#news.say("error", { tried }, message, newest.id);
    return false;
  }

  /** Kong was away: it may think differently of what it refused. */
  #restarted(): void {
    this.#loader.restarted();
    this.#exhaustedId = undefined;
  }

  #found(finding: DblessFinding): void {
    if (isSameFinding(this.#state, finding)) return;
    this.#state = { ...finding, since: this.#options.clock.now() };
  }
}

/** Rejects with AdminError where this Kong has a database, and with `signal.reason`. */
async function look(client: AdminClient, signal: AbortSignal): Promise<Sight> {
  let database: string | undefined;
  try {
    const hash = await client.configurationHash(signal);
    if (hash !== undefined) return isEmptyHash(hash) ? { kind: "empty" } : { kind: "filled", hash };
    ({ database } = await client.node(signal));
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof AdminError)) throw error;
    return { kind: "failed", error };
  }
  if (database === undefined || database === "off") return { kind: "silent" };
  throw new AdminError(
    "ADMIN_REFUSED",
    `Kong at ${client.url} is not DB-less, its database is ${database}`,
    {
      hint: "Only a Kong with database=off (KONG_DATABASE=off) takes a config over its Admin API. Check the URL.",
    },
  );
}

/** Whether two looks saw the same config, or both none. */
function sawSame(a: Sight, b: Sight): boolean {
  return a.kind === "filled" ? b.kind === "filled" && a.hash === b.hash : a.kind === b.kind;
}

/** Whether both say the same: kind and hash. */
function isSameFinding(a: DblessFinding, b: DblessFinding): boolean {
  return a.kind === b.kind && hashOf(a) === hashOf(b);
}

function hashOf(finding: DblessFinding): string | undefined {
  return "hash" in finding ? finding.hash : undefined;
}
