/** Settings to a status server: shared by the daemons. */

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
