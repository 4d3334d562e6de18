/** From the first signal to the end of the process: stop, then a deadline, then force. */

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
  const stop = new AbortController();
  const deadline = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const onSignal = (name: "SIGTERM" | "SIGINT") => {
    const reason = new Interrupted(name);
    if (stop.signal.aborted) {
      deadline.abort(reason);
      return;
    }
    timer = setTimeout(() => deadline.abort(reason), graceMs);
    stop.abort(reason);
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
