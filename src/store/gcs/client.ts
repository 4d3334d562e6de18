/** One request to Cloud Storage's JSON API: credentials and transport. */

import { Readable } from "node:stream";
import type { Dispatcher } from "undici";
import { Agent, buildConnector, request as httpRequest } from "undici";
import type { Secret } from "../../core/secret.ts";
import { DIRECT, type Egress } from "../../network/egress.ts";
import { Outbound } from "../../network/outbound.ts";
import { StoreError } from "../port.ts";
import type { Call } from "../remote.ts";
import { outgoing } from "../remote.ts";
import type { Authorize } from "./credentials.ts";
import { googleCredentials } from "./credentials.ts";
import { noToken } from "./verdicts.ts";

export interface GcsClientOptions {
  /** JSON text of a service-account key. Absent: Application Default Credentials. */
  readonly credentials?: Secret<string> | undefined;
  /** An emulator's address, e.g. `http://127.0.0.1:4443`: no credentials are looked for or sent. Absent: Google's. */
  readonly apiEndpoint?: string | undefined;
  /** Absent: no proxy. */
  readonly egress?: Egress | undefined;
  /** Longest time for which nothing moves: no access token comes, no piece of a body goes out or comes in. Milliseconds. */
  readonly timeoutMs: number;
  readonly userAgent?: string | undefined;
}

export interface GcsRequest {
  readonly method: "GET" | "POST" | "DELETE";
  /** Below the endpoint, escaped. */
  readonly path: string;
  readonly params?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  /** `headers` then has its Content-Length. */
  readonly body?: Buffer;
}

export interface GcsAnswer {
  readonly status: number;
  /** Raw: no content encoding is undone. */
  readonly body: AsyncIterable<Buffer>;
}

/**
 * Of the SDK, only credentials and CRC32C are used. Its `File` and `Bucket` take no AbortSignal; its
 * transport (node-fetch 2) does not notice a connection that breaks within a body, and waits for the
 * rest for ever; and its answer to a checksum that differs after an upload is to delete the object,
 * whatever that is by then (`File#validateIntegrity` of @google-cloud/storage 7.22.0).
 *
 * Nothing is retried, no redirect is followed.
 */
export class GcsClient {
  /** Scheme, host and port. */
  readonly endpoint: string;
  readonly #userAgent: string;
  readonly #authorize: Authorize;
  readonly #dispatcher: Dispatcher;

  /** Throws STORE_DENIED for unusable `credentials`, STORE_MISCONFIGURED for an `apiEndpoint` that is no URL. */
  constructor(options: GcsClientOptions) {
    const { apiEndpoint, credentials, egress = DIRECT, timeoutMs, userAgent } = options;
    const outbound = new Outbound(egress, timeoutMs);
    this.endpoint =
      apiEndpoint === undefined ? "https://storage.googleapis.com" : parseEndpoint(apiEndpoint);
    this.#userAgent = userAgent ?? "kong-fallback";
    this.#authorize =
      apiEndpoint === undefined
        ? googleCredentials(credentials, outbound, timeoutMs)
        : async () => ({});
    this.#dispatcher = openDispatcher(outbound);
  }

  /**
   * Sends `request` and gives its answer, whatever the status, to `use`; `use` reads the body.
   * Rejects as `use` does, and with undici's errors. An abort closes the connection; an upload whose
   * last byte was sent by then may still take effect. A token request is not stopped: it ends by itself
   * within `timeoutMs` and its token serves the next call.
   */
  async exchange<T>(
    { method, path, params, headers, body }: GcsRequest,
    call: Call,
    use: (answer: GcsAnswer) => Promise<T>,
  ): Promise<T> {
    const { attempt, signal, moved } = call;
    moved("access token");
    const authorization = await this.#authorize().catch((error: unknown) => {
      throw noToken(error, attempt);
    });
    signal.throwIfAborted();
    moved("answer");
    const url = new URL(`${this.endpoint}${path}`);
    url.search = new URLSearchParams(params).toString();
    const answer = await httpRequest(url, {
      method,
      headers: { "User-Agent": this.#userAgent, ...headers, ...authorization },
      body: body === undefined ? null : Readable.from(outgoing(body, call), { objectMode: false }),
      signal,
      dispatcher: this.#dispatcher,
    });
    moved("rest of the answer");
    try {
      return await use({ status: answer.statusCode, body: answer.body });
    } finally {
      // Closes the connection of an answer that was not read to its end, which nobody needs to hear of.
      answer.body.on("error", () => {}).destroy();
    }
  }

  async close(): Promise<void> {
    await this.#dispatcher.destroy();
  }
}

/** No time limits of its own but that for a connection: RemoteStore has them. */
function openDispatcher(outbound: Outbound): Dispatcher {
  const { addresses } = outbound;
  const connector = buildConnector({ lookup: addresses.lookup });
  const connect: buildConnector.connector = (to, callback) => {
    const protocol = to.protocol === "https:" ? "https:" : "http:";
    const port = Number(to.port || (protocol === "https:" ? 443 : 80));
    const tunnel = outbound.tunnelTo({ protocol, host: to.hostname, port });
    if (tunnel === undefined) {
      addresses.watch(connector(to, callback));
      return;
    }
    tunnel.then(
      (socket) => {
        if (protocol === "https:") connector({ ...to, httpSocket: socket }, callback);
        else callback(null, socket);
      },
      (error: Error) => callback(error, null),
    );
  };
  return new Agent({ connect, headersTimeout: 0, bodyTimeout: 0 });
}

/** `http://` is assumed for a bare `host:port`, as Google's own clients do for STORAGE_EMULATOR_HOST. */
function parseEndpoint(text: string): string {
  const url = text.includes("://") ? text : `http://${text}`;
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
    throw new StoreError(
      "STORE_MISCONFIGURED",
      `could not use the Cloud Storage endpoint: "${text}" is not an http or https URL`,
      { hint: "STORAGE_EMULATOR_HOST looks like http://127.0.0.1:4443; unset it to use Google's." },
    );
  }
  return new URL(url).origin;
}
