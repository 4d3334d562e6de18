/** Reads the newest good snapshot of those that several stores hold: one that is dead, slow, damaged or stale changes nothing. */

import type { Clock } from "../core/clock.ts";
import { ServiceError } from "../core/errors.ts";
import { FailureNews } from "../core/failure-news.ts";
import type { Log } from "../core/log.ts";
import { Scope, until } from "../core/waiting.ts";
import type { KongVersion } from "../kong/version.ts";
import type { Version } from "../store/port.ts";
import { SnapshotError } from "./errors.ts";
import { isBetter } from "./order.ts";
import type { SnapshotReader } from "./reader.ts";
import {
  describeBare,
  type Found,
  type FoundSnapshot,
  type SnapshotMetadata,
  sha256,
} from "./snapshot.ts";

export interface ReplicaReaderOptions {
  /** One for each store, in the order of preference where they are equally new; not empty. */
  readonly readers: readonly SnapshotReader[];
  readonly kongVersion: KongVersion;
  readonly clock: Clock;
  readonly log: Log;
}

/** Once one has answered well, the others get this much longer, milliseconds. */
export const REPLICA_GRACE_MS = 2_000;
/** The same where nobody waits, for there was an answer before: enough to read a large config from a slow store. */
const REFRESH_GRACE_MS = 10_000;

type Answer =
  /** `found` is undefined where the same still lies there as at the last look. */
  | { readonly kind: "good"; readonly found: Found | undefined }
  | { readonly kind: "failed"; readonly error: ServiceError }
  | { readonly kind: "late" };

/** What the last look found in each store; undefined where nothing did. */
interface Look {
  readonly given: Version;
  readonly seen: readonly (Version | undefined)[];
}

/**
 * As StoreReader, of several stores; progress is not told. The wanted version comes before older ones,
 * then the newest counts by time alone, for each store has fencing tokens of its own. So the snapshot
 * has the token 0: it must not be compared with one of another store.
 */
export class ReplicaReader implements SnapshotReader {
  readonly #options: ReplicaReaderOptions;
  /** Of each store. */
  readonly #failures: readonly FailureNews[];
  #last: Look | undefined;

  constructor(options: ReplicaReaderOptions) {
    this.#options = options;
    this.#failures = options.readers.map(() => new FailureNews(options.clock));
  }

  /** All of them, for messages. */
  get name(): string {
    return this.#options.readers.map(({ name }) => name).join(", ");
  }

  /** Rejects, where no store gives one, with the error that says most; a retryable one if trying again may help. */
  async latest(signal: AbortSignal): Promise<FoundSnapshot> {
    this.#last = undefined;
    const found = await this.refresh(undefined, signal);
    if (found === undefined) throw new TypeError("unchanged, though nothing was seen before");
    return found.snapshot;
  }

