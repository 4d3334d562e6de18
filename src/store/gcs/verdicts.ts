/** What Cloud Storage and the way to it can answer, and what it means for the attempt that got it. https://cloud.google.com/storage/docs/json_api/v1/status-codes */

import { hearsay } from "../../core/hearsay.ts";
import { CERTIFICATE_CODE } from "../../core/node-code.ts";
import { StoreError } from "../port.ts";
import type { Service, StoreAttempt, Verdict } from "../verdict.ts";
import {
  bodyRefused,
  caHint,
  denied,
  fault,
  misconfigured,
  outrun,
  unavailable,
  verdictOnFailure,
} from "../verdict.ts";
import { parseApiError } from "./resources.ts";

const GOOGLE: Service = {
  name: "Cloud Storage",
  endpointHint:
    "Look for a proxy (HTTPS_PROXY) or captive portal in between; for an emulator, correct STORAGE_EMULATOR_HOST.",
  caVariable: "NODE_EXTRA_CA_CERTS",
};

/** An answer other than 2xx. */
export interface Refused {
  readonly status: number;
  /** The body, or its beginning. */
  readonly text: string;
}

/** True if a 404 says that the bucket is missing, false if it says that the object is, undefined if it does not say. */
export function saysBucketMissing({ text }: Refused): boolean | undefined {
  const message = parseApiError(text)?.message ?? "";
  if (/bucket (does not exist|not found)/i.test(message)) return true;
  return message.startsWith("No such object") ? false : undefined;
}

/** The StoreError for a 404 that is about the bucket. */
export function bucketMissing({ text }: Refused, attempt: StoreAttempt): StoreError {
  const error = parseApiError(text);
  if (error === undefined) return notGcs("HTTP 404 without a JSON error", attempt);
  const verdict = misconfigured(
    `there is no bucket "${attempt.bucket}"`,
    `Correct the bucket in KONG_CLUSTER_FALLBACK_CONFIG_STORAGE, or create it: gcloud storage buckets create gs://${attempt.bucket}`,
  );
  return fault(attempt, verdict, { cause: new Error(`HTTP 404 ${presentable(error.message)}`) });
}

/** The peer answers, but not as Cloud Storage does. */
export function notGcs(what: string, attempt: StoreAttempt): StoreError {
  const why = `no Cloud Storage answers there (${what})`;
  return fault(attempt, misconfigured(why, GOOGLE.endpointHint));
}

/** The StoreError for an answer that is not 2xx, other than a 404, which the caller looks into. */
export function refused(answer: Refused, attempt: StoreAttempt): StoreError {
  const error = parseApiError(answer.text);
  const said = `HTTP ${answer.status}${error === undefined ? "" : `: ${presentable(error.message)}`}`;
  return fault(attempt, verdictOn(answer, said, attempt), { cause: new Error(said) });
}

/** `said`: the answer, for messages. */
function verdictOn({ status, text }: Refused, said: string, attempt: StoreAttempt): Verdict {
  const error = parseApiError(text);
  if (status === 412) return outrun(attempt);
  if (status === 429 || (status === 403 && /rateLimit|quota/i.test(error?.reason ?? ""))) {
    return unavailable(
      `Cloud Storage throttles requests (${said})`,
      "It is tried again later. One object takes about one write per second: look for other writers, or raise the export delay.",
    );
  }
  if (status === 408 || status >= 500) {
    return unavailable(
      `Cloud Storage answered ${said}`,
      "It is tried again later. If it lasts, see https://status.cloud.google.com.",
    );
  }
  if (status === 413) return bodyRefused();
  if (error === undefined) {
    return misconfigured(
      `no Cloud Storage answers there (${said} without a JSON error)`,
      GOOGLE.endpointHint,
    );
  }
  if (status === 401 || status === 403) {
    return denied(
      `Cloud Storage refused it (${said})`,
      `Grant the account roles/storage.objectUser on gs://${attempt.bucket} (storage.objects.get, list, create, delete; an importer needs only roles/storage.objectViewer). Grants take some minutes.`,
    );
  }
  if (status === 400 && /crc32c/i.test(error.message)) {
    return unavailable(
      "the body arrived damaged, and was refused",
      "It is sent again. If it lasts, look at the network or a proxy in between.",
    );
  }
  return misconfigured(
    `Cloud Storage answered ${said}`,
    "Check bucket and prefix in KONG_CLUSTER_FALLBACK_CONFIG_STORAGE.",
  );
}

/** The error of an attempt that got no whole answer; a StoreError is given back as it is. */
export function gcsError(error: unknown, attempt: StoreAttempt): StoreError {
  if (error instanceof StoreError) return error;
  const { reason } = describeFailure(error);
  // Undici's word for an answer that is no HTTP has no code.
  if (error instanceof Error && error.name === "HTTPParserError") return notGcs(reason, attempt);
  const { why, ...verdict } = verdictOnFailure(error, GOOGLE);
  const cause = new Error(reason);
  return fault(attempt, { ...verdict, why: `${why} (${reason})` }, { cause });
}

/** The StoreError for credentials that could not be found or turned into an access token. */
export function noToken(error: unknown, attempt: StoreAttempt): StoreError {
  const failure = describeFailure(error);
  return fault(attempt, verdictOnToken(failure), { cause: new Error(failure.reason) });
}

function verdictOnToken({ code, reason, status }: Failure): Verdict {
  const why = `no access token: ${reason}`;
  if (reason.includes("Could not load the default credentials")) {
    return denied(
      "no Google credentials were found",
      "Set GCP_SERVICE_ACCOUNT to the JSON text of a service-account key, or GOOGLE_APPLICATION_CREDENTIALS to a credentials file, or run under a service account on Google Cloud (where the metadata server is slow to start: METADATA_SERVER_DETECTION=assume-present).",
    );
  }
  if (CERTIFICATE_CODE.test(code)) return misconfigured(why, caHint(GOOGLE));
  if (/short-lived token|reasonable timeframe|\biat\b/.test(reason)) {
    return misconfigured(why, "This machine's clock is wrong: set it (NTP), then try again.");
  }
  const isNetwork =
    status === undefined &&
    (reason.includes("network timeout at: ") ||
      (/^E[A-Z_]+$/.test(code) && !FILE_ERRORS.has(code)));
  if (isNetwork || status === 429 || (status !== undefined && status >= 500)) {
    return unavailable(
      why,
      "It is tried again later. Check the way to Google's token endpoint (www.googleapis.com, or the metadata server).",
    );
  }
  return denied(
    why,
    reason.includes("invalid_grant")
      ? "The key was deleted or disabled, or its service account is gone: create a new key and set GCP_SERVICE_ACCOUNT or GOOGLE_APPLICATION_CREDENTIALS."
      : "Check GCP_SERVICE_ACCOUNT, the file named by GOOGLE_APPLICATION_CREDENTIALS, or the service account that this machine or pod runs as.",
  );
}

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
