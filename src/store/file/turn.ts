/** A writer's turn on one object of a directory: one at a time over processes and machines, and harmless once it is lost. */

import { randomUUID } from "node:crypto";
import { mkdir, rename, rmdir, unlink, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import type { Clock } from "../../core/clock.ts";
import { Scope } from "../../core/waiting.ts";
import { StoreError } from "../port.ts";
import { isErrno } from "./errors.ts";
import type { ObjectFiles } from "./layout.ts";
import { encodeBeat, evict, type Holder, type Locks, STALE_MS } from "./locks.ts";

/** How often a holder shows that it lives. */
const BEAT_MS = 1_000;

/** How long a waiter waits for living holders altogether. */
const PATIENCE_MS = 30_000;

/** How often a waiter looks. */
const POLL_MS = 10;

/** What a workbench may hold. */
const BENCH_FILES = ["beat", "body", "companion", "withdrawn"];

/**
 * Node has no flock, and no lock would hold a paused writer back anyway: so the lock is a folder, and
 * writing means moving files out of it.
 *
 * A writer makes all its files in a workbench, a folder named by a token of its own:
 * `<token>.tmp/<token>/`. Its turn begins when `<token>.tmp` is renamed to `<name>.lock`, which
 * succeeds only while there is no such folder or an empty one (rename(2)). From then on it publishes
 * by renaming files out of `<name>.lock/<token>/`. Whoever takes the turn over moves that inner
 * folder away, by its token, in one rename: every later step of the old holder, however long it was
 * paused, fails for want of its source. So no clock, lease or check is needed for safety; time, and
 * what is known of the holder's process, decide only when a waiter may stop waiting (locks.ts).
 */
export class Turn implements AsyncDisposable {
  readonly #files: ObjectFiles;
  readonly #clock: Clock;
  readonly #locks: Locks;
  readonly #token = randomUUID();
  /** The outer folder of the workbench until the turn begins. */
  readonly #made: string;
  readonly #ended = new Scope();
  #held = false;
  #beating: Promise<void> = Promise.resolve();

  constructor(files: ObjectFiles, clock: Clock, locks: Locks) {
    this.#files = files;
    this.#clock = clock;
    this.#locks = locks;
    this.#made = join(files.hidden, `${this.#token}.tmp`);
  }

  /** Makes the workbench. The hidden folder exists. */
  async prepare(): Promise<void> {
    await mkdir(this.#made, { mode: 0o700 });
    await mkdir(this.path(""), { mode: 0o700 });
    await this.#beat(0);
  }

  /** A file on the workbench. Ask anew after `begin`, which moves it. */
  path(file: string): string {
    return join(this.#held ? this.#files.lock : this.#made, this.#token, file);
  }

  /** Resolves when the turn is ours. STORE_UNAVAILABLE if others kept it too long. */
  async begin(signal: AbortSignal): Promise<void> {
    const began = this.#clock.monotonicMs();
    while (!(await this.#take())) {
      const holder = await this.#locks.look(this.#files);
      if (holder?.isGone === true) await evict(this.#files, holder.token);
      if (this.#clock.monotonicMs() - began >= PATIENCE_MS) throw this.#busy(holder);
      await this.#clock.sleep(POLL_MS, signal);
    }
    this.#held = true;
    this.#beating = this.#keepBeating();
  }

  /** Renames a file of the workbench to `target`. STORE_UNAVAILABLE, and nothing happened, if the turn was lost. */
  async publish(file: string, target: string): Promise<void> {
    try {
      await rename(this.path(file), target);
    } catch (error) {
      throw isErrno(error, "ENOENT") ? this.#lost() : error;
    }
  }

  /** Takes `target` away, to vanish with the workbench. STORE_UNAVAILABLE, and nothing happened, if the turn was lost. */
  async withdraw(target: string): Promise<void> {
    try {
      await rename(target, this.path("withdrawn"));
    } catch (error) {
      throw isErrno(error, "ENOENT") ? this.#lost() : error;
    }
  }

  /**
   * Ends the turn, if it began, and removes the workbench. Never rejects: what it leaves, the next writer
   * clears away. The lock is let go first and in one step, and no step opens a file: a process that has
   * none left to open must not keep others waiting.
   */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended.end();
    await this.#beating;
    const outer = this.#held ? this.#files.lock : this.#made;
    let bench = this.path("");
    try {
      if (this.#held) {
        await rename(bench, this.#made);
        bench = this.#made;
        await rmdir(outer);
      }
    } catch {
      // Lost, or taken by the next writer in between, or the disk fails.
    }
    try {
      for (const file of BENCH_FILES) await removeIfThere(join(bench, file));
      await rmdir(bench);
      await rmdir(outer);
    } catch {
      // It is gone already, or the disk is.
    }
  }

  async #take(): Promise<boolean> {
    try {
      await rename(this.#made, this.#files.lock);
      return true;
    } catch (error) {
      if (isErrno(error, "ENOTEMPTY", "EEXIST")) return false;
      throw error;
    }
  }

  async #beat(count: number): Promise<void> {
    const who = `process ${process.pid} on ${hostname()}`;
    const beat = encodeBeat(count, who, await this.#locks.identity());
    await writeFile(this.path("beat"), beat, { mode: 0o600 });
  }

  async #keepBeating(): Promise<void> {
    const { signal } = this.#ended;
    try {
      for (let count = 1; ; count += 1) {
        await this.#clock.sleep(BEAT_MS, signal);
        await this.#beat(count);
      }
    } catch {
      // The turn ended, or was lost, or the disk failed: the next rename finds out.
    }
  }

  #busy(holder: Holder | undefined): StoreError {
    const by = holder?.who ?? "other writers";
    return new StoreError(
      "STORE_UNAVAILABLE",
      `could not write ${this.#files.body}: its lock was held by ${by} for more than ${PATIENCE_MS / 1000} s`,
      { hint: `Check whether that process hangs; its lock is ${this.#files.lock}.` },
    );
  }

  #lost(): StoreError {
    return new StoreError(
      "STORE_UNAVAILABLE",
      `could not finish writing ${this.#files.body}: this writer stood still for more than ${STALE_MS / 1000} s and another one took over, or somebody removed files in ${this.#files.hidden}. The file was not replaced`,
      {
        hint: "It may be tried again. If it comes back, the disk or the network behind it is too slow.",
      },
    );
  }
}

async function removeIfThere(path: string): Promise<void> {
  try {
    await unlink(path);
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error;
  }
}
