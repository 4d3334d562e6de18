/** One Lease of Kubernetes: what an exporter reads and writes in it, over the API, and what its refusals mean. */

import {
  ApiException,
  CoordinationV1Api,
  createConfiguration,
  ServerConfiguration,
  type V1Lease,
  V1MicroTime,
  type V1ObjectMeta,
} from "@kubernetes/client-node";
import { describeCause, type ErrorDetails } from "../core/errors.ts";
import { hearsay } from "../core/hearsay.ts";
import { CERTIFICATE_CODE, nodeCodeOf, SOCKET_CODE } from "../core/node-code.ts";
import type { Cluster } from "./kubernetes-access.ts";
import { boundedTtlMs, corrupt, MAX_TOKEN } from "./lease.ts";
import { ElectionError, type ElectionErrorCode } from "./port.ts";

/** A Lease as it was read or written. https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/lease-v1/ */
export interface KubernetesLease {
  /** Empty where nobody holds it: after a release, or if it was made by hand. */
  readonly holder: string;
  /** The highest that it knows of; 0 if none. */
  readonly token: number;
  /** How long the holder may go without renewing, milliseconds. */
  readonly ttlMs: number;
  /** Changes of the holder: grows with each acquisition, but starts anew with a new Lease. */
  readonly transitions: number;
  /** Its resourceVersion: opaque, another one after each write. */
  readonly version: string;
  /** URL of the store whose writer it tells; undefined where it does not say. */
  readonly store: string | undefined;
  /** As the server gave it: labels and owners are others' and stay. */
  readonly resource: V1Lease;
}

/** What a write changes. */
export interface LeaseDraft {
  readonly holder: string;
  readonly token: number;
  /** Positive, whole. */
  readonly ttlSeconds: number;
  readonly transitions: number;
  /** Absent: stays. */
  readonly acquiredAt?: Date;
  readonly renewedAt: Date;
  /** See KubernetesLease. */
  readonly store: string;
}

/** One Lease on one API server, which may not exist. No retry inside. */
export interface LeaseResource {
  /** For messages. */
  readonly name: string;
  /** Undefined if there is none. Rejects with ElectionError: ELECTION_CORRUPT for one without a usable token. */
  read(signal: AbortSignal): Promise<KubernetesLease | undefined>;
  /**
   * Replaces `over`, which is what was read or written last; undefined creates. Resolves with the
   * Lease as it lies there now, or with undefined, and has changed nothing, if it was another one
   * meanwhile. Any rejection leaves open whether the write happened.
   */
  write(
    draft: LeaseDraft,
    over: KubernetesLease | undefined,
    signal: AbortSignal,
  ): Promise<KubernetesLease | undefined>;
}

export class ApiLeaseResource implements LeaseResource {
  readonly name: string;
  readonly #cluster: Cluster;
  readonly #leaseName: string;

  constructor(cluster: Cluster, leaseName: string) {
    this.name = `Lease ${cluster.namespace}/${leaseName} at ${cluster.server}`;
    this.#cluster = cluster;
    this.#leaseName = leaseName;
  }

  async read(signal: AbortSignal): Promise<KubernetesLease | undefined> {
    const resource = await this.#request("read", [404], signal, (api) =>
      api.readNamespacedLease(this.#identity),
    );
    return resource && readResource(resource, this.name);
  }

  async write(
    draft: LeaseDraft,
    over: KubernetesLease | undefined,
    signal: AbortSignal,
  ): Promise<KubernetesLease | undefined> {
    const { name, namespace } = this.#identity;
    const body = writeResource(draft, over, { name, namespace });
    const resource =
      over === undefined
        ? await this.#request("create", [409], signal, (api) =>
            api.createNamespacedLease({ namespace, body }),
          )
        : // 404 where it was deleted: as good as replaced.
          await this.#request("replace", [404, 409], signal, (api) =>
            api.replaceNamespacedLease({ name, namespace, body }),
          );
    return resource && readResource(resource, this.name);
  }

  get #identity(): { readonly name: string; readonly namespace: string } {
    return { name: this.#leaseName, namespace: this.#cluster.namespace };
  }

  /** Undefined where the API server answers with one of the statuses `expected`. */
  async #request(
    verb: string,
    expected: readonly number[],
    signal: AbortSignal,
    run: (api: CoordinationV1Api) => Promise<V1Lease>,
  ): Promise<V1Lease | undefined> {
    const { config, server, namespace } = this.#cluster;
    let isSent = false;
    signal.throwIfAborted();
    // One for each request: it is the only way to hand in a signal. The connection is not kept either.
    const api = new CoordinationV1Api(
      createConfiguration({
        baseServer: new ServerConfiguration(server, {}),
        authMethods: { default: config },
        promiseMiddleware: [
          {
            pre: async (request) => {
              request.setSignal(signal);
              isSent = true;
              return request;
            },
            post: async (response) => response,
          },
        ],
      }),
    );
    try {
      return await run(api);
    } catch (error) {
      signal.throwIfAborted();
      const status = refusedWith(error);
      if (status !== undefined && expected.includes(status)) return undefined;
      throw kubernetesError(error, { what: `${verb} ${this.name}`, namespace, isSent });
    }
  }
}

