/** A failed request to the API server as an ElectionError: what was tried, on what, why it failed, what to do. */

import { ApiException } from "@kubernetes/client-node";
import { describeCause, type ErrorDetails } from "../core/errors.ts";
import { hearsay } from "../core/hearsay.ts";
import { CERTIFICATE_CODE, nodeCodeOf, SOCKET_CODE } from "../core/node-code.ts";
import { ElectionError, type ElectionErrorCode } from "./port.ts";

export interface Attempt {
  /** What was tried, on what, at which server. */
  readonly what: string;
  readonly namespace: string;
  /** Whether the request was made: before, only the kubeconfig and what it names have a part in it. */
  readonly isSent: boolean;
}

interface Verdict extends ErrorDetails {
  readonly code: ElectionErrorCode;
  readonly why: string;
}

/** What the API server says of its refusals. https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/ */
interface Status {
  /** For people: one line, without what it quotes. */
  readonly message: string;
}

const ADDRESS_HINT =
  "Look at the server's address: in a pod KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT, else in the file that KUBECONFIG names.";

/**
 * The error of an attempt. Neither message nor cause holds what the client keeps on its exceptions
 * (headers, bodies), nor what the commands and files of a kubeconfig gave: tokens.
 */
export function kubernetesError(error: unknown, attempt: Attempt): ElectionError {
  if (error instanceof ElectionError) return error;
  const { code, why, ...details } =
    error instanceof ApiException
      ? judgeAnswer(error.code, readStatus(error.body), attempt)
      : judgeFailure(error, attempt);
  return new ElectionError(code, `could not ${attempt.what}: ${why}`, details);
}

/** The status with which the API server refused; undefined for whatever else went wrong, or whoever else answered. */
export function refusedWith(error: unknown): number | undefined {
  if (!(error instanceof ApiException)) return undefined;
  return readStatus(error.body) === undefined ? undefined : error.code;
}

function judgeAnswer(httpStatus: number, status: Status | undefined, attempt: Attempt): Verdict {
  const { namespace } = attempt;
  const said = `${httpStatus}${status === undefined || status.message === "" ? "" : `, ${status.message}`}`;
  if (httpStatus === 401) {
    return denied(
      `the API server does not accept the credentials (${said})`,
      "Look at the token or the client certificate: in a pod the service account's, else those in the file that KUBECONFIG names.",
    );
  }
  if (httpStatus === 403) {
    return denied(
      `the API server does not allow it (${said})`,
      `Give the exporter's service account a Role in namespace ${namespace} with apiGroups [coordination.k8s.io], resources [leases], verbs [get, create, update]: deploy/kubernetes/exporter-rbac.yaml.`,
    );
  }
  if (httpStatus === 429 || httpStatus === 408 || httpStatus >= 500) {
    return unavailable(`the API server cannot answer now (${said})`);
  }
  if (status === undefined) {
    return misconfigured(`no Kubernetes API server answers there (${said})`, ADDRESS_HINT);
  }
  if (httpStatus === 404) {
    return misconfigured(
      `there is no namespace ${namespace} (${said})`,
      "Set KONG_FALLBACK_ELECTION_NAMESPACE to one that exists.",
    );
  }
  return denied(
    `the API server refuses it (${said})`,
    "Look at KONG_FALLBACK_ELECTION_ID, KONG_FALLBACK_ELECTION_NAMESPACE and the cluster's admission rules.",
  );
}

/** No answer came, or none that could be read. */
function judgeFailure(error: unknown, { isSent }: Attempt): Verdict {
  const code = nodeCodeOf(error);
  if (!isSent) {
    // The text of other errors may quote what a file or a command gave.
    const why = code === "" ? "" : ` (${describeCause(error)})`;
    return denied(
      `the credentials could not be obtained${why}`,
      "Look at what the kubeconfig or the pod names: certificate and token files, commands. kubectl with the same kubeconfig says more.",
    );
  }
  if (code === "") return misconfigured("no Kubernetes API server answers there", ADDRESS_HINT);
  const said = reasonOf(error);
  if (code === "EPROTO" || code.startsWith("ERR_SSL_") || code.startsWith("HPE_")) {
    return misconfigured(`no Kubernetes API server answers there (${said})`, ADDRESS_HINT, error);
  }
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") {
    return misconfigured(
      `the server's certificate is for another host (${said})`,
      ADDRESS_HINT,
      error,
    );
  }
  if (CERTIFICATE_CODE.test(code) || code.startsWith("ERR_OSSL_")) {
    return denied(
      `a certificate is of no use (${said})`,
      "Look at the certificate authority and the client certificate: in a pod ca.crt of the service account, else those in the file that KUBECONFIG names.",
      error,
    );
  }
  if (SOCKET_CODE.test(code)) {
    const hint = `${ADDRESS_HINT} Then look at DNS, network policy and the server itself.`;
    return { ...unavailable(`the server cannot be reached (${said})`), hint, cause: error };
  }
  return unavailable(`the request failed unexpectedly (${code})`);
}

function denied(why: string, hint: string, cause?: unknown): Verdict {
  return { code: "ELECTION_DENIED", why, hint, cause };
}

function misconfigured(why: string, hint: string, cause?: unknown): Verdict {
  return { code: "ELECTION_MISCONFIGURED", why, hint, cause };
}

function unavailable(why: string): Verdict {
  return { code: "ELECTION_UNAVAILABLE", why };
}

/** Undefined if `body` is not of the API server. */
function readStatus(body: unknown): Status | undefined {
  let value = body;
  if (typeof body === "string") {
    try {
      value = JSON.parse(body);
    } catch {
      // Of some proxy.
      return undefined;
    }
  }
  if (typeof value !== "object" || value === null) return undefined;
  const { kind, message }: Readonly<Record<string, unknown>> = { ...value };
  if (kind !== "Status") return undefined;
  const text = typeof message === "string" ? message : "";
  return { message: hearsay(text) };
}

/** Without the address, which the attempt names. node-fetch@2.7.0 lib/index.js */
function reasonOf(error: unknown): string {
  return describeCause(error).replace(/^request to \S+ failed, reason: /, "");
}
