/** A client for the few calls of Kong's Admin API that we need, and what can go wrong with it. https://developer.konghq.com/api/gateway/admin-oss/ */

import { createHash } from "node:crypto";
import { Agent, buildConnector, type Dispatcher, request } from "undici";
import { describeCause, type ErrorDetails, ServiceError } from "../core/errors.ts";
import { hearsay } from "../core/hearsay.ts";
import { isTlsCode, nodeCodeOf } from "../core/node-code.ts";
import type { Secret } from "../core/secret.ts";
import { raced } from "../core/waiting.ts";
import { Addresses } from "../network/addresses.ts";
import type { AdminTls } from "./cluster-tls.ts";
import { describeConfigRefusal, printableLine } from "./config-refusal.ts";
import { SILENCE_LIMIT_MS } from "./wire.ts";

export interface AdminClientOptions {
  /** `http:` or `https:`, with a path prefix if a proxy needs one. Credentials, query and fragment are not used. */
  readonly url: URL;
  /** Sent as `Kong-Admin-Token`. */
  readonly token?: Secret | undefined;
  /** Called for each connection over `https:`, so that a rotated certificate is picked up. Rejects with ServiceError. Absent: no certificate of ours, the system's authorities. */
  readonly loadTls?: (() => Promise<AdminTls>) | undefined;
}

/** A config as `POST /config` takes it. */
export interface ConfigBody {
  readonly contentType: "application/json";
  readonly bytes: Uint8Array;
}

