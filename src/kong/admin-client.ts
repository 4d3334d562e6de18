/** A client for the few calls of Kong's Admin API that we need. https://developer.konghq.com/api/gateway/admin-oss/ */

import { Agent, type Dispatcher, request } from "undici";
import { describeCause } from "../core/errors.ts";
import type { Secret } from "../core/secret.ts";
import { AdminError, adminErrorOf } from "./admin-error.ts";
import { printableLine } from "./config-refusal.ts";

export interface AdminClientOptions {
  /** `http:` or `https:`, with a path prefix if a proxy needs one. Credentials, query and fragment are not used. */
  readonly url: URL;
  /** Sent as `Kong-Admin-Token`. */
  readonly token?: Secret | undefined;
  /** PEM, instead of the system's authorities. */
  readonly ca?: string | undefined;
}

/** A config as `POST /config` takes it. */
export interface ConfigBody {
  readonly contentType: "application/json";
  readonly bytes: Uint8Array;
}

/** One row of the control plane's list of data planes. Kong/kong@3.9.1 kong/db/schema/entities/clustering_data_planes.lua */
export interface DataPlaneStatus {
  /** E.g. `normal`, `plugin_set_incompatible`; stays what it was when the data plane is gone. */
  readonly syncStatus: string;
  /** By the control plane's clock. */
  readonly lastSeen: Date | undefined;
  readonly version: string | undefined;
}

/** What a Kong says it is; members are undefined where it does not say. */
export interface NodeInfo {
  readonly version: string | undefined;
  /** What it keeps its config in: `off` is DB-less. */
  readonly database: string | undefined;
}

/** `unknown`: there is no such question here, as on an Admin API or before 3.3. */
export type Readiness = "ready" | "not-ready" | "unknown";

const CONNECT_TIMEOUT_MS = 5_000;
/** For the answers to GET. How long loading a config may take is the caller's to say, by its signal. */
const ANSWER_TIMEOUT_MS = 10_000;
/** A refusal repeats every entity it complains of, so it may be as long as the config. */
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;
/** Kong's largest page. 100 of them are more data planes than one control plane has. */
const PAGE_SIZE = 1000;
const MAX_PAGES = 100;

interface Answer {
  readonly status: number;
  readonly retryAfter: string | undefined;
  readonly body: string;
}

/** Every method rejects with AdminError, or with `signal.reason` once the signal aborts; none retries. */
export class AdminClient implements AsyncDisposable {
  /** Without credentials, query and trailing slash, for logs and errors. */
  readonly url: string;
  readonly #agent: Agent;
  readonly #token: Secret | undefined;

