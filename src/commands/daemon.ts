/** What the daemons have in common: a status server, and an end by signal. */

import { ListenError } from "../core/listen-error.ts";
import { type BackoffPolicy, keepTrying } from "../core/trying.ts";
import { orAborted, Scope } from "../core/waiting.ts";
import { Interrupted } from "../runtime/shutdown.ts";
import { type StatusServerOptions, startStatusServer } from "../runtime/status-server.ts";
import type { CommandContext } from "./context.ts";

/** Between attempts to listen for probes and scrapes. */
const LISTEN_RETRY: BackoffPolicy = { minMs: 5_000, maxMs: 30_000 };

/**
 * Does nothing where it is switched off. Where the address cannot be listened on, the job goes on
 * without, and that is tried again: probes and scrapes tell of the job, they are not it.
 */
export async function openStatusServer(
  { settings, log, clock, random }: CommandContext,
  options: Omit<StatusServerOptions, "listen">,
): Promise<AsyncDisposable> {
  const listen = settings.statusListen;
  if (listen === undefined) return { [Symbol.asyncDispose]: async () => {} };
  const listening = new Scope();
  let server: AsyncDisposable | undefined;
  const open = async (): Promise<void> => {
    const opened = await startStatusServer({ listen, ...options });
    if (listening.isOver) return opened[Symbol.asyncDispose]();
    server = opened;
    log.info({ host: listen.host, port: opened.port }, "status server listens");
  };
  try {
    await open();
  } catch (err) {
    if (!(err instanceof ListenError)) throw err;
    log.error({ err }, "status server cannot listen, going on without it and trying again");
    const trying = { backoff: LISTEN_RETRY, clock, random, isWorthRetrying: () => true };
    void orAborted(listening.signal, keepTrying(trying, listening.signal, open));
  }
  return {
    async [Symbol.asyncDispose]() {
      listening.end();
      await server?.[Symbol.asyncDispose]();
    },
  };
}

/** Resolves when `stop` aborts or one of the tasks ends; rejects if one ends with anything else, which is a bug. */
export async function untilStopped(
  tasks: readonly Promise<unknown>[],
  stop: AbortSignal,
): Promise<void> {
  await orAborted(stop, Promise.race(tasks));
}

/** That of the signal which stopped it; 1 for any other end. */
export function exitStatusBy(stop: AbortSignal): number {
  return stop.reason instanceof Interrupted ? stop.reason.exitStatus : 1;
}
