/** One request to Cloud Storage's JSON API: credentials, transport, deadline and abort. */

import { Readable } from "node:stream";
import type { Dispatcher } from "undici";
import { EnvHttpProxyAgent, request as httpRequest } from "undici";
import type { Secret } from "../../core/secret.ts";
import { InFlight } from "../in-flight.ts";
import { StoreError } from "../port.ts";
import type { Authorize } from "./credentials.ts";
import { googleCredentials } from "./credentials.ts";
import type { Attempt } from "./errors.ts";
import { broken, fault, noToken } from "./errors.ts";

export interface GcsClientOptions {
  /** JSON text of a service-account key. Absent: Application Default Credentials. */
  readonly credentials?: Secret<string> | undefined;
  /** An emulator's address, e.g. `http://127.0.0.1:4443`: no credentials are looked for or sent. Absent: Google's. */
  readonly apiEndpoint?: string | undefined;
  /** Longest time for which nothing moves: no access token comes, no piece of a body goes out or comes in. Milliseconds. */
  readonly timeoutMs: number;
  readonly userAgent?: string | undefined;
}

const PIECE_BYTES = 64 * 1024;

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
 * Nothing is retried, no redirect is followed. HTTPS_PROXY, HTTP_PROXY and NO_PROXY hold.
 */
export class GcsClient implements AsyncDisposable {
  /** Scheme, host and port. */
  readonly endpoint: string;
  readonly #timeoutMs: number;
  readonly #userAgent: string;
  readonly #authorize: Authorize;
  readonly #dispatcher: Dispatcher;
  readonly #inFlight = new InFlight();

  /** Throws STORE_DENIED for unusable `credentials`, STORE_MISCONFIGURED for an `apiEndpoint` or a proxy that is no URL. */
  constructor({ apiEndpoint, credentials, timeoutMs, userAgent }: GcsClientOptions) {
    this.endpoint =
      apiEndpoint === undefined ? "https://storage.googleapis.com" : parseEndpoint(apiEndpoint);
    this.#timeoutMs = timeoutMs;
    this.#userAgent = userAgent ?? "kong-fallback";
    this.#authorize =
      apiEndpoint === undefined ? googleCredentials(credentials, timeoutMs) : async () => ({});
    this.#dispatcher = openDispatcher();
  }

  /**
   * Sends `request` and gives its answer, whatever the status, to `use`; `use` reads the body.
   * Rejects as `use` does, with StoreError if no whole answer came, with `signal.reason` at once
   * when the signal aborts. An abort closes the connection; an upload whose last byte was sent by
   * then may still take effect, as may one that timed out. A token request is not stopped: it ends
   * by itself within `timeoutMs` and its token serves the next call.
   */
  async exchange<T>(
    attempt: Attempt,
    request: GcsRequest,
    signal: AbortSignal,
    use: (answer: GcsAnswer) => Promise<T>,
  ): Promise<T> {
    const gate = new AbortController();
    let awaited = "access token";
    const watchdog = setTimeout(() => {
      gate.abort(timedOut(attempt, awaited, this.#timeoutMs));
    }, this.#timeoutMs);
    const expect = (next: string) => {
      awaited = next;
      watchdog.refresh();
    };
    try {
      return await this.#inFlight.run(gate, { signal, closed }, () =>
        this.#send(attempt, request, gate.signal, expect, use),
      );
    } finally {
      clearTimeout(watchdog);
      // Closes the connection of an answer that was not read to its end.
      gate.abort();
    }
  }

  /** What is under way rejects with STORE_CLOSED. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#inFlight.close();
    await this.#dispatcher.destroy();
  }

  async #send<T>(
    attempt: Attempt,
    request: GcsRequest,
    signal: AbortSignal,
    expect: (next: string) => void,
    use: (answer: GcsAnswer) => Promise<T>,
  ): Promise<T> {
    const authorization = await this.#authorize().catch((error: unknown) => {
      throw noToken(attempt, error);
    });
    signal.throwIfAborted();
    const answering = () => expect(`answer from ${this.endpoint}`);
    const arriving = () => expect(`rest of the answer from ${this.endpoint}`);
    answering();
    const url = new URL(`${this.endpoint}${request.path}`);
    url.search = new URLSearchParams(request.params).toString();
    const answer = await httpRequest(url, {
      method: request.method,
      headers: { "User-Agent": this.#userAgent, ...request.headers, ...authorization },
      body: request.body === undefined ? null : outgoing(request.body, answering),
      signal,
      dispatcher: this.#dispatcher,
    }).catch((error: unknown) => {
      throw broken(attempt, error);
    });
    const pieces = async function* (): AsyncGenerator<Buffer> {
      arriving();
      try {
        for await (const piece of answer.body) {
          arriving();
          yield piece;
        }
      } catch (error) {
        throw broken(attempt, error);
      }
    };
    return use({ status: answer.statusCode, body: pieces() });
  }
}

function openDispatcher(): Dispatcher {
  try {
    // No time limits of its own: `exchange` has them.
    return new EnvHttpProxyAgent({ headersTimeout: 0, bodyTimeout: 0 });
  } catch {
    // The error repeats the proxy's URL, with its password.
    throw new StoreError(
      "STORE_MISCONFIGURED",
      "could not use the proxy for Cloud Storage: HTTPS_PROXY or HTTP_PROXY is not an http or https URL",
      { hint: "Write it as http://proxy.example:3128, or unset it." },
    );
  }
}

/** The body in pieces, so that one that is sent slowly is not taken for one that is not taken. */
function outgoing(body: Buffer, sent: () => void): Readable {
  const pieces = function* (): Generator<Buffer> {
    for (let at = 0; at < body.length; at += PIECE_BYTES) {
      sent();
      yield body.subarray(at, at + PIECE_BYTES);
    }
  };
  return Readable.from(pieces(), { objectMode: false });
}

function closed(): StoreError {
  return new StoreError("STORE_CLOSED", "could not use Cloud Storage: the store was disposed");
}

function timedOut(attempt: Attempt, awaited: string, timeoutMs: number): StoreError {
  return fault(attempt, "STORE_UNAVAILABLE", `no ${awaited} within ${timeoutMs} ms`, {
    hint: "It is tried again later. If it lasts, look at the network, or allow more time.",
  });
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