  constructor(options: AdminClientOptions) {
    const { origin, pathname } = options.url;
    this.url = origin + pathname.replace(/\/+$/, "");
    this.#token = options.token;
    this.#agent = new Agent({
      connect: {
        timeout: CONNECT_TIMEOUT_MS,
        ...(options.ca === undefined ? {} : { ca: options.ca }),
      },
    });
  }

  /** Kong's hash of the config it serves, from `GET /status`: 32 zeros if empty, undefined on a Kong with a database or before 2.8. */
  async configurationHash(signal: AbortSignal): Promise<string | undefined> {
    const status = await this.#getJson("/status", signal);
    const hash = memberOf(status, "configuration_hash");
    return typeof hash === "string" ? printableLine(hash) : undefined;
  }

  /** From `GET /`. Kong/kong@3.9.1 kong/api/routes/kong.lua */
  async node(signal: AbortSignal): Promise<NodeInfo> {
    const node = await this.#getJson("/", signal);
    const database = memberOf(memberOf(node, "configuration"), "database");
    const version = memberOf(node, "version");
    return {
      version: typeof version === "string" ? printableLine(version) : undefined,
      database: typeof database === "string" ? printableLine(database) : undefined,
    };
  }

  /** Whether every worker serves what was loaded, from `GET /status/ready`, which is on the Status API. Kong/kong@3.9.1 kong/status/ready.lua */
  async readiness(signal: AbortSignal): Promise<Readiness> {
    const path = "/status/ready";
    const answer = await this.#send("GET", path, signal);
    switch (answer.status) {
      case 200:
        return "ready";
      case 404:
        return "unknown";
      case 503:
        return "not-ready";
      default:
        throw this.#refused("GET", path, answer, 0);
    }
  }

  /** Replaces the whole config of a DB-less Kong. `unchanged`: Kong has this very text already. */
  async loadConfig(body: ConfigBody, signal: AbortSignal): Promise<"loaded" | "unchanged"> {
    const path = "/config?check_hash=1&flatten_errors=1";
    const answer = await this.#send("POST", path, signal, body);
    if (answer.status === 304) return "unchanged";
    if (answer.status === 201) return "loaded";
    throw this.#refused("POST", "/config", answer, body.bytes.length);
  }

  /** What the control plane knows of this data plane; undefined if nothing. ADMIN_REFUSED if this Kong is no control plane. */
  async dataPlaneStatus(nodeId: string, signal: AbortSignal): Promise<DataPlaneStatus | undefined> {
    const path = `/clustering/data-planes?size=${PAGE_SIZE}`;
    let offset = "";
    for (let page = 0; page < MAX_PAGES; page += 1) {
      const answer = await this.#getJson(path + offset, signal);
      const rows = memberOf(answer, "data");
      const row = Array.isArray(rows) && rows.find((it) => memberOf(it, "id") === nodeId);
      if (row) return readDataPlane(row);
      const next = memberOf(answer, "offset");
      if (typeof next !== "string" || next === "") return undefined;
      offset = `&offset=${encodeURIComponent(next)}`;
    }
    return undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#agent.destroyed) await this.#agent.destroy();
  }

  async #getJson(path: string, signal: AbortSignal): Promise<unknown> {
    const answer = await this.#send("GET", path, signal);
    if (answer.status !== 200) throw this.#refused("GET", path, answer, 0);
    try {
      return JSON.parse(answer.body);
    } catch {
      // The parser quotes the text, and whatever answers there may repeat the token or a config.
      throw new AdminError("ADMIN_NOT_FOUND", `GET ${this.url}${path} did not answer in JSON`, {
        hint: "Check that the URL is that of Kong's Admin API, by default http://127.0.0.1:8001.",
      });
    }
  }

  async #send(
    method: "GET" | "POST",
    path: string,
    signal: AbortSignal,
    body?: ConfigBody,
  ): Promise<Answer> {
    signal.throwIfAborted();
    const timeoutMs = method === "GET" ? ANSWER_TIMEOUT_MS : 0;
    try {
      const response = await request(`${this.url}${path}`, {
        method,
        dispatcher: this.#agent,
        signal,
        headersTimeout: timeoutMs,
        bodyTimeout: timeoutMs,
        headers: {
          accept: "application/json",
          ...(body === undefined ? {} : { "content-type": body.contentType }),
          ...(this.#token === undefined ? {} : { "kong-admin-token": this.#token.reveal() }),
        },
        body: body?.bytes ?? null,
      });
      return await readAnswer(response, signal);
    } catch (cause) {
      signal.throwIfAborted();
      throw this.#unanswered(method, path, cause);
    }
  }

  #refused(method: string, path: string, answer: Answer, requestBytes: number): AdminError {
    return adminErrorOf({ request: `${method} ${this.url}${path}`, requestBytes, ...answer });
  }

  #unanswered(method: string, path: string, cause: unknown): AdminError {
    const what = `${method} ${this.url}${path.replace(/\?.*/, "")} failed: ${describeCause(cause)}`;
    const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
    const isTls = /^(ERR_TLS|ERR_SSL|EPROTO|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_)/.test(code);
    return isTls
      ? new AdminError("ADMIN_TLS", what, {
          cause,
          hint: "Give the authority that signed the Admin API's certificate, check its name and dates, or write http:// if it does not speak TLS.",
        })
      : new AdminError("ADMIN_UNAVAILABLE", what, {
          cause,
          hint: "Check that Kong is running and that its admin_listen, or status_listen, is on at this address.",
        });
  }
}

/** The entities that a 201 repeats are not read. */
async function readAnswer(response: Dispatcher.ResponseData, signal: AbortSignal): Promise<Answer> {
  const { statusCode: status, headers, body } = response;
  const retryAfter = headers["retry-after"];
  const answer = { status, retryAfter: typeof retryAfter === "string" ? retryAfter : undefined };
  if (status === 201 || status === 304) {
    await body.dump({ limit: 64 * 1024, signal });
    return { ...answer, body: "" };
  }
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes > MAX_ANSWER_BYTES) break;
  }
  return { ...answer, body: Buffer.concat(chunks).toString("utf8") };
}

function readDataPlane(row: unknown): DataPlaneStatus {
  const syncStatus = memberOf(row, "sync_status");
  const lastSeen = memberOf(row, "last_seen");
  const version = memberOf(row, "version");
  return {
    syncStatus: typeof syncStatus === "string" ? printableLine(syncStatus) : "unknown",
    lastSeen: typeof lastSeen === "number" ? new Date(lastSeen * 1000) : undefined,
    version: typeof version === "string" ? printableLine(version) : undefined,
  };
}

function memberOf(value: unknown, key: string): unknown {
  return typeof value === "object" && value !== null ? Reflect.get(value, key) : undefined;
}
