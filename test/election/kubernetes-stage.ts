/** A real kube-apiserver with exporters that take part as a pod does, each in the namespace of its rights. */

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { KubernetesElection } from "../../src/election/kubernetes.ts";
import { findCluster } from "../../src/election/kubernetes-access.ts";
import type { LeaseDraft, LeaseResource } from "../../src/election/kubernetes-lease.ts";
import { ApiLeaseResource } from "../../src/election/kubernetes-lease.ts";
import { systemClock } from "../../src/runtime/clock.ts";
import { type CertificateAuthority, certificateAuthority } from "../fakes/certificates.ts";
import { RecordingLog } from "../fakes/recording-log.ts";
import {
  type KubeApiserver,
  type KubeUser,
  startKubeApiserver,
} from "../servers/kube-apiserver.ts";
import { KubeClient } from "./kubernetes-client.ts";
import { LEASE_NAME } from "./kubernetes-world.ts";

/** Long enough for a machine under load to renew in time, mostly; nothing here depends on it. */
const TTL_MS = 2_000;

export class KubernetesStage implements AsyncDisposable {
  readonly server: KubeApiserver;
  /** Of the server's certificate, and of the clients' that it knows. */
  readonly authority: CertificateAuthority;
  readonly admin: KubeClient;
  readonly #directory: string;

  private constructor(server: KubeApiserver, authority: CertificateAuthority, directory: string) {
    this.server = server;
    this.authority = authority;
    this.admin = new KubeClient(server.endpoint, authority.cert, server.admin);
    this.#directory = directory;
  }

  /** The server knows the service account of exporters in each of these namespaces, which do not exist yet. */
  static async open(namespaces: readonly string[]): Promise<KubernetesStage> {
    const directory = await mkdtemp(join(tmpdir(), "kubernetes-stage-"));
    const authority = await certificateAuthority();
    const { cert, key } = await authority.issue("127.0.0.1");
    const tls = { cert, key: key.reveal() };
    const server = await startKubeApiserver({
      users: namespaces.map(serviceAccount),
      tls,
      clientCa: authority.cert,
    });
    return new KubernetesStage(server, authority, directory);
  }

  /** Makes the namespace with the documented Role but for the verb `without`, and waits until it is in force. */
  async prepare(namespace: string, without?: string): Promise<void> {
    await this.admin.applyRole(namespace, without);
    const exporter = new KubeClient(
      this.server.endpoint,
      this.authority.cert,
      serviceAccount(namespace),
    );
    for (const verb of ["get", "create", "update"].filter((it) => it !== without)) {
      await exporter.untilAllowed(verb, namespace, verb === "create" ? undefined : LEASE_NAME);
    }
  }

  /** Somebody who takes part with what a pod in that namespace has. */
  async contender(namespace: string) {
    const log = new RecordingLog();
    const resource = new CuttableResource(await this.podResource(namespace, LEASE_NAME));
    const election = new KubernetesElection({
      resource,
      store: "memory://test",
      exporter: { id: "exporter", hostname: "host" },
      ttlMs: TTL_MS,
      floor: async () => 0,
      clock: systemClock,
      random: Math.random,
      log,
    });
    return { resource, log, election };
  }

  async podResource(namespace: string, leaseName: string): Promise<ApiLeaseResource> {
    const serviceAccountDirectory = await mkdtemp(join(this.#directory, "pod-"));
    await writeFile(join(serviceAccountDirectory, "ca.crt"), this.authority.cert);
    await writeFile(join(serviceAccountDirectory, "token"), serviceAccount(namespace).token);
    await writeFile(join(serviceAccountDirectory, "namespace"), namespace);
    const { hostname, port } = new URL(this.server.endpoint);
    const service = { host: hostname, port: Number(port) };
    return new ApiLeaseResource(await findCluster({ service, serviceAccountDirectory }), leaseName);
  }

  /** As the user of a kubeconfig that trusts the authority `ca`. */
  async kubeconfigResource(
    ca: string,
    user: object,
    namespace = "kong",
  ): Promise<ApiLeaseResource> {
    const kubeconfig = await this.kubeconfig(ca, user, namespace);
    return new ApiLeaseResource(await findCluster({ kubeconfig }), LEASE_NAME);
  }

  /** Its path. */
  async kubeconfig(ca: string, user: object, namespace: string): Promise<string> {
    const path = join(await mkdtemp(join(this.#directory, "kubeconfig-")), "config");
    const { endpoint: server } = this.server;
    const cluster = { server, "certificate-authority-data": base64(ca) };
    const config = {
      clusters: [{ name: "test", cluster }],
      users: [{ name: "test", user }],
      contexts: [{ name: "test", context: { cluster: "test", user: "test", namespace } }],
      "current-context": "test",
    };
    await writeFile(path, JSON.stringify(config));
    return path;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server.stop();
    await rm(this.#directory, { recursive: true });
  }
}

/** A way to a Lease that can be cut: from then on nothing is answered, and nothing has an effect. */
export class CuttableResource implements LeaseResource {
  readonly #resource: LeaseResource;
  isCut = false;

  constructor(resource: LeaseResource) {
    this.#resource = resource;
  }

  get name(): string {
    return this.#resource.name;
  }

  read(...args: Parameters<LeaseResource["read"]>): ReturnType<LeaseResource["read"]> {
    return this.isCut ? new Promise(() => {}) : this.#resource.read(...args);
  }

  write(...args: Parameters<LeaseResource["write"]>): ReturnType<LeaseResource["write"]> {
    return this.isCut ? new Promise(() => {}) : this.#resource.write(...args);
  }
}

/** Of somebody, for two seconds. */
export function leaseDraft(token: number): LeaseDraft {
  const at = new Date("2026-11-21T12:00:00.123Z");
  const times = { acquiredAt: at, renewedAt: at };
  return {
    holder: "somebody",
    token,
    ttlSeconds: 2,
    transitions: 1,
    store: "memory://test",
    ...times,
  };
}

export function base64(text: string): string {
  return Buffer.from(text).toString("base64");
}

function serviceAccount(namespace: string): KubeUser {
  const name = `system:serviceaccount:${namespace}:kong-fallback-exporter`;
  return { name, token: `token-of-${namespace}` };
}
