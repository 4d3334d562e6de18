/** What Cloud Storage and the way to it can answer, as StoreErrors. https://cloud.google.com/storage/docs/json_api/v1/status-codes */

import type { ErrorDetails } from "../../core/errors.ts";
import { hearsay } from "../../core/hearsay.ts";
import type { StoreErrorCode } from "../port.ts";
import { StoreError } from "../port.ts";
import { parseApiError } from "./resources.ts";

/** What was being done, for messages. */
export interface Attempt {
  /** A verb: `read`, `write`, `list`, `delete`. */
  readonly action: string;
  /** `gs://bucket/name`, as `gcloud storage` takes it. */
  readonly target: string;
  readonly bucket: string;
  /** Scheme, host and port the request goes to. */
  readonly endpoint: string;
}

/** An answer other than 2xx. */
export interface Refusal {
  readonly status: number;
  /** The body, or its beginning. */
  readonly text: string;
}

/** `Could not <action> <target>: <why>.` */
export function fault(
  attempt: Attempt,
  code: StoreErrorCode,
  why: string,
  details: ErrorDetails = {},
): StoreError {
  return new StoreError(code, `could not ${attempt.action} ${attempt.target}: ${why}`, details);
}

export function tooLarge(attempt: Attempt, bytes: number, maxBytes: number): StoreError {
  const why = `it is ${bytes} bytes long, more than the ${maxBytes} allowed`;
  const hint = "Raise the limit only if this size is expected.";
  return fault(attempt, "STORE_TOO_LARGE", why, { hint });
}

/** True if a 404 says that the bucket is missing, false if it says that the object is, undefined if it does not say. */
export function saysBucketMissing({ text }: Refusal): boolean | undefined {
  const message = parseApiError(text)?.message ?? "";
  if (/bucket (does not exist|not found)/i.test(message)) return true;
  return message.startsWith("No such object") ? false : undefined;
}

/** The StoreError for a 404 that is about the bucket. */
export function bucketMissing(attempt: Attempt, { text }: Refusal): StoreError {
  const error = parseApiError(text);
  if (error === undefined) return notGcs(attempt, "HTTP 404 without a JSON error");
  return fault(attempt, "STORE_MISCONFIGURED", `there is no bucket "${attempt.bucket}"`, {
    cause: new Error(`HTTP 404 ${presentable(error.message)}`),
    hint: `Correct the bucket in KONG_CLUSTER_FALLBACK_CONFIG_STORAGE, or create it: gcloud storage buckets create gs://${attempt.bucket}`,
  });
}

export function notGcs(attempt: Attempt, what: string): StoreError {
  return fault(
    attempt,
    "STORE_MISCONFIGURED",
    `${attempt.endpoint} does not answer as Cloud Storage does (${what})`,
    {
      hint: "Look for a proxy or captive portal in between; for an emulator, correct STORAGE_EMULATOR_HOST.",
    },
  );
}

/** The StoreError for an answer that is not 2xx, other than a 404, which the caller looks into. */
export function refused(attempt: Attempt, refusal: Refusal): StoreError {
  const { status } = refusal;
  const error = parseApiError(refusal.text);
  const answer = `HTTP ${status}${error === undefined ? "" : `: ${presentable(error.message)}`}`;
  const details = { cause: new Error(answer) };
  if (status === 412) {
    return fault(
      attempt,
      "STORE_PRECONDITION_FAILED",
      "the object is not of the expected generation",
      details,
    );
  }
  if (status === 429 || (status === 403 && /rateLimit|quota/i.test(error?.reason ?? ""))) {
    return fault(attempt, "STORE_UNAVAILABLE", `Cloud Storage throttles requests (${answer})`, {
      ...details,
      hint: "It is tried again later. One object takes about one write per second: look for other writers, or raise the export delay.",
    });
  }
  if (status === 408 || status >= 500) {
    return fault(attempt, "STORE_UNAVAILABLE", `Cloud Storage answered ${answer}`, {
      ...details,
      hint: "It is tried again later. If it lasts, see https://status.cloud.google.com.",
    });
  }
  if (error === undefined) return notGcs(attempt, `HTTP ${status} without a JSON error`);
  if (status === 401 || status === 403) {
    return fault(attempt, "STORE_DENIED", `Cloud Storage refused it (${answer})`, {
      ...details,
      hint: `Grant the account roles/storage.objectUser on gs://${attempt.bucket} (storage.objects.get, list, create, delete; an importer needs only roles/storage.objectViewer). Grants take some minutes.`,
    });
  }
  if (status === 400 && /crc32c/i.test(error.message)) {
    return fault(attempt, "STORE_UNAVAILABLE", "the body arrived damaged, and was refused", {
      ...details,
      hint: "It is sent again. If it lasts, look at the network or a proxy in between.",
    });
  }
  return fault(attempt, "STORE_MISCONFIGURED", `Cloud Storage answered ${answer}`, {
    ...details,
    hint: "Check bucket and prefix in KONG_CLUSTER_FALLBACK_CONFIG_STORAGE.",
  });
}

