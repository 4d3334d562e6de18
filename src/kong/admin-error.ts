/** What can go wrong with Kong's Admin API, and how its answers tell. */

import { type ErrorDetails, ServiceError } from "../core/errors.ts";
import { describeConfigRefusal, printableLine } from "./config-refusal.ts";

/**
 * - `ADMIN_UNAVAILABLE`: nothing answered, or it answered 5xx: Kong is starting, stopping or overloaded. Retried.
 * - `ADMIN_BUSY`: 429: another config is being loaded. Retried after `retryAfterMs`.
 * - `ADMIN_TLS`: its certificate is not trusted, or it does not speak TLS. Fix the CA setting or the URL.
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

/** An answer that is not the one hoped for. */
export interface Refusal {
  /** What was tried, on what: `GET http://127.0.0.1:8001/status`. */
  readonly request: string;
  readonly requestBytes: number;
  readonly status: number;
  readonly retryAfter: string | undefined;
  /** JSON where Kong itself answered, HTML where nginx did. */
  readonly body: string;
}

/** Most errors of one config have one cause; the first ones show it. */
const MAX_REASONS = 10;

/** What Kong says of what it was sent; the 400 of a proxy in front is no verdict on the config. */
const ABOUT_CONFIG = /declarative config|^Cannot parse JSON body/i;

/** Kong/kong@3.9.1 kong/api/routes/config.lua, kong/api/routes/clustering.lua for what Kong says. */
export function adminErrorOf(refusal: Refusal): AdminError {
  const { request, status } = refusal;
  switch (status) {
    case 400:
      return badRequest(refusal);
    case 401:
    case 403:
      return new AdminError("ADMIN_DENIED", `${request} was denied (${status})`, {
        hint: "Give a token whose role may do this (header Kong-Admin-Token), and check the proxy in front of the Admin API if there is one.",
      });
    case 404:
      return new AdminError("ADMIN_NOT_FOUND", `${request} found nothing there (404)`, {
        hint: "Check that the URL is that of Kong's Admin API, by default http://127.0.0.1:8001.",
      });
    case 413:
      return tooLarge(refusal);
    case 429:
      return new AdminError(
        "ADMIN_BUSY",
        `${request} found Kong busy loading another config (429)`,
        {
          retryAfterMs: seconds(refusal.retryAfter),
        },
      );
    case 500:
    case 502:
    case 503:
    case 504:
      return new AdminError("ADMIN_UNAVAILABLE", `${request} failed on Kong's side (${status})`, {
        hint: "Look into Kong's error log.",
        retryAfterMs: seconds(refusal.retryAfter),
      });
    default:
      return new AdminError("ADMIN_REFUSED", `${request} was answered with ${status}`, {
        hint: "Check that the URL is that of Kong's Admin API and that nothing in between rewrites requests.",
      });
  }
}

function badRequest(refusal: Refusal): AdminError {
  const { request, body } = refusal;
  if (/plain HTTP request was sent to HTTPS port/.test(body)) {
    return new AdminError("ADMIN_TLS", `${request} spoke plain HTTP to an HTTPS port (400)`, {
      hint: "Write https:// in the URL.",
    });
  }
  const answer = parseJson(body);
  const message = memberOf(answer, "message");
  if (message !== undefined && /configured to not use a database/.test(message)) {
    return new AdminError(
      "ADMIN_REFUSED",
      `${request} was refused: this Kong is not DB-less (400)`,
      {
        hint: "Only a Kong with database=off takes a config this way. A data plane takes one as a file, by --to file:/path.",
      },
    );
  }
  const reasons = describeConfigRefusal(answer);
  if (reasons.length === 0) {
    // "declarative config is invalid: {…}" may repeat what it complains of.
    const text = printableLine(message?.split(": {")[0] ?? "no reason given");
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
      hint: "A config fits Kong of the version it was exported for, with the same plugins enabled (KONG_PLUGINS). Compare both.",
    },
  );
}

function tooLarge(refusal: Refusal): AdminError {
  const { request, requestBytes, body } = refusal;
  const message = memberOf(parseJson(body), "message");
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

function memberOf(value: unknown, key: string): string | undefined {
  if (typeof value !== "object" || value === null || !(key in value)) return undefined;
  const member: unknown = Reflect.get(value, key);
  return typeof member === "string" ? member : undefined;
}
