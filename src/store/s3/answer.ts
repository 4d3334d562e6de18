/** What an S3 server said in an error, read from the SDK's exception without what must stay secret. */

import { hearsay } from "../../core/hearsay.ts";

/**
 * The SDK copies the whole error document onto its exception: for a wrong signature the string that
 * was signed, for an expired token the token. Only these parts go further.
 */
export interface S3Answer {
  /** HTTP status. */
  readonly status: number;
  /** S3's name of the error; undefined where the answer has none, i.e. is no S3 error document. */
  readonly name: string | undefined;
  /** The server's own sentence, see `hearsay`. */
  readonly message: string | undefined;
  /** For the support of the store's operator. */
  readonly requestId: string | undefined;
  readonly contentType: string | undefined;
  /** From the document, else the Date header. */
  readonly serverTime: Date | undefined;
  /** Region the server expects requests to be signed for. */
  readonly region: string | undefined;
  /** Host or origin where the server wants the request to go. */
  readonly redirect: string | undefined;
}

/** Undefined where no answer came: a network or TLS failure, no credentials, a bug. */
export function readAnswer(error: unknown): S3Answer | undefined {
  const thrown = record(error);
  const metadata = record(thrown["$metadata"]);
  const status = metadata["httpStatusCode"];
  if (typeof status !== "number") return undefined;
  const headers = record(record(thrown["$response"])["headers"]);
  const name = word(thrown["Code"]);
  const sentence = text(thrown["message"]);
  // The SDK says UnknownError where the server says nothing.
  const silent = name === undefined || sentence === name || sentence === "UnknownError";
  const message = silent || sentence === undefined ? undefined : hearsay(sentence) || undefined;
  return {
    status,
    name,
    message,
    requestId: word(metadata["requestId"]),
    contentType: word(headers["content-type"]),
    serverTime: time(thrown["ServerTime"]) ?? time(headers["date"]),
    region:
      word(thrown["Region"]) ??
      word(headers["x-amz-bucket-region"]) ??
      /expecting '([a-z0-9-]+)'/.exec(message ?? "")?.[1],
    redirect: text(thrown["Endpoint"]) ?? origin(text(headers["location"])),
  };
}

/** E.g. `HTTP 403 AccessDenied: Access Denied, request 17C2…`, or `HTTP 200 text/html` for a stranger. */
export function describeAnswer(answer: S3Answer): string {
  const what = answer.name ?? `${answer.contentType ?? "without content type"}, no S3 error`;
  const said = answer.message === undefined ? "" : `: ${answer.message.replace(/\.$/, "")}`;
  const request = answer.requestId === undefined ? "" : `, request ${answer.requestId}`;
  return `HTTP ${answer.status} ${what}${said}${request}`;
}

function record(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}

function text(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

/** A name, an id, a type; undefined for what is none: it goes into messages as it is. */
function word(value: unknown): string | undefined {
  return /^[\w.+/=-]{1,80}/.exec(text(value) ?? "")?.[0];
}

function time(value: unknown): Date | undefined {
  const date = value instanceof Date ? value : new Date(text(value) ?? Number.NaN);
  return Number.isNaN(date.getTime()) ? undefined : date;
}

/** Path and query are dropped: they may carry a signature. */
function origin(url: string | undefined): string | undefined {
  return url !== undefined && URL.canParse(url) ? new URL(url).origin : undefined;
}