/** The StoreError for a request that got no whole answer. */
export function broken(attempt: Attempt, error: unknown): StoreError {
  const { code, reason } = describeFailure(error);
  const why = `the connection to ${attempt.endpoint} failed: ${reason}`;
  const cause = new Error(reason);
  const noHttp = error instanceof Error && error.name === "HTTPParserError";
  // OpenSSL's own words are longer than Node's code, and say less.
  if (noHttp || /^(EPROTO|ERR_SSL_)/.test(code)) return notGcs(attempt, noHttp ? reason : code);
  if (UNTRUSTED.test(code))
    return fault(attempt, "STORE_MISCONFIGURED", why, { cause, hint: CA_HINT });
  return fault(attempt, "STORE_UNAVAILABLE", why, {
    cause,
    hint: "It is tried again later. Check DNS, egress rules and, if set, HTTPS_PROXY or STORAGE_EMULATOR_HOST.",
  });
}

/** The StoreError for credentials that could not be found or turned into an access token. */
export function noToken(attempt: Attempt, error: unknown): StoreError {
  const { code, reason, status } = describeFailure(error);
  const why = `no access token: ${reason}`;
  const cause = new Error(reason);
  if (reason.includes("Could not load the default credentials")) {
    return fault(attempt, "STORE_DENIED", "no Google credentials were found", {
      cause,
      hint: "Set GCP_SERVICE_ACCOUNT to the JSON text of a service-account key, or GOOGLE_APPLICATION_CREDENTIALS to a credentials file, or run under a service account on Google Cloud (where the metadata server is slow to start: METADATA_SERVER_DETECTION=assume-present).",
    });
  }
  if (UNTRUSTED.test(code))
    return fault(attempt, "STORE_MISCONFIGURED", why, { cause, hint: CA_HINT });
  if (/short-lived token|reasonable timeframe|\biat\b/.test(reason)) {
    return fault(attempt, "STORE_MISCONFIGURED", why, {
      cause,
      hint: "This machine's clock is wrong: set it (NTP), then try again.",
    });
  }
  const network =
    status === undefined &&
    (reason.includes("network timeout at: ") ||
      (/^E[A-Z_]+$/.test(code) && !FILE_ERRORS.has(code)));
  if (network || status === 429 || (status !== undefined && status >= 500)) {
    return fault(attempt, "STORE_UNAVAILABLE", why, {
      cause,
      hint: "It is tried again later. Check the way to Google's token endpoint (www.googleapis.com, or the metadata server).",
    });
  }
  return fault(attempt, "STORE_DENIED", why, {
    cause,
    hint: reason.includes("invalid_grant")
      ? "The key was deleted or disabled, or its service account is gone: create a new key and set GCP_SERVICE_ACCOUNT or GOOGLE_APPLICATION_CREDENTIALS."
      : "Check GCP_SERVICE_ACCOUNT, the file named by GOOGLE_APPLICATION_CREDENTIALS, or the service account that this machine or pod runs as.",
  });
}

/** Node's codes for a certificate that does not convince. https://nodejs.org/api/tls.html#x509-certificate-error-codes */
const UNTRUSTED = /^(CERT_|DEPTH_|SELF_SIGNED|UNABLE_TO_|ERR_TLS_)/;

const CA_HINT = "If a proxy terminates TLS in between, name its CA in NODE_EXTRA_CA_CERTS.";

const FILE_ERRORS: ReadonlySet<string> = new Set(["ENOENT", "EACCES", "EISDIR", "EPERM"]);

interface Failure {
  /** Node's code, e.g. `ECONNREFUSED`; empty if there is none. */
  readonly code: string;
  readonly reason: string;
  /** Of the answer, if there was one. */
  readonly status: number | undefined;
}

/**
 * What is safe to keep of an error of the SDK. The error itself goes no further: it carries the
 * request, with its token and its body.
 */
function describeFailure(error: unknown): Failure {
  if (!(error instanceof Error)) return { code: "", reason: "unknown reason", status: undefined };
  const code = "code" in error && typeof error.code === "string" ? error.code : "";
  const status = "response" in error ? statusOf(error.response) : undefined;
  return { code, status, reason: reasonOf(error, code, status) };
}

function reasonOf(error: Error, code: string, status: number | undefined): string {
  // A JSON parser quotes what it could not read: here, a credentials file.
  if (error instanceof SyntaxError) return "the credentials are not JSON";
  if (/^\s*</.test(error.message)) return `HTTP ${status ?? "error"} with a web page`;
  // node-fetch; the reason is empty where all of several addresses failed.
  const said = /^request to .* failed, reason: (.*)$/s.exec(error.message)?.[1] ?? error.message;
  const text = presentable(said);
  if (text === "") return code || error.name;
  return text.includes(code) ? text : `${text} (${code})`;
}

function statusOf(response: unknown): number | undefined {
  if (typeof response !== "object" || response === null) return undefined;
  return "status" in response && typeof response.status === "number" ? response.status : undefined;
}

/** See `hearsay`; without the full stop. */
function presentable(text: string): string {
  return hearsay(text).replace(/\.$/, "");
}