  /** The newest of what changed since `seen` was given; undefined where nothing did. */
  async refresh(seen: Version | undefined, signal: AbortSignal): Promise<Found | undefined> {
    const before = seen !== undefined && seen === this.#last?.given ? this.#last.seen : [];
    const graceMs = seen === undefined ? REPLICA_GRACE_MS : REFRESH_GRACE_MS;
    const answers = await this.#ask(before, graceMs, signal);
    for (const [index, answer] of answers.entries()) this.#report(index, answer);
    const founds = answers.flatMap((answer) =>
      answer.kind === "good" && answer.found !== undefined ? [answer.found] : [],
    );
    const { kongVersion } = this.#options;
    const newest = bestOf(kongVersion, founds, ({ snapshot }) => described(snapshot));
    if (newest === undefined) {
      if (answers.some(({ kind }) => kind === "good")) return undefined;
      throw mostUseful(
        answers.flatMap((answer) => (answer.kind === "failed" ? [answer.error] : [])),
      );
    }
    this.#last = {
      given: newest.version,
      seen: answers.map((answer, index) =>
        answer.kind === "good" ? (answer.found?.version ?? before[index]) : before[index],
      ),
    };
    const { metadata } = newest.snapshot;
    if (metadata === undefined) return newest;
    return { ...newest, snapshot: { ...newest.snapshot, metadata: untied(metadata) } };
  }

  /** Of all that answer, each config once. */
  async *earlier(than: FoundSnapshot, signal: AbortSignal): AsyncIterable<FoundSnapshot> {
    const { readers, kongVersion } = this.#options;
    const given = new Set<string>();
    const walks = readers.map((reader) => reader.earlier(than, signal)[Symbol.asyncIterator]());
    const step = (walk: AsyncIterator<FoundSnapshot>, index: number) =>
      this.#step(walk, index, signal);
    const heads = await Promise.all(walks.map(step));
    for (;;) {
      let best: number | undefined;
      for (const [index, head] of heads.entries()) {
        const other = best === undefined ? undefined : heads[best];
        if (head === undefined) continue;
        if (other === undefined || isBetter(kongVersion, described(head), described(other))) {
          best = index;
        }
      }
      const [walk, found] = best === undefined ? [] : [walks[best], heads[best]];
      if (best === undefined || walk === undefined || found === undefined) return;
      heads[best] = await step(walk, best);
      const digest = sha256(found.config);
      if (!given.has(digest)) yield found;
      given.add(digest);
    }
  }

  /** Undefined at the end, and where the store does not answer. */
  async #step(
    walk: AsyncIterator<FoundSnapshot>,
    index: number,
    signal: AbortSignal,
  ): Promise<FoundSnapshot | undefined> {
    try {
      const { done, value } = await walk.next();
      return done === true ? undefined : value;
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof ServiceError)) throw error;
      this.#report(index, { kind: "failed", error });
      return undefined;
    }
  }

  /** All at once. Rejects with `signal.reason`, or for a bug. */
  async #ask(
    seen: readonly (Version | undefined)[],
    graceMs: number,
    signal: AbortSignal,
  ): Promise<readonly Answer[]> {
    const { readers, clock } = this.#options;
    using asked = new Scope(signal);
    const answers: Answer[] = readers.map(() => ({ kind: "late" }));
    await until<void>(signal, (resolve, reject) => {
      const all = readers.map(async (reader, index) => {
        const answer = await ask(reader, seen[index], asked.signal);
        answers[index] = answer;
        if (answer.kind !== "good") return;
        // The grace of the first ends first; the scope ends the others.
        clock.sleep(graceMs, asked.signal).then(resolve, () => {});
      });
      Promise.all(all).then(() => resolve(), reject);
      return undefined;
    });
    return answers;
  }

  #report(index: number, answer: Answer): void {
    const { readers, log } = this.#options;
    const name = readers[index]?.name ?? "";
    const failures = this.#failures[index];
    if (answer.kind === "good") {
      if (failures?.end()) log.info({ key: name }, "one of several stores answers again");
      return;
    }
    if (!failures?.isNews(answer.kind === "failed" ? answer.error.message : "")) return;
    if (answer.kind === "failed") {
      log.warn({ err: answer.error, key: name }, "one of several stores gives no snapshot");
    } else {
      log.warn({ key: name }, "one of several stores is slow, not waited for");
    }
  }
}

async function ask(
  reader: SnapshotReader,
  seen: Version | undefined,
  signal: AbortSignal,
): Promise<Answer> {
  try {
    return { kind: "good", found: await reader.refresh(seen, signal) };
  } catch (error) {
    if (signal.aborted) return { kind: "late" };
    if (!(error instanceof ServiceError)) throw error;
    return { kind: "failed", error };
  }
}

function described(snapshot: FoundSnapshot) {
  const { config, kongVersion, metadata } = snapshot;
  return untied(metadata ?? describeBare(config, kongVersion, undefined));
}

function untied<T extends { readonly fencingToken: number }>(metadata: T): T {
  return { ...metadata, fencingToken: 0 };
}

/**
 * Which of what several stores have counts, the first where they are equally new; undefined where there
 * is none. Fencing tokens tell nothing between stores.
 */
export function bestOf<T>(
  wanted: KongVersion,
  found: readonly T[],
  describe: (found: T) => SnapshotMetadata,
): T | undefined {
  const [first, ...others] = found;
  if (first === undefined) return undefined;
  return others.reduce((best, other) => {
    const [a, b] = [untied(describe(other)), untied(describe(best))];
    return isBetter(wanted, a, b) ? other : best;
  }, first);
}

/** Why several stores give nothing: one that may yet answer comes first, for it may hold what the others lack; that nothing is saved says least. `errors` is not empty. */
export function mostUseful(errors: readonly ServiceError[]): ServiceError {
  const isMissing = (error: ServiceError) =>
    error instanceof SnapshotError && error.code === "SNAPSHOT_MISSING";
  const best =
    errors.find(({ retryable }) => retryable) ??
    errors.find((error) => !isMissing(error)) ??
    errors[0];
  if (best === undefined) throw new TypeError("no store was asked");
  return best;
}
