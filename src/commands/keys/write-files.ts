/** New files that are all there or none of them, and that never take the place of another. */

import { type FileHandle, mkdir, open, rm } from "node:fs/promises";
import { join } from "node:path";
import { describeCause, ServiceError } from "../../core/errors.ts";
import type { Secret } from "../../core/secret.ts";

export interface NewFile {
  readonly name: string;
  readonly text: Secret;
  readonly mode: 0o600 | 0o644;
}

/** `KEYS_NOT_WRITTEN`: the files of new keys could not be made: one of that name is there, or the directory is not ours to write. Nothing was left behind. */
export class KeyFilesError extends ServiceError {
  readonly code = "KEYS_NOT_WRITTEN";
  readonly exitStatus = 2;
}

/** Makes the directory, too, mode 0700. Gives the paths, in order. Rejects with KeyFilesError. */
export async function writeNewFiles(
  directory: string,
  files: readonly NewFile[],
): Promise<readonly string[]> {
  const made: string[] = [];
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    for (const { name, text, mode } of files) {
      const path = join(directory, name);
      await using file = await created(path, mode);
      made.push(path);
      await file.writeFile(text.reveal());
      await file.sync();
    }
    return made;
  } catch (cause) {
    for (const path of made) await rm(path, { force: true });
    const taken = files[made.length]?.name;
    const why = isTaken(cause) ? `${taken} is there already` : describeCause(cause);
    throw new KeyFilesError(`the keys could not be written to ${directory}: ${why}`, {
      retryable: false,
      hint: "Name a directory of yours in which there are no such keys yet: keys are never overwritten.",
      cause,
    });
  }
}

/** Fails where anything has that name, a dangling link too. */
function created(path: string, mode: number): Promise<FileHandle> {
  return open(path, "wx", mode);
}

/** Not where the directory is none, which has the same code. */
function isTaken(error: unknown): boolean {
  if (!(error instanceof Error && "code" in error && "syscall" in error)) return false;
  return error.code === "EEXIST" && error.syscall === "open";
}
