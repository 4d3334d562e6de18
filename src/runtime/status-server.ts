/** What a probe, a scraper and a curious operator ask for: `/livez`, `/readyz`, `/metrics`, `/status.json`. */

import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Registry } from "prom-client";
import type { HostPort } from "../core/host-port.ts";
import { ListenError } from "../core/listen-error.ts";

export interface StatusServerOptions {
  readonly listen: HostPort;
  readonly registry: Registry;
  /** Undefined: ready. Otherwise why not, one sentence. */
  readonly notReady: () => string | undefined;
  /** What else `/readyz` says, ready or not, a sentence a line. */
  readonly details?: () => readonly string[];
  /** What `/status.json` tells; absent: there is none. Holds no secret. */
  readonly report?: () => object;
}

export interface StatusServer extends AsyncDisposable {
  readonly port: number;
}

/** Rejects with ListenError. */
export async function startStatusServer(options: StatusServerOptions): Promise<StatusServer> {
  const server = createServer((request, response) => {
    respond(options, request, response).catch(() => {
      // What cannot be told must not end the process it tells of. The error may quote anything.
      send(response, 500, "unexpected error, please report it\n");
    });
  });
  const { host, port } = options.listen;
  await new Promise<void>((resolve, reject) => {
    const fail = (cause: Error) =>
      reject(new ListenError("probes and scrapes", options.listen, cause));
    server.once("error", fail).listen(port, host, () => {
      // A connection that could not be taken, for want of descriptors say, must not end it either.
      server.off("error", fail).on("error", () => {});
      resolve();
    });
  });
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function respond(
  { registry, notReady, details, report }: StatusServerOptions,
  { url }: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  switch (url?.split("?")[0]) {
    case "/livez":
      return send(response, 200, "ok\n");
    case "/readyz": {
      const reason = notReady();
      const lines = [reason ?? "ready", ...(details?.() ?? [])];
      return send(response, reason === undefined ? 200 : 503, `${lines.join("\n")}\n`);
    }
    case "/metrics":
      return send(response, 200, await registry.metrics(), registry.contentType);
    case "/status.json":
      if (report === undefined) break;
      return send(response, 200, `${JSON.stringify(report(), null, 2)}\n`, "application/json");
    default:
      break;
  }
  const paths = ["/livez", "/readyz", "/metrics", ...(report ? ["/status.json"] : [])];
  send(response, 404, `there are ${paths.join(", ")}\n`);
}

function send(
  response: ServerResponse,
  status: number,
  body: string,
  type = "text/plain; charset=utf-8",
): void {
  response.writeHead(status, { "content-type": type }).end(body);
}
