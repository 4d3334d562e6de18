/** What one store knows of the locks it met: who holds each, since when that one has shown no life, and whether it can still come back. */

import { readdir, readFile, rename, rm, rmdir } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "../../core/clock.ts";
import { isDeadProcess, processIdentity } from "../../core/process-identity.ts";
import { isErrno } from "./errors.ts";
import type { ObjectFiles } from "./layout.ts";

/** How long a holder is watched to show nothing new, on one's own clock, before its turn is taken over. */
export const STALE_MS = 6_000;

export interface Holder {
  readonly token: string;
  /** For messages: `process 7 on web-1`; undefined where it does not say. */
  readonly who: string | undefined;
  /** It is dead for certain, or has shown nothing new for STALE_MS. */
  readonly isGone: boolean;
}

/**
 * Remembers between calls: one that gives up after a second learns as much, in the end, as one that
 * waits. A holder that says it is a process of this machine is asked for by its pid. Of others, on other
 * machines or in other containers, nothing tells but that their beat stands still.
 */
export class Locks {
  readonly #clock: Clock;
  readonly #watched = new Map<string, Watched>();
  #identity: Promise<string | undefined> | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Who holds the lock of the object; undefined: nobody does. Rejects with errors of `node:fs`. */
  async look({ lock }: ObjectFiles): Promise<Holder | undefined> {
    const found = await holderOf(lock);
    if (found === undefined) {
      this.#watched.delete(lock);
      return undefined;
    }
    const { token, beat } = found;
    const nowMs = this.#clock.monotonicMs();
    let watched = this.#watched.get(lock);
    if (watched?.token !== token || watched.beat !== beat) {
      watched = { token, beat, sinceMs: nowMs };
      this.#watched.set(lock, watched);
    }
    const { who, identity } = parseBeat(beat);
    const isGone =
      nowMs - watched.sinceMs >= STALE_MS ||
      (identity !== undefined && (await isDeadProcess(identity)));
    return { token, who, isGone };
  }

  /** As `look`, for those who only read the object: who is to write it later need not begin to watch then. Never rejects. */
  async glance(files: ObjectFiles): Promise<void> {
    try {
      await this.look(files);
    } catch {
      // Whoever writes finds out.
    }
  }

  /** Of this process; undefined where the system does not tell. */
  identity(): Promise<string | undefined> {
    this.#identity ??= processIdentity();
    return this.#identity;
  }
}

/** Takes the turn from the holder `token`, if that one still has it: whatever it does from then on has no effect. */
export async function evict(
  { hidden, lock }: Pick<ObjectFiles, "hidden" | "lock">,
  token: string,
): Promise<void> {
  const grave = join(hidden, `${token}.tmp`);
  try {
    await rename(join(lock, token), grave);
    await rm(grave, { recursive: true, force: true });
  } catch (error) {
    // It lived after all, and ended; or another waiter was faster.
    if (!isErrno(error, "ENOENT", "ENOTEMPTY", "EEXIST")) throw error;
  }
}

/** Two lines: a count and who beats, for people; and the process, as `processIdentity` names it. */
export function encodeBeat(count: number, who: string, identity: string | undefined): string {
  return `${count} ${who}\n${identity === undefined ? "" : `${identity}\n`}`;
}

/** The identity only where it was written to its end. */
function parseBeat(beat: string): {
  readonly who: string | undefined;
  readonly identity: string | undefined;
} {
  const [, who, identity] = /^\d+ ([^\n]+)\n(?:(\S+)\n)?/.exec(beat) ?? [];
  return { who, identity };
}

interface Watched {
  readonly token: string;
  /** Content of its file `beat`. */
  readonly beat: string;
  /** When this was first seen, by the monotonic clock. */
  readonly sinceMs: number;
}

async function holderOf(lock: string): Promise<Omit<Watched, "sinceMs"> | undefined> {
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

async function readBeat(workbench: string): Promise<string> {
  try {
    return await readFile(join(workbench, "beat"), "utf8");
  } catch (error) {
    // It died, or is just now ending, with its workbench half removed: still a holder, with nothing to
    // show. ENOTDIR: not one of ours at all, such as what NFS leaves of a file that was open.
    if (isErrno(error, "ENOENT", "ENOTDIR")) return "";
    throw error;
  }
}
