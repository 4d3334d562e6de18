/** What a probe and a scraper ask for: `/livez`, `/readyz`, `/metrics`. */

import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { Registry } from "prom-client";
import type { HostPort } from "../core/host-port.ts";
import { ListenError } from "../core/listen-error.ts";

export interface StatusServerOptions {
  readonly listen: HostPort;
  readonly registry: Registry;
  /** Undefined: ready. Otherwise why not, one sentence. */
  readonly notReady: () => string | undefined;
}

export interface StatusServer extends AsyncDisposable {
  readonly port: number;
}

/** Rejects with ListenError. */
export async function startStatusServer(options: StatusServerOptions): Promise<StatusServer> {
  const server = createServer(async (request, response) => {
    const answer = (status: number, body: string, type = "text/plain; charset=utf-8") =>
      response.writeHead(status, { "content-type": type }).end(body);
    switch (request.url?.split("?")[0]) {
      case "/livez":
        return answer(200, "ok\n");
      case "/readyz": {
        const reason = options.notReady();
        return reason === undefined ? answer(200, "ready\n") : answer(503, `${reason}\n`);
      }
      case "/metrics":
        return answer(200, await options.registry.metrics(), options.registry.contentType);
      default:
        return answer(404, "there are /livez, /readyz and /metrics\n");
    }
  });
  const { host, port } = options.listen;
  await new Promise<void>((resolve, reject) => {
    const fail = (cause: Error) =>
      reject(new ListenError("probes and scrapes", options.listen, cause));
    server.once("error", fail).listen(port, host, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