/** `spec.leaseTransitions` cannot hold the token: it starts anew when the Lease is deleted. */
const TOKEN_ANNOTATION = "kong-fallback/fencing-token";

const STORE_ANNOTATION = "kong-fallback/store";

/** `spec.leaseTransitions` is an int32. */
const MAX_TRANSITIONS = 2 ** 31 - 1;

/** `name` is the Lease, for messages. Throws ElectionError. */
export function readResource(resource: V1Lease, name: string): KubernetesLease {
  const { metadata, spec } = resource;
  const version = metadata?.resourceVersion;
  if (typeof version !== "string" || version === "") {
    throw new ElectionError("ELECTION_MISCONFIGURED", `the answer for ${name} is no Lease`, {
      hint: "Look at the server's address: no Kubernetes API server answers there.",
    });
  }
  const transitions = wholeNumber(spec?.leaseTransitions);
  const seconds = wholeNumber(spec?.leaseDurationSeconds);
  return {
    holder: typeof spec?.holderIdentity === "string" ? spec.holderIdentity : "",
    token: Math.max(annotatedToken(metadata?.annotations?.[TOKEN_ANNOTATION], name), transitions),
    ttlMs: boundedTtlMs(seconds * 1_000),
    transitions,
    version,
    store: metadata?.annotations?.[STORE_ANNOTATION],
    resource,
  };
}

/** What to send for `draft`. With the uid and resourceVersion of `over`, a Lease made since is no more replaced than one changed since. */
export function writeResource(
  draft: LeaseDraft,
  over: KubernetesLease | undefined,
  identity: { readonly name: string; readonly namespace: string },
): V1Lease {
  const before: V1ObjectMeta = over?.resource.metadata ?? identity;
  // The server keeps account of them by itself.
  const { managedFields: _, ...metadata } = before;
  const annotations = {
    ...metadata.annotations,
    [TOKEN_ANNOTATION]: String(draft.token),
    [STORE_ANNOTATION]: draft.store,
  };
  return {
    apiVersion: "coordination.k8s.io/v1",
    kind: "Lease",
    metadata: { ...metadata, annotations },
    spec: {
      ...over?.resource.spec,
      holderIdentity: draft.holder,
      leaseDurationSeconds: draft.ttlSeconds,
      leaseTransitions: Math.min(draft.transitions, MAX_TRANSITIONS),
      ...(draft.acquiredAt && { acquireTime: new V1MicroTime(draft.acquiredAt) }),
      renewTime: new V1MicroTime(draft.renewedAt),
    },
  };
}

function annotatedToken(text: string | undefined, name: string): number {
  if (text === undefined) return 0;
  const token = /^[0-9]{1,15}$/.test(text) ? Number(text) : Number.NaN;
  if (token <= MAX_TOKEN) return token;
  throw corrupt(name, `its annotation ${TOKEN_ANNOTATION} is no token`);
}

function wholeNumber(value: unknown): number {
  return typeof value === "number" && Number.isSafeInteger(value) && value > 0 ? value : 0;
}

interface Attempt {
  /** What was tried, on what, at which server. */
  readonly what: string;
  readonly namespace: string;
  /** Whether the request was made: before, only the kubeconfig and what it names have a part in it. */
  readonly isSent: boolean;
}

interface Diagnosis extends ErrorDetails {
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
function kubernetesError(error: unknown, attempt: Attempt): ElectionError {
  if (error instanceof ElectionError) return error;
  const { code, why, ...details } =
    error instanceof ApiException
      ? diagnoseAnswer(error.code, readStatus(error.body), attempt)
      : diagnoseFailure(error, attempt);
  return new ElectionError(code, `could not ${attempt.what}: ${why}`, details);
}

/** The status with which the API server refused; undefined for whatever else went wrong, or whoever else answered. */
function refusedWith(error: unknown): number | undefined {
  if (!(error instanceof ApiException)) return undefined;
  return readStatus(error.body) === undefined ? undefined : error.code;
}

function diagnoseAnswer(
  httpStatus: number,
  status: Status | undefined,
  attempt: Attempt,
): Diagnosis {
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
function diagnoseFailure(error: unknown, { isSent }: Attempt): Diagnosis {
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

function denied(why: string, hint: string, cause?: unknown): Diagnosis {
  return { code: "ELECTION_DENIED", why, hint, cause };
}

function misconfigured(why: string, hint: string, cause?: unknown): Diagnosis {
  return { code: "ELECTION_MISCONFIGURED", why, hint, cause };
}

function unavailable(why: string): Diagnosis {
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
