/** Which API server an exporter talks to, as whom, and in which namespace: a kubeconfig's, or that of the pod it runs in. */

import { readFile } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { KubeConfig } from "@kubernetes/client-node";
import { describeCause } from "../core/errors.ts";
import { formatHostPort, type HostPort } from "../core/host-port.ts";
import { ElectionError } from "./port.ts";

export interface KubernetesAccess {
  /** The value of KUBECONFIG: paths of files, the first's context counts. Absent: the pod's service account. */
  readonly kubeconfig?: string | undefined;
  /** KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT, which every pod has. Not needed with a kubeconfig. */
  readonly service?: HostPort | undefined;
  /** Absent: the pod's; with a kubeconfig its context's, else `default`. */
  readonly namespace?: string | undefined;
  /** Where the pod finds its service account; default SERVICE_ACCOUNT_DIRECTORY. */
  readonly serviceAccountDirectory?: string | undefined;
}

export interface Cluster {
  readonly config: KubeConfig;
  /** Base of the API's addresses, e.g. `https://10.0.0.1:443`. */
  readonly server: string;
  readonly namespace: string;
}

/** https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/ */
export const SERVICE_ACCOUNT_DIRECTORY = "/var/run/secrets/kubernetes.io/serviceaccount";

/** Opens no connection. Rejects with ELECTION_MISCONFIGURED where nothing usable says which server it is. */
export async function findCluster(access: KubernetesAccess): Promise<Cluster> {
  const { kubeconfig, service } = access;
  if (kubeconfig !== undefined && kubeconfig !== "") return fromKubeconfig(kubeconfig, access);
  if (service !== undefined) return fromPod(service, access);
  throw unusable(
    "no Kubernetes API server is known",
    "Run in a pod that has a service account, set KUBECONFIG, or set KONG_FALLBACK_ELECTION=store.",
  );
}

async function fromKubeconfig(paths: string, access: KubernetesAccess): Promise<Cluster> {
  const config = new KubeConfig();
  for (const [place, path] of paths.split(delimiter).filter(Boolean).entries()) {
    if (place === 0) loadFile(config, path);
    else {
      const other = new KubeConfig();
      loadFile(other, path);
      merge(config, other, path);
    }
  }
  const server = config.getCurrentCluster()?.server;
  if (server === undefined) {
    throw unusable(
      `${paths} names no cluster`,
      "Set its current-context: kubectl config use-context.",
    );
  }
  const context = config.getContextObject(config.getCurrentContext());
  return { config, server, namespace: access.namespace ?? context?.namespace ?? "default" };
}

async function fromPod(service: HostPort, access: KubernetesAccess): Promise<Cluster> {
  const directory = access.serviceAccountDirectory ?? SERVICE_ACCOUNT_DIRECTORY;
  const server = `https://${formatHostPort(service)}`;
  const config = new KubeConfig();
  const name = "pod";
  config.loadFromOptions({
    clusters: [{ name, server, caFile: join(directory, "ca.crt"), skipTLSVerify: false }],
    // It is read anew every minute: the kubelet renews it.
    users: [
      {
        name,
        authProvider: { name: "tokenFile", config: { tokenFile: join(directory, "token") } },
      },
    ],
    contexts: [{ name, cluster: name, user: name }],
    currentContext: name,
  });
  return { config, server, namespace: access.namespace ?? (await podNamespace(directory)) };
}

async function podNamespace(directory: string): Promise<string> {
  const path = join(directory, "namespace");
  try {
    return (await readFile(path, "utf8")).trim();
  } catch (cause) {
    throw unusable(
      `the pod's namespace is not known: could not read ${path}: ${describeCause(cause)}`,
      "Set KONG_FALLBACK_ELECTION_NAMESPACE, and let the pod have its service account's token (automountServiceAccountToken).",
      cause,
    );
  }
}

function loadFile(config: KubeConfig, path: string): void {
  try {
    config.loadFromFile(path);
  } catch (error) {
    const isSystemError = error instanceof Error && "syscall" in error;
    // What a parser says may quote the file, which holds keys.
    const why = isSystemError ? describeCause(error) : "it is no kubeconfig";
    throw unusable(`could not read ${path}: ${why}`, "Look at the file that KUBECONFIG names.");
  }
}

function merge(config: KubeConfig, other: KubeConfig, path: string): void {
  try {
    config.mergeConfig(other, Boolean(config.getCurrentContext()));
  } catch {
    // Its errors are all of this kind: "Duplicate cluster: kind".
    throw unusable(
      `could not read ${path}: a cluster, user or context in it has the name of one in a file before`,
      "Name one file in KUBECONFIG.",
    );
  }
}

function unusable(message: string, hint: string, cause?: unknown): ElectionError {
  return new ElectionError("ELECTION_MISCONFIGURED", message, { hint, cause });
}
