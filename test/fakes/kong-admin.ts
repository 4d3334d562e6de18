/** Kong's Admin API as far as kong-fallback uses it, with the answers of Kong 3.9.1: /, /status, /config of a DB-less node, /clustering/data-planes of a control plane. */

import { createHash } from "node:crypto";
import { EventEmitter, once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { type SecureContextOptions, TLSSocket, type TlsOptions } from "node:tls";
import { ANSWERS, type Answer, type Reply, schemaRefusal } from "./kong-admin-answers.ts";

export const EMPTY_HASH = "0".repeat(32);

export interface ReceivedConfig {
  readonly contentType: string | undefined;
  readonly query: string;
  readonly body: Buffer;
}

export interface AdminListener {
  readonly cert: string;
  readonly key: string;
  /** Who is shown no certificate of this authority is refused as nginx does it: after the handshake, by a page. */
  readonly clientCa?: string;
}

function secured({ cert, key, clientCa }: AdminListener): SecureContextOptions & TlsOptions {
  return clientCa === undefined
    ? { cert, key }
    : { cert, key, ca: clientCa, requestCert: true, rejectUnauthorized: false };
}

export class FakeKongAdmin implements AsyncDisposable {
  /** What `/status` reports; undefined: not at all, as on a Kong with a database. */
  configurationHash: string | undefined = EMPTY_HASH;
  /** What `/` says it keeps its config in. */
  database = "off";
  /** What `/` says it is. */
  version = "3.9.1";
  /** Whether this is a Status API, too, as where both listen on one port in a test: `/status/ready` is answered. */
  hasReadiness = false;
  /** `/status/ready` answers 503 to so many requests after each load. */
  buildsFor = 0;
  /** What the schema finds wrong with a config; empty: nothing. */
  refuse: (config: string) => readonly unknown[] = () => [];
  /** The text that is served; what was POSTed last and accepted. */
  config: string | undefined;
  /** Answers for the next requests to these paths, instead of the usual ones. */
  readonly next = new Map<string, Answer[]>();
  /** Demands this `Kong-Admin-Token`. */
  token: string | undefined;
  /** After a 201 `/status` reports the new hash only from this many further requests on. */
  confirmAfter = 0;
  /** nginx_admin_client_max_body_size, bytes; nginx answers by the announced length and reads no further. */
  maxBodyBytes = 10 * 1024 * 1024;
  dataPlanes: readonly Record<string, unknown>[] = [];
  pageSize = 1000;
  readonly requests: string[] = [];
  readonly configs: ReceivedConfig[] = [];
  readonly #server: ReturnType<typeof createServer>;
  readonly #scheme: string;
  readonly #arrivals = new EventEmitter();
  #pendingHash: string | undefined;
  #building = 0;

  private constructor(tls?: AdminListener) {
    const listener = (request: IncomingMessage, response: ServerResponse): void => {
      const { socket } = request;
      if (tls?.clientCa !== undefined && socket instanceof TLSSocket && !socket.authorized) {
        const isShown = socket.getPeerX509Certificate() !== undefined;
        send(response, isShown ? ANSWERS.badCertificate : ANSWERS.noCertificate);
        return;
      }
      // A client that goes away in the middle of its request gets no answer.
      this.#answer(request, response).catch(() => response.destroy());
    };
    this.#server =
      tls === undefined ? createServer(listener) : createTlsServer(secured(tls), listener);
    this.#scheme = tls === undefined ? "http" : "https";
  }

  static async start(
    options: { readonly port?: number; readonly tls?: AdminListener } = {},
  ): Promise<FakeKongAdmin> {
    const fake = new FakeKongAdmin(options.tls);
    fake.#server.listen(options.port ?? 0, "127.0.0.1");
    await once(fake.#server, "listening");
    return fake;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `${this.#scheme}://127.0.0.1:${this.port}`;
  }

  /** The next request to `path` (without query) gets this answer; several queue up. */
  answerNext(path: string, ...answers: readonly Answer[]): void {
    this.next.set(path, [...(this.next.get(path) ?? []), ...answers]);
  }

  /** Resolves when the next request like `POST /config` has come in. */
  async untilRequest(methodAndPath: string): Promise<void> {
    await once(this.#arrivals, methodAndPath);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#server.listening) return;
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, "close");
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, search, searchParams } = new URL(request.url ?? "/", this.url);
    this.requests.push(`${request.method} ${pathname}${search}`);
    this.#arrivals.emit(`${request.method} ${pathname}`);
    if (this.token !== undefined && request.headers["kong-admin-token"] !== this.token) {
      return send(response, ANSWERS.unauthorized);
    }
    const scripted = this.next.get(pathname)?.shift();
    if (scripted === "hang") return;
    if (scripted === "disconnect") {
      request.socket.destroy();
      return;
    }
    if (Number(request.headers["content-length"] ?? 0) > this.maxBodyBytes) {
      return send(response, { ...ANSWERS.bodyTooLarge, headers: { Connection: "close" } });
    }
    const body = await readBody(request);
    if (scripted !== undefined) return send(response, scripted);
    switch (`${request.method} ${pathname}`) {
      case "GET /":
        return send(response, nodeOf(this.version, this.database));
      case "GET /status":
        return send(response, this.#status());
      case "GET /status/ready":
        return send(response, this.#ready());
      case "POST /config":
        return send(response, this.#load(request.headers["content-type"], search, body));
      case "GET /clustering/data-planes":
        return send(response, this.#list(searchParams));
      default:
        return send(response, ANSWERS.notFound);
    }
  }

  #status(): Reply {
    if (this.#pendingHash !== undefined && this.confirmAfter === 0) {
      this.configurationHash = this.#pendingHash;
      this.#pendingHash = undefined;
    }
    this.confirmAfter = Math.max(0, this.confirmAfter - 1);
    const hash =
      this.configurationHash === undefined
        ? { database: { reachable: true } }
        : { configuration_hash: this.configurationHash };
    return { status: 200, body: JSON.stringify({ memory: {}, server: {}, ...hash }) };
  }

  #ready(): Reply {
    if (!this.hasReadiness) return ANSWERS.notFound;
    if (this.#building > 0) {
      this.#building -= 1;
      const message = "router builds not yet complete, router ready in 0 of 1 workers";
      return { status: 503, body: JSON.stringify({ message }) };
    }
    if (this.configurationHash === EMPTY_HASH) {
      const message = "no configuration available (empty configuration present)";
      return { status: 503, body: JSON.stringify({ message }) };
    }
    return { status: 200, body: '{"message":"ready"}' };
  }

  #load(contentType: string | undefined, query: string, body: Buffer): Reply {
    this.configs.push({ contentType, query, body });
    if (this.configurationHash === undefined) return ANSWERS.notDbless;
    if (contentType !== "application/json") return ANSWERS.unsupported;
    const parsed = parse(body.toString("utf8"));
    if (parsed === undefined) return { status: 400, body: '{"message":"Cannot parse JSON body"}' };
    // Form 2 is the config as text. Form 1 is the config itself: its hash is Kong's own, no text's.
    const text = parsed["_format_version"] === undefined ? String(parsed["config"]) : undefined;
    const hash = createHash("md5")
      .update(text ?? `entities of ${body.toString("latin1")}`)
      .digest("hex");
    if (text !== undefined && query.includes("check_hash=1") && hash === this.configurationHash) {
      return { status: 304, body: "" };
    }
    if (parse(text ?? body.toString("utf8"))?.["_format_version"] === undefined) {
      return schemaRefusal({
        fields: { _format_version: "required field missing" },
        flattened: [],
      });
    }
    const flattened = this.refuse(text ?? body.toString("utf8"));
    if (flattened.length > 0) return schemaRefusal({ flattened });
    this.config = text;
    this.#pendingHash = hash;
    this.#building = this.buildsFor;
    // The answer repeats the entities, secrets included.
    return { status: 201, body: JSON.stringify({ services: { a: { password: "hunter2" } } }) };
  }

  /** `offset` is the index of the first row, opaque to a client. */
  #list(parameters: URLSearchParams): Reply {
    const size = Math.min(Number(parameters.get("size") ?? 100), this.pageSize);
    const start = Number(parameters.get("offset")?.slice("row ".length) ?? 0);
    const end = start + size;
    const more = end < this.dataPlanes.length ? { offset: `row ${end}` } : {};
    const next =
      end < this.dataPlanes.length ? `/clustering/data-planes?offset=row%20${end}` : null;
    const data = this.dataPlanes.slice(start, end);
    return { status: 200, body: JSON.stringify({ data, next, ...more }) };
  }
}

/** For `refuse`: finds a fault in the config of this name, see configBytes. */
export function refusing(name: string): FakeKongAdmin["refuse"] {
  const errors = [{ type: "entity", message: "no such plugin" }];
  const fault = { entity_type: "service", entity_name: name, errors };
  return (config) => (config.includes(`"name":"${name}"`) ? [fault] : []);
}

function nodeOf(version: string, database: string): Reply {
  return { status: 200, body: JSON.stringify({ version, configuration: { database } }) };
}

function send(response: ServerResponse, answer: Reply): void {
  const type = answer.body.startsWith("<") ? "text/html" : "application/json; charset=utf-8";
  response.writeHead(answer.status, { "Content-Type": type, ...answer.headers });
  response.end(answer.body);
}

function parse(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
