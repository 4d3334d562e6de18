/** Names a process so that others on its machine can tell at once that it is dead, however it died. */

import { readFile, readlink } from "node:fs/promises";
import { nodeCodeOf } from "./node-code.ts";

/**
 * This process: `<boot id>/<pid namespace>/<pid>/<start time>`, which no other process of any machine
 * shares. Undefined where the system does not tell (not Linux, no /proc): then nobody can tell either.
 * https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
 */
export async function processIdentity(): Promise<string | undefined> {
  const place = await placeOf();
  const state = await stateOf(process.pid);
  if (place === undefined || state === undefined) return undefined;
  return `${place}/${process.pid}/${state.startedAt}`;
}

/**
 * Whether the process called `identity` is dead for certain: it ran under this boot of this machine, in
 * our pid namespace, and is there no more, or another one has its pid. Never rejects.
 */
export async function isDeadProcess(identity: string): Promise<boolean> {
  const [, place, pid, startedAt] =
    /^([0-9a-f-]{36}\/\d+)\/([1-9]\d*)\/(\d+)$/.exec(identity) ?? [];
  if (place === undefined || place !== (await placeOf())) return false;
  if (!isThere(Number(pid))) return true;
  // Where /proc hides other users' processes it may well be alive.
  const state = await stateOf(Number(pid));
  return state !== undefined && (state.isOver || state.startedAt !== startedAt);
}

/** Boot and pid namespace: within them a pid and its start time name one process. */
async function placeOf(): Promise<string | undefined> {
  try {
    const boot = (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim();
    const namespace = /^pid:\[(\d+)\]$/.exec(await readlink("/proc/self/ns/pid"))?.[1];
    return namespace === undefined ? undefined : `${boot}/${namespace}`;
  } catch {
    return undefined;
  }
}

function isThere(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return nodeCodeOf(error) !== "ESRCH";
  }
}

interface ProcessState {
  /** In clock ticks since the boot. */
  readonly startedAt: string;
  /** It has ended, and its parent has not asked for its status yet. */
  readonly isOver: boolean;
}

/** Undefined where it cannot be read. */
async function stateOf(pid: number): Promise<ProcessState | undefined> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, "utf8");
    // The name, in parentheses, may hold blanks and parentheses of its own.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const [state, startedAt] = [fields[0], fields[19]];
    if (state === undefined || startedAt === undefined) return undefined;
    return { startedAt, isOver: state === "Z" || state === "X" };
  } catch {
    return undefined;
  }
}
