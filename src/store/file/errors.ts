/** What the operating system's errors mean for a directory used as a store, in words for its operator. */

import type { StoreErrorCode } from "../port.ts";
import { StoreError } from "../port.ts";

interface Meaning {
  readonly code: StoreErrorCode;
  readonly why: string;
  readonly hint?: string;
}

const FULL = "Free space or raise the quota; nothing was overwritten.";
const DENIED = `Give user ${process.getuid?.() ?? "of this process"} read and write access to the directory and all below it.`;

/** By `error.code`, as errno(3) names them; whatever is missing here is a fault of the device or the network. */
const MEANINGS: Readonly<Record<string, Meaning>> = {
  ENOSPC: { code: "STORE_FULL", why: "no space is left on its file system", hint: FULL },
  EDQUOT: { code: "STORE_FULL", why: "the disk quota is used up", hint: FULL },
  EFBIG: {
    code: "STORE_FULL",
    why: "the file would be larger than the file system or the process limit (ulimit -f) allows",
    hint: "Raise the limit; nothing was overwritten.",
  },
  EACCES: { code: "STORE_DENIED", why: "permission denied", hint: DENIED },
  EPERM: { code: "STORE_DENIED", why: "the operation is not permitted", hint: DENIED },
  EROFS: {
    code: "STORE_DENIED",
    why: "its file system is read-only",
    hint: "Mount it writable where something is exported; an importer can work with a read-only mount.",
  },
  ENOTDIR: {
    code: "STORE_MISCONFIGURED",
    why: "a file stands where a directory is needed",
    hint: "Name a directory in the storage URL, or move the file out of the way.",
  },
  EISDIR: {
    code: "STORE_MISCONFIGURED",
    why: "a directory stands where the object's file is to be",
    hint: "Move the directory out of the way, or use another prefix.",
  },
  EBUSY: {
    code: "STORE_MISCONFIGURED",
    why: "the file is a mount point and cannot be replaced",
    hint: "Mount the directory, not the single file.",
  },
  ELOOP: {
    code: "STORE_MISCONFIGURED",
    why: "its symbolic links lead in a circle",
    hint: "Mend the links.",
  },
  ENAMETOOLONG: {
    code: "STORE_BAD_KEY",
    why: "a name in it is too long for the file system",
    hint: "Segments of a key may have 255 bytes, the last one 185.",
  },
  ENOENT: {
    code: "STORE_UNAVAILABLE",
    why: "a folder or file vanished meanwhile",
    hint: "Find out what removes files below the directory, or whether its volume was unmounted.",
  },
};

const UNKNOWN: Meaning = {
  code: "STORE_UNAVAILABLE",
  why: "the file system failed",
  hint: "Look at the kernel's log, and at the server of a network file system.",
};

/**
 * The StoreError for an error of `node:fs`. Anything else - a StoreError, a signal's reason, a bug -
 * comes back as it is. `attempt` says what was tried on what: `get "3.9.1/config.json" in /backup`.
 */
export function fileError(attempt: string, error: unknown): unknown {
  if (!isSystemError(error)) return error;
  const { code, why, hint } = MEANINGS[error.code] ?? UNKNOWN;
  const where = typeof error.path === "string" ? ` of ${error.path}` : "";
  return new StoreError(
    code,
    `could not ${attempt}: ${why} (${error.code} at ${error.syscall}${where})`,
    { cause: error, ...(hint === undefined ? {} : { hint }) },
  );
}

/** Whether `error` is one of `node:fs` with one of these codes. */
export function isErrno(error: unknown, ...codes: readonly string[]): boolean {
  return isSystemError(error) && codes.includes(error.code);
}

interface SystemError extends Error {
  readonly code: string;
  readonly syscall: string;
  readonly path?: unknown;
}

function isSystemError(error: unknown): error is SystemError {
  return (
    error instanceof Error &&
    "code" in error &&
    typeof error.code === "string" &&
    "syscall" in error &&
    typeof error.syscall === "string"
  );
}
