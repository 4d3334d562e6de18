/** Target `file:/path`: the config as a file for Kong's `declarative_config`, replaced in one step. */

import { randomUUID } from "node:crypto";
import {
  type FileHandle,
  lstat,
  open,
  readdir,
  readFile,
  rename,
  stat,
  unlink,
} from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { Clock } from "../../core/clock.ts";
import { syncAsFarAsPossible, syncFolder } from "../../core/durable.ts";
import { describeCause } from "../../core/errors.ts";
import type { Log } from "../../core/log.ts";
import { within } from "../../core/waiting.ts";
import type { Snapshot } from "../../snapshots/snapshot.ts";
import { type Target, TargetError } from "./port.ts";

export interface FileTargetOptions {
  /** Absolute. */
  readonly path: string;
  /** Set as given, whatever the umask. */
  readonly mode: number;
  /** For the file system to take the file, milliseconds. */
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly log: Log;
}

/** Only a run that was killed leaves its temporary file this long. */
const ORPHAN_AGE_MS = 60 * 60 * 1000;
/** Of the name, for files beside it: most file systems take 255, and a random part and an ending come to it. */
const MAX_NAME_BYTES = 200;

/**
 * Writes beside `path` and renames: a reader sees the old file or the new one, and at no moment one
 * that others than its final readers can open. On failure the old file stays as it was and the
 * temporary one is removed. A symbolic link is replaced, not followed. Where the file system has no modes
 * or does not sync, the config is handed over all the same.
 */
export class FileTarget implements Target {
  readonly name: string;
  readonly #path: string;
  readonly #mode: number;
  readonly #options: FileTargetOptions;

  constructor(options: FileTargetOptions) {
    this.name = `file:${options.path}`;
    this.#path = options.path;
    this.#mode = options.mode;
    this.#options = options;
  }

