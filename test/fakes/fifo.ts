/** A file that hangs whoever opens it, as one on a dead file system does. */

import { execFileSync } from "node:child_process";
import { constants } from "node:fs";
import { open } from "node:fs/promises";

/** A FIFO at `path` that nobody writes to. Disposed of, it lets go of those who hang. */
export async function makeFifo(path: string): Promise<AsyncDisposable> {
  execFileSync("mkfifo", [path]);
  return {
    async [Symbol.asyncDispose]() {
      await using _ = await open(path, constants.O_RDWR | constants.O_NONBLOCK);
    },
  };
}
