/** From the first signal to the end of the process: stop, then a deadline, then force. */

import { Scope } from "../core/waiting.ts";

/** `signal.reason` of everything that ends because the process was told to. */
export class Interrupted extends Error {
  readonly signalName: "SIGTERM" | "SIGINT";

  constructor(signalName: "SIGTERM" | "SIGINT") {
    super(`stopped by ${signalName}`);
    this.name = "Interrupted";
    this.signalName = signalName;
  }

  /** 128 + the signal's number, as a shell reports it. */
  get exitStatus(): 130 | 143 {
    return this.signalName === "SIGINT" ? 130 : 143;
  }
}

export interface Shutdown extends Disposable {
  /** Aborts with Interrupted at the first SIGTERM or SIGINT: finish what is under way. */
  readonly stop: AbortSignal;
  /** Aborts `graceMs` later, or at the second signal: leave everything. */
  readonly deadline: AbortSignal;
}

/** SIGPIPE and SIGHUP keep Node's behaviour: a closed log pipe or terminal is no wish to stop gracefully. */
export function onShutdown(process: NodeJS.EventEmitter, graceMs: number): Shutdown {
  const stop = new Scope();
  const deadline = new Scope();
  let timer: NodeJS.Timeout | undefined;
  const onSignal = (name: "SIGTERM" | "SIGINT") => {
    const reason = new Interrupted(name);
    if (stop.isOver) {
      deadline.end(reason);
      return;
    }
    timer = setTimeout(() => deadline.end(reason), graceMs);
    stop.end(reason);
  };
  process.on("SIGTERM", onSignal);
  process.on("SIGINT", onSignal);
  return {
    stop: stop.signal,
    deadline: deadline.signal,
    [Symbol.dispose]() {
      clearTimeout(timer);
      process.off("SIGTERM", onSignal);
      process.off("SIGINT", onSignal);
    },
  };
}

/** How long a command may still say what it leaves undone and give up its leases: after the deadline, and after a second signal, milliseconds. */
const LAST_WORD_MS = { afterDeadline: 3_500, afterSecondSignal: 1_000 };

/**
 * Sees to it that a process ends though something in it hangs. `leave` is called with an exit status:
 * at once, with that of the signal, where nobody else heeds it; with 1 when the deadline, or a second
 * signal, has not ended the process; and at the third signal.
 */
export function insistOnShutdown(
  process: NodeJS.EventEmitter,
  graceMs: number,
  leave: (status: number, reason: Interrupted) => void,
): void {
  let count = 0;
  const onSignal = (name: "SIGTERM" | "SIGINT") => {
    const reason = new Interrupted(name);
    const isHeeded = process.listenerCount(name) > 1;
    count += 1;
    if (!isHeeded) leave(reason.exitStatus, reason);
    else if (count > 2) leave(1, reason);
    else {
      const { afterDeadline, afterSecondSignal } = LAST_WORD_MS;
      const ms = count === 1 ? graceMs + afterDeadline : afterSecondSignal;
      setTimeout(() => leave(1, reason), ms).unref();
    }
  };
  process.on("SIGTERM", onSignal);
  process.on("SIGINT", onSignal);
}