  apply({ config }: Snapshot, signal: AbortSignal): Promise<"applied" | "unchanged"> {
    const what = "write the config to";
    return this.#inTime(what, signal, async (both) => {
      try {
        if (await this.#holds(config, both)) return "unchanged";
        await this.#replace(config, both);
        return "applied";
      } catch (error) {
        both.throwIfAborted();
        throw this.#explain(what, error, config.length);
      }
    });
  }

  /** Renames the file to `<path>.superseded`, over one that lies there; a long name is cut. */
  withdraw(signal: AbortSignal): Promise<boolean> {
    return this.#inTime("withdraw", signal, async (both) => {
      try {
        if ((await lstat(this.#path)).isDirectory()) throw errno("EISDIR", "it is a directory");
        both.throwIfAborted();
        const aside = `${beside(this.#path)}.superseded`;
        await rename(this.#path, join(dirname(this.#path), aside));
        return true;
      } catch (error) {
        if (codeOf(error) === "ENOENT") return false;
        throw this.#explain("withdraw", error, 0);
      }
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Nothing is held between calls.
  }

  /** Same bytes and same mode. A wrong mode is cured by writing anew. */
  async #holds(config: Uint8Array, signal: AbortSignal): Promise<boolean> {
    try {
      const info = await lstat(this.#path);
      if (info.isDirectory()) throw errno("EISDIR", "it is a directory");
      if (!info.isFile() || info.size !== config.length || (info.mode & 0o7777) !== this.#mode) {
        return false;
      }
      return (await readFile(this.#path, { signal })).equals(config);
    } catch (error) {
      // What cannot be read may still be replaced.
      if (codeOf(error) === "ENOENT" || codeOf(error) === "EACCES") return false;
      throw error;
    }
  }

  async #replace(config: Uint8Array, signal: AbortSignal): Promise<void> {
    const directory = dirname(this.#path);
    const temporary = join(directory, `${this.#temporaryPrefix}${randomUUID()}.tmp`);
    // Exclusive, and closed to everybody else until the bytes are complete.
    const file = await open(temporary, "wx", 0o600);
    try {
      await this.#removeOrphans(directory, file);
      await this.#write(file, config, signal);
      signal.throwIfAborted();
      await rename(temporary, this.#path);
    } catch (error) {
      await unlink(temporary).catch(() => {
        // The first error says what is wrong; this one would hide it.
      });
      throw error;
    }
    await syncFolder(directory).catch(() => {
      // The new file is in place either way; only a power cut could still take it back.
    });
  }

  /** Closes the file in any case. */
  async #write(file: FileHandle, config: Uint8Array, signal: AbortSignal): Promise<void> {
    try {
      await file.writeFile(config, { signal });
      await file.chmod(this.#mode).catch((error: unknown) => this.#warnOfMode(error));
      await syncAsFarAsPossible(file);
    } finally {
      await file.close();
    }
  }

  /** E.g. on Azure Files, where modes are options of the mount. */
  #warnOfMode(error: unknown): void {
    this.#options.log.warn(
      {
        target: this.name,
        mode: this.#mode.toString(8),
        reason: describeCause(error),
        hint: "Kong's user must be able to read it: see the options of the mount, or let the importer run as that user.",
      },
      "file's mode could not be set, handing the config over all the same",
    );
  }

  /** Temporary files of runs that were killed: they hold secrets and space. Ages by the file system's clock, not ours. */
  async #removeOrphans(directory: string, fresh: FileHandle): Promise<void> {
    const { mtimeMs: now } = await fresh.stat();
    // A directory may be one to write into, but not to read.
    const names = await readdir(directory).catch(() => []);
    for (const name of names) {
      if (!name.startsWith(this.#temporaryPrefix) || !name.endsWith(".tmp")) continue;
      const path = join(directory, name);
      try {
        if (now - (await stat(path)).mtimeMs > ORPHAN_AGE_MS) await unlink(path);
      } catch {
        // Gone already, or not ours to remove: the write does not depend on it.
      }
    }
  }

  #inTime<T>(
    what: string,
    signal: AbortSignal,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const { timeoutMs: ms, clock } = this.#options;
    const late = () =>
      new TargetError(
        "TARGET_UNAVAILABLE",
        `could not ${what} ${this.#path}: the file system did not answer within ${ms / 1000} s`,
        {
          hint: `See whether the disk or server behind ${dirname(this.#path)} hangs; if it is only slow, raise KONG_FALLBACK_APPLY_TIMEOUT.`,
        },
      );
    return within({ ms, clock, late }, signal, work);
  }

  get #temporaryPrefix(): string {
    return `.${beside(this.#path)}.`;
  }

  #explain(what: string, error: unknown, bytes: number): unknown {
    const code = codeOf(error);
    if (code === undefined) return error;
    const isFull = code === "ENOSPC" || code === "EDQUOT";
    const size = isFull ? ` (${bytes} bytes)` : "";
    return new TargetError(
      isFull ? "TARGET_FULL" : "TARGET_UNWRITABLE",
      `could not ${what} ${this.#path}${size}: ${describeCause(error)}`,
      { cause: error, hint: hintFor(code, this.#path) },
    );
  }
}

/** The file's name, cut so that something can be added to it. */
function beside(path: string): string {
  const characters = [...basename(path)];
  while (Buffer.byteLength(characters.join("")) > MAX_NAME_BYTES) characters.pop();
  return characters.join("");
}

function hintFor(code: string, path: string): string {
  const directory = dirname(path);
  switch (code) {
    case "ENOSPC":
    case "EDQUOT":
      return `Free space on the file system of ${directory}, or raise its size limit (an emptyDir's sizeLimit, a quota). Old and new file need room at the same time.`;
    case "EISDIR":
      return "Name a file inside the directory, e.g. kong.json.";
    case "ENOENT":
    case "ENOTDIR":
      return `Create the directory ${directory}, or mount the shared volume there.`;
    case "EBUSY":
      return `Mount the directory ${directory}, not the single file: a mount point cannot be replaced.`;
    case "EROFS":
      return `Mount ${directory} writable for the importer.`;
    case "EACCES":
    case "EPERM":
      return `Let the importer's user write to the directory ${directory} (in Kubernetes: fsGroup).`;
    default:
      return `Check the file system of ${directory}.`;
  }
}

function errno(code: string, message: string): Error {
  return Object.assign(new Error(message), { code });
}

function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("code" in error)) return undefined;
  return typeof error.code === "string" && /^E[A-Z0-9]+$/.test(error.code) ? error.code : undefined;
}
