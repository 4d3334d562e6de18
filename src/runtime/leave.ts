/** Ends the process, even while a thread hangs in a system call. */

/** What Node does in threads: the file system, and the names of hosts. `process.exit` waits for it, if need be for ever. */
const IN_A_THREAD = /^(FSReq|FileHandle|GetAddrInfo|GetNameInfo)/;

/**
 * Does not return. Where a call to a dead file system or resolver is still open, the process is
 * replaced by one that only ends with `status`: Node can do that since 22.15. An older Node leaves
 * no way but to kill itself, and `status` is lost.
 */
export function leave(status: number): never {
  if (process.getActiveResourcesInfo().some((name) => IN_A_THREAD.test(name))) {
    const execve: unknown = Reflect.get(process, "execve");
    if (typeof execve === "function") {
      execve.call(process, process.execPath, [process.execPath, "-e", `process.exit(${status})`]);
    }
    process.kill(process.pid, "SIGKILL");
  }
  process.exit(status);
}
