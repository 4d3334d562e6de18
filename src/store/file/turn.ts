/** A writer's turn on one object of a directory: one at a time over processes and machines, and harmless once it is lost. */

import { randomUUID } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, rmdir, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import type { Clock } from "../../core/clock.ts";
import { Scope } from "../../core/waiting.ts";
import { StoreError } from "../port.ts";
import { isErrno } from "./errors.ts";
import type { ObjectFiles } from "./layout.ts";

/** How often a holder shows that it lives. */
const BEAT_MS = 1_000;

/** How long a waiter watches a holder show nothing new, on its own clock, before it takes the turn over. */
export const STALE_MS = 6_000;

/** How long a waiter waits for living holders altogether. */
const PATIENCE_MS = 30_000;

/** How often a waiter looks. */
const POLL_MS = 10;

/**
 * Node has no flock, and no lock would hold a paused writer back anyway: so the lock is a folder, and
 * writing means moving files out of it.
 *
 * A writer makes all its files in a workbench, a folder named by a token of its own:
 * `<token>.tmp/<token>/`. Its turn begins when `<token>.tmp` is renamed to `<name>.lock`, which
 * succeeds only while there is no such folder or an empty one (rename(2)). From then on it publishes
 * by renaming files out of `<name>.lock/<token>/`. Whoever takes the turn over moves that inner
 * folder away, by its token, in one rename: every later step of the old holder, however long it was
 * paused, fails for want of its source. So no clock, lease or check is needed for safety; time
 * decides only when a waiter may stop waiting.
 */
export class Turn implements AsyncDisposable {
  readonly #files: ObjectFiles;
  readonly #clock: Clock;
  readonly #token = randomUUID();
  /** The outer folder of the workbench until the turn begins. */
  readonly #made: string;
  readonly #ended = new Scope();
  #held = false;
  #beating: Promise<void> = Promise.resolve();

  constructor(files: ObjectFiles, clock: Clock) {
    this.#files = files;
    this.#clock = clock;
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
    let seen: Holder | undefined;
    let seenAt = began;
    while (!(await this.#take())) {
      const holder = await this.#holder();
      const now = this.#clock.monotonicMs();
      if (holder?.token !== seen?.token || holder?.beat !== seen?.beat) {
        seen = holder;
        seenAt = now;
      } else if (holder !== undefined && now - seenAt >= STALE_MS) {
        await this.#evict(holder.token);
      }
      if (now - began >= PATIENCE_MS) throw this.#busy(holder);
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

  /** Ends the turn, if it began, and removes the workbench. Never rejects: what it leaves, the next writer clears away. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended.end();
    await this.#beating;
    const { lock } = this.#files;
    try {
      await rm(this.#made, { recursive: true, force: true });
      if (!this.#held) return;
      await rm(join(lock, this.#token), { recursive: true, force: true });
      await rmdir(lock);
    } catch {
      // Taken by the next writer in between, or the disk is gone; a lock left behind grows stale.
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

  async #holder(): Promise<Holder | undefined> {
    const { lock } = this.#files;
    try {
      const [token] = await readdir(lock);
      if (token !== undefined) return { token, beat: await readBeat(join(lock, token)) };
      // Some network file systems do not rename onto an empty folder.
      await rmdir(lock);
    } catch (error) {
      if (!isErrno(error, "ENOENT", "ENOTEMPTY", "EEXIST")) throw error;
      // It ended, or began, while we looked.
    }
    return undefined;
  }

  async #evict(token: string): Promise<void> {
    const { hidden, lock } = this.#files;
    const grave = join(hidden, `${token}.tmp`);
    try {
      await rename(join(lock, token), grave);
      await rm(grave, { recursive: true, force: true });
    } catch (error) {
      // It lived after all, and ended; or another waiter was faster.
      if (!isErrno(error, "ENOENT", "ENOTEMPTY", "EEXIST")) throw error;
    }
  }

  #beat(count: number): Promise<void> {
    return writeFile(this.path("beat"), `${count} process ${process.pid} on ${hostname()}\n`, {
      mode: 0o600,
    });
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
    const by = holder?.beat.replace(/^\d+ /, "").trim() || "other writers";
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

async function readBeat(workbench: string): Promise<string> {
  try {
    return await readFile(join(workbench, "beat"), "utf8");
  } catch (error) {
    // It died, or is just now ending, with its workbench half removed: still a holder, with nothing to show.
    if (isErrno(error, "ENOENT")) return "";
    throw error;
  }
}

interface Holder {
  readonly token: string;
  /** Content of its file `beat`: a count, and who it is. */
  readonly beat: string;
}
