/** Files that hang whoever opens them, as those on a dead file system do. */

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

/**
 * For NODE_OPTIONS: opening a file whose path ends with `path` waits for ever, in a thread, as it does
 * on a dead file system. `fifo`: where there is one that nobody writes to. The process writes a line
 * of log, "hangs", just before.
 */
export function hangingAt(path: string, fifo: string): string {
  const hook = `
import fs from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
const { open } = fs;
fs.open = (path, ...more) => {
  if (!String(path).endsWith(${JSON.stringify(path)})) return open(path, ...more);
  process.stderr.write('{"msg":"hangs"}\\n');
  return open(${JSON.stringify(fifo)}, "r");
};
syncBuiltinESMExports();
`;
  return `--import data:text/javascript,${encodeURIComponent(hook)}`;
}
