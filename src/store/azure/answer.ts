/** What Azure said in an error, read from the SDK's exception without what must stay secret. */

import { hearsay } from "../../core/hearsay.ts";

/**
 * The SDK's exception holds the request with its signature, SAS token or access token, and the
 * server's sentences, which for a wrong signature quote what was signed. Only these parts go further.
 */
export interface AzureAnswer {
  /** HTTP status. */
  readonly status: number;
  /** Azure's name of the error, e.g. `BlobNotFound`; undefined where the answer has none, i.e. is not Azure's. */
  readonly name: string | undefined;
  /** For Microsoft's support. */
  readonly requestId: string | undefined;
  /** What the sentence is about, where the name is too wide. */
  readonly about: "clock" | "expiry" | undefined;
  /** The server's own time. */
  readonly date: string | undefined;
}

/** Undefined where no answer came: a network or TLS failure, no token, a bug. */
export function readAnswer(error: unknown): AzureAnswer | undefined {
  const thrown = record(error);
  const status = thrown["statusCode"];
  if (typeof status !== "number") return undefined;
  const details = record(thrown["details"]);
  const headers = headersOf(thrown["response"]);
  const name =
    word(headers("x-ms-error-code")) ?? word(details["errorCode"]) ?? word(thrown["code"]);
  const sentences = [details["message"], thrown["message"], details["authenticationErrorDetail"]];
  return {
    status,
    name: name === "REQUEST_SEND_ERROR" || name === "PARSE_ERROR" ? undefined : name,
    requestId: /^[0-9a-f-]{36}$/.exec(headers("x-ms-request-id") ?? "")?.[0],
    about: aboutOf(sentences.filter((text) => typeof text === "string").join("\n")),
    date: headers("date"),
  };
}

/** E.g. `HTTP 403 AuthorizationPermissionMismatch, request 6a1b…`, or `HTTP 200, no Azure error`. */
export function describeAnswer({ status, name, requestId }: AzureAnswer): string {
  const request = requestId === undefined ? "" : `, request ${requestId}`;
  return `HTTP ${status}${name === undefined ? ", no Azure error" : ` ${name}`}${request}`;
}

function aboutOf(text: string): AzureAnswer["about"] {
  if (/date header too old|not valid yet|not yet valid/i.test(text)) return "clock";
  if (/not valid in the specified time frame|lifetime|expired/i.test(text)) return "expiry";
  return undefined;
}

/** Reads a header by its lower-case name. */
function headersOf(response: unknown): (name: string) => string | undefined {
  const headers = record(response)["headers"];
  return (name) => {
    const get = record(headers)["get"];
    const value: unknown = typeof get === "function" ? get.call(headers, name) : undefined;
    return typeof value === "string" ? value : undefined;
  };
}

function word(value: unknown): string | undefined {
  const isWord = typeof value === "string" && /^[A-Za-z0-9_]{1,80}$/.test(value);
  // A word can be a key, too, if it is not Azure who answers.
  return isWord && hearsay(value) === value ? value : undefined;
}

function record(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}
