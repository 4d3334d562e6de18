/** Reads and writes one Lease over the API of Kubernetes. https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/lease-v1/ */

import {
  CoordinationV1Api,
  createConfiguration,
  ServerConfiguration,
  type V1Lease,
} from "@kubernetes/client-node";
import type { Cluster } from "./kubernetes-access.ts";
import { kubernetesError, refusedWith } from "./kubernetes-errors.ts";
import {
  type KubernetesLease,
  type LeaseDraft,
  type LeaseResource,
  readResource,
  writeResource,
} from "./kubernetes-lease.ts";

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
