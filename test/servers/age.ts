/** Runs Debian's `age` and `age-keygen`, the public tool by which what we encrypt can be opened by hand. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { buffer, text } from "node:stream/consumers";
import { commandOf } from "./locate.ts";

/** What it writes on standard output for this standard input. Rejects with what it complains of. */
export async function runAge(
  command: "age" | "age-keygen",
  args: readonly string[],
  input: Uint8Array = new Uint8Array(),
): Promise<Buffer> {
  const child = spawn(commandOf(command), [...args], { stdio: ["pipe", "pipe", "pipe"] });
  // It may end before it has read all, as with a wrong key.
  child.stdin.on("error", () => undefined);
  child.stdin.end(input);
  const closed = once(child, "close");
  const [output, complaint] = await Promise.all([buffer(child.stdout), text(child.stderr)]);
  const [status] = await closed;
  if (status !== 0) throw new Error(`${command} ends with ${status}: ${complaint}`);
  return output;
}