/** What a Kong says it is; members are undefined where it does not say. */
export interface NodeInfo {
  readonly version: string | undefined;
  /** What it keeps its config in: `off` is DB-less. */
  readonly database: string | undefined;
  /** Names of the plugins configured anywhere; empty where it does not say. */
  readonly pluginsInUse: readonly string[];
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
  readonly date: Date | undefined;
  /** JSON where Kong itself answered, HTML where nginx did. */
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
    this.#agent = new Agent({ connect: connectorOf(options) });
  }

  /** Kong's hash of the config it serves, from `GET /status`: 32 zeros if empty, undefined on a Kong with a database or before 2.8. */
  async configurationHash(signal: AbortSignal): Promise<string | undefined> {
    return lineOf(await this.#getJson("/status", signal), "configuration_hash");
  }

  /** From `GET /`. Kong/kong@3.9.1 kong/api/routes/kong.lua */
  async node(signal: AbortSignal): Promise<NodeInfo> {
    const node = await this.#getJson("/", signal);
    const inUse = memberOf(memberOf(node, "plugins"), "enabled_in_cluster");
    return {
      version: lineOf(node, "version"),
      database: lineOf(memberOf(node, "configuration"), "database"),
      // An empty list is written as an object.
      pluginsInUse: Array.isArray(inUse)
        ? inUse.filter((name) => typeof name === "string").map(printableLine)
        : [],
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

  /**
   * How the control plane judges this data plane, e.g. `normal`, `plugin_set_incompatible`. Undefined if
   * it does not know it, or has not heard of it lately: the row of one that is gone says what it was then.
   * ADMIN_REFUSED if this Kong is no control plane.
   */
  async syncStatus(nodeId: string, signal: AbortSignal): Promise<string | undefined> {
    const path = `/clustering/data-planes?size=${PAGE_SIZE}`;
    let offset = "";
    for (let page = 0; page < MAX_PAGES; page += 1) {
      const { value, date } = await this.#getDatedJson(path + offset, signal);
      const rows = memberOf(value, "data");
      const row = Array.isArray(rows) && rows.find((it) => memberOf(it, "id") === nodeId);
      if (row) return isStale(row, date) ? undefined : (lineOf(row, "sync_status") ?? "unknown");
      const next = memberOf(value, "offset");
      if (typeof next !== "string" || next === "") return undefined;
      offset = `&offset=${encodeURIComponent(next)}`;
    }
    return undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#agent.destroyed) await this.#agent.destroy();
  }

  async #getJson(path: string, signal: AbortSignal): Promise<unknown> {
    return (await this.#getDatedJson(path, signal)).value;
  }

  /** `date`: when it answered, by its own clock. */
  async #getDatedJson(
    path: string,
    signal: AbortSignal,
  ): Promise<{ readonly value: unknown; readonly date: Date | undefined }> {
    const answer = await this.#send("GET", path, signal);
    if (answer.status !== 200) throw this.#refused("GET", path, answer, 0);
    try {
      return { value: JSON.parse(answer.body), date: answer.date };
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
    if (cause instanceof AdminError) return cause;
    if (cause instanceof ServiceError) {
      return new AdminError("ADMIN_TLS", what, {
        cause,
        ...(cause.hint !== undefined && { hint: cause.hint }),
      });
    }
    const code = nodeCodeOf(cause);
    return isTlsCode(code)
      ? new AdminError("ADMIN_TLS", what, { cause, hint: tlsHint(code) })
      : new AdminError("ADMIN_UNAVAILABLE", what, {
          cause,
          // In TLS 1.3 who refuses our certificate does so after the handshake, and Node is not always told why.
          hint: `Check that Kong is running and that its admin_listen, or status_listen, is on at this address.${code === "UND_ERR_SOCKET" && this.url.startsWith("https:") ? ` ${CLIENT_CERTIFICATE_HINT}` : ""}`,
        });
  }
}

const CLIENT_CERTIFICATE_HINT =
  "If it asks for a client certificate, KONG_FALLBACK_ADMIN_CERT and KONG_FALLBACK_ADMIN_CERT_KEY give one; it must be signed by the CA that Kong trusts there, and be within its dates.";

function tlsHint(code: string): string {
  // OpenSSL's names of the alerts about our certificate: RFC 8446 6.2.
  if (
    /ALERT_.*(?:CERTIFICATE|HANDSHAKE_FAILURE|UNKNOWN_CA|ACCESS_DENIED|DECRYPT_ERROR)/.test(code)
  ) {
    return CLIENT_CERTIFICATE_HINT;
  }
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") {
    return "Use a name that its certificate bears: in the URL, or in KONG_FALLBACK_ADMIN_SERVER_NAME where the URL needs another one, such as 127.0.0.1.";
  }
  return "Check its certificate's dates; if this machine does not trust its CA, name it in KONG_FALLBACK_ADMIN_CA_CERT; if it does not speak TLS, write http://.";
}

/** Rejects a connection with what `loadTls` rejects with. */
function connectorOf({ loadTls }: AdminClientOptions): buildConnector.connector {
  const addresses = new Addresses();
  const options = { timeout: CONNECT_TIMEOUT_MS, lookup: addresses.lookup };
  const connect = async (
    to: buildConnector.Options,
    callback: buildConnector.Callback,
  ): Promise<void> => {
    const isSecure = loadTls !== undefined && to.protocol === "https:";
    const { pair, ca, servername }: Partial<AdminTls> = isSecure ? await inReadTime(loadTls()) : {};
    const connector = buildConnector({
      ...options,
      ...(pair && { cert: pair.cert, key: pair.key.reveal() }),
      ...(ca && { ca: [...ca] }),
    });
    const named = servername === undefined ? to : { ...to, servername };
    addresses.watch(connector(named, callback));
  };
  return (to, callback) => {
    connect(to, callback).catch((error: Error) => callback(error, null));
  };
}

/** Rejects with AdminError once a file system has been silent for as long as a server may be. */
function inReadTime<T>(read: Promise<T>): Promise<T> {
  return raced(AbortSignal.timeout(CONNECT_TIMEOUT_MS), read).catch((error: unknown) => {
    if (error instanceof ServiceError) throw error;
    throw new AdminError(
      "ADMIN_UNAVAILABLE",
      `the certificates for the Admin API could not be read within ${CONNECT_TIMEOUT_MS / 1000} s`,
      {
        cause: error,
        hint: "See whether the disk or server that KONG_FALLBACK_ADMIN_CERT lies on hangs.",
      },
    );
  });
}

/** The entities that a 201 repeats are not read. */
async function readAnswer(response: Dispatcher.ResponseData, signal: AbortSignal): Promise<Answer> {
  const { statusCode: status, headers, body } = response;
  const retryAfter = headers["retry-after"];
  const answer = {
    status,
    retryAfter: typeof retryAfter === "string" ? retryAfter : undefined,
    date: parseDate(headers["date"]),
  };
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

function parseDate(header: string | string[] | undefined): Date | undefined {
  const date = new Date(String(header));
  return Number.isNaN(date.getTime()) ? undefined : date;
}

/**
 * Whether the control plane has heard nothing of it for twice as long as a data plane may be silent, both
 * times by the clocks of Kong's own nodes. Kong/kong@3.9.1 kong/db/schema/entities/clustering_data_planes.lua
 */
function isStale(row: unknown, now: Date | undefined): boolean {
  const lastSeen = memberOf(row, "last_seen");
  if (typeof lastSeen !== "number" || now === undefined) return false;
  return now.getTime() - lastSeen * 1000 > 2 * SILENCE_LIMIT_MS;
}

function memberOf(value: unknown, key: string): unknown {
  return typeof value === "object" && value !== null ? Reflect.get(value, key) : undefined;
}

function textOf(value: unknown, key: string): string | undefined {
  const member = memberOf(value, key);
  return typeof member === "string" ? member : undefined;
}

function lineOf(value: unknown, key: string): string | undefined {
  const text = textOf(value, key);
  return text === undefined ? undefined : printableLine(text);
}

/** A config ready to be sent, and the hash Kong will give it; undefined where only Kong can tell. */
export interface ConfigLoad {
  readonly body: ConfigBody;
  /** 32 lower-case hex digits, to be found in `/status` once Kong has the config. */
  readonly expectedHash: string | undefined;
}

/**
 * The config as a string inside JSON, for then Kong's hash of it is the MD5 of the text. A config
 * that is not valid UTF-8 (Kong itself never checks) would be damaged as a string: it becomes the
 * body itself, with a hash that Kong makes of the entities it reads.
 */
export function prepareConfigLoad(config: Uint8Array): ConfigLoad {
  const text = decodeUtf8(config);
  if (text === undefined) {
    return { body: { contentType: "application/json", bytes: config }, expectedHash: undefined };
  }
  return {
    body: { contentType: "application/json", bytes: Buffer.from(JSON.stringify({ config: text })) },
    expectedHash: createHash("md5").update(config).digest("hex"),
  };
}

/** Whether a hash from `/status` is that of a Kong without a config: only zeros. */
export function isEmptyHash(hash: string): boolean {
  return /^0*$/.test(hash);
}

/** Undefined unless encoding the text again gives the same bytes. */
function decodeUtf8(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    // Not UTF-8, or longer than a string can be (512 MiB).
    return undefined;
  }
}

/**
 * - `ADMIN_UNAVAILABLE`: nothing answered, or it answered 5xx: Kong is starting, stopping or overloaded. Retried.
 * - `ADMIN_BUSY`: 429: another config is being loaded. Retried after `retryAfterMs`.
 * - `ADMIN_TLS`: its certificate is not trusted, it does not speak TLS, or it wants a certificate of us. Name its CA in KONG_FALLBACK_ADMIN_CA_CERT, give KONG_FALLBACK_ADMIN_CERT, or fix the URL.
 * - `ADMIN_DENIED`: 401 or 403: RBAC, or a proxy in front. Give a token.
 * - `ADMIN_NOT_FOUND`: 404, or an answer no Admin API gives. Fix the URL.
 * - `ADMIN_TOO_LARGE`: 413. The hint names the limit: nginx's, or Kong's store.
 * - `ADMIN_REFUSED`: any other refusal; the message says Kong's reasons.
 */
export type AdminErrorCode =
  | "ADMIN_UNAVAILABLE"
  | "ADMIN_BUSY"
  | "ADMIN_TLS"
  | "ADMIN_DENIED"
  | "ADMIN_NOT_FOUND"
  | "ADMIN_TOO_LARGE"
  | "ADMIN_REFUSED";

const RETRYABLE: ReadonlySet<AdminErrorCode> = new Set(["ADMIN_UNAVAILABLE", "ADMIN_BUSY"]);

export interface AdminErrorDetails extends ErrorDetails {
  readonly retryAfterMs?: number | undefined;
  readonly reasons?: readonly string[];
}

export class AdminError extends ServiceError {
  readonly code: AdminErrorCode;
  readonly exitStatus = 4;
  /** Milliseconds Kong asked us to wait (`Retry-After`), if it did. */
  readonly retryAfterMs: number | undefined;
  /** Why Kong does not take the config itself, one line for each error; undefined where something else is wrong. */
  readonly reasons: readonly string[] | undefined;

  constructor(code: AdminErrorCode, message: string, details: AdminErrorDetails = {}) {
    super(message, { retryable: RETRYABLE.has(code), ...details });
    this.code = code;
    this.retryAfterMs = details.retryAfterMs;
    this.reasons = details.reasons;
  }
}

/** Whether the config is the matter, so that another one may be taken. */
export function refusesConfig({ code, reasons }: AdminError): boolean {
  return reasons !== undefined || code === "ADMIN_TOO_LARGE";
}

/** An answer that is not the one hoped for. */
export interface BadAnswer extends Omit<Answer, "date"> {
  /** What was tried, on what: `GET http://127.0.0.1:8001/status`. */
  readonly request: string;
  readonly requestBytes: number;
}

/** Most errors of one config have one cause; the first ones show it. */
const MAX_REASONS = 10;

/** What Kong says of what it was sent; the 400 of a proxy in front is no verdict on the config. */
const ABOUT_CONFIG = /declarative config|^Cannot parse JSON body/i;

/** Kong/kong@3.9.1 kong/api/routes/config.lua, kong/api/routes/clustering.lua for what Kong says. */
export function adminErrorOf(answer: BadAnswer): AdminError {
  const { request, status } = answer;
  switch (status) {
    case 400:
      return badRequest(answer);
    case 401:
    case 403:
      return new AdminError("ADMIN_DENIED", `${request} was denied (${status})`, {
        hint: "Give a token whose role may do this (KONG_FALLBACK_ADMIN_TOKEN, sent as Kong-Admin-Token), and check the proxy in front of the Admin API if there is one.",
      });
    case 404:
      return new AdminError("ADMIN_NOT_FOUND", `${request} found nothing there (404)`, {
        hint: "Check that the URL is that of Kong's Admin API, by default http://127.0.0.1:8001.",
      });
    case 413:
      return tooLarge(answer);
    case 429:
      return new AdminError(
        "ADMIN_BUSY",
        `${request} found Kong busy loading another config (429)`,
        {
          retryAfterMs: seconds(answer.retryAfter),
        },
      );
    case 500:
    case 502:
    case 503:
    case 504:
      return new AdminError("ADMIN_UNAVAILABLE", `${request} failed on Kong's side (${status})`, {
        hint: "Look into Kong's error log.",
        retryAfterMs: seconds(answer.retryAfter),
      });
    default:
      return new AdminError("ADMIN_REFUSED", `${request} was answered with ${status}`, {
        hint: "Check that the URL is that of Kong's Admin API and that nothing in between rewrites requests.",
      });
  }
}

function badRequest(answer: BadAnswer): AdminError {
  const { request, body } = answer;
  if (/plain HTTP request was sent to HTTPS port/.test(body)) {
    return new AdminError("ADMIN_TLS", `${request} spoke plain HTTP to an HTTPS port (400)`, {
      hint: "Write https:// in the URL.",
    });
  }
  // nginx's own pages, whose title begins with the status: ngx_http_special_response.c
  const page = /<title>400 ([^<]*)<\/title>/i.exec(body)?.[1];
  if (page !== undefined && /certificate/i.test(page)) {
    return new AdminError("ADMIN_TLS", `${request} was refused (400): ${printableLine(page)}`, {
      hint: CLIENT_CERTIFICATE_HINT,
    });
  }
  const said = parseJson(body);
  const message = textOf(said, "message");
  if (message !== undefined && /configured to not use a database/.test(message)) {
    return new AdminError(
      "ADMIN_REFUSED",
      `${request} was refused: this Kong is not DB-less (400)`,
      {
        hint: "Only a Kong with database=off takes a config this way. A data plane takes one as a file, by --to file:/path.",
      },
    );
  }
  const reasons = describeConfigRefusal(said);
  if (reasons.length === 0) {
    // "declarative config is invalid: {…}" may repeat what it complains of.
    const text = printableLine(
      message?.split(": {")[0] ?? (hearsay(page ?? "") || "no reason given"),
    );
    const isAboutConfig = message !== undefined && ABOUT_CONFIG.test(message);
    return new AdminError("ADMIN_REFUSED", `${request} was refused (400): ${text}`, {
      ...(isAboutConfig ? { reasons: [text] } : {}),
    });
  }
  const shown = reasons.slice(0, MAX_REASONS).map((reason) => `\n  ${reason}`);
  const more = reasons.length > MAX_REASONS ? `\n  and ${reasons.length - MAX_REASONS} more` : "";
  const count = reasons.length === 1 ? "1 error" : `${reasons.length} errors`;
  return new AdminError(
    "ADMIN_REFUSED",
    `${request} was refused (400), ${count}:${shown.join("")}${more}`,
    {
      reasons,
      hint: "Compare version, edition and KONG_PLUGINS of this Kong with those the config was exported for; `import --adapt` takes out what an open-source Kong does not know.",
    },
  );
}

function tooLarge(answer: BadAnswer): AdminError {
  const { request, requestBytes, body } = answer;
  const message = textOf(parseJson(body), "message");
  if (message === undefined) {
    const megabytes = Math.ceil(requestBytes / 1024 / 1024) + 1;
    return new AdminError(
      "ADMIN_TOO_LARGE",
      `${request} was refused by nginx in front of Kong: the request has ${requestBytes} bytes (413)`,
      {
        hint: `Set nginx_admin_client_max_body_size = ${megabytes}m (KONG_NGINX_ADMIN_CLIENT_MAX_BODY_SIZE, by default 10m) on this Kong, or import to a file.`,
      },
    );
  }
  const isLmdb = /lmdb_map_size/.test(message);
  return new AdminError(
    "ADMIN_TOO_LARGE",
    `${request} was refused: the config does not fit in Kong's ${isLmdb ? "LMDB database" : "cache"} (413)`,
    {
      hint: isLmdb
        ? "Raise lmdb_map_size (KONG_LMDB_MAP_SIZE) on this Kong and restart it."
        : "Raise mem_cache_size (KONG_MEM_CACHE_SIZE) on this Kong and restart it.",
    },
  );
}

/** Kong gives whole seconds; a date is left alone, the back-off covers it. */
function seconds(retryAfter: string | undefined): number | undefined {
  return retryAfter !== undefined && /^\d{1,4}$/.test(retryAfter)
    ? Number(retryAfter) * 1000
    : undefined;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // nginx answers in HTML.
    return undefined;
  }
}
