/** What the daemons have in common: a status server, and an end by signal. */

import { orAborted } from "../core/waiting.ts";
import { Interrupted } from "../runtime/shutdown.ts";
import { type StatusServerOptions, startStatusServer } from "../runtime/status-server.ts";
import type { CommandContext } from "./context.ts";

/** Does nothing where it is switched off. Rejects with ListenError. */
export async function openStatusServer(
  { settings, log }: CommandContext,
  options: Omit<StatusServerOptions, "listen">,
): Promise<AsyncDisposable> {
  const listen = settings.statusListen;
  if (listen === undefined) return { [Symbol.asyncDispose]: async () => {} };
  const server = await startStatusServer({ listen, ...options });
  log.info({ host: listen.host, port: server.port }, "status server listens");
  return server;
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
