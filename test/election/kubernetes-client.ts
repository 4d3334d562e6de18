/** Requests by hand to a real kube-apiserver: what an administrator does, and the documented Role. */

import { readFileSync } from "node:fs";
import { request } from "node:https";
import { text } from "node:stream/consumers";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseAllDocuments } from "yaml";
import type { KubeUser } from "../servers/kube-apiserver.ts";

export const LEASES = "/apis/coordination.k8s.io/v1/namespaces/kong/leases";

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string; namespace: string };
  rules?: { readonly verbs: string[]; readonly resourceNames?: readonly string[] }[];
  readonly subjects?: { namespace: string }[];
}

/** Requests by hand to an API server whose certificate is checked against `ca`. */
export class KubeClient {
  readonly #endpoint: string;
  readonly #ca: string;
  readonly #user: KubeUser;

  constructor(endpoint: string, ca: string, user: KubeUser) {
    this.#endpoint = endpoint;
    this.#ca = ca;
    this.#user = user;
  }

  /** Resolves with what was answered; rejects where that is no success. */
  async ask<T>(method: string, path: string, body?: object): Promise<T> {
    const headers = {
      Authorization: `Bearer ${this.#user.token}`,
      "Content-Type": "application/json",
    };
    const options = { method, headers, ca: this.#ca, agent: false };
    const answer = await new Promise<{ readonly status: number; readonly body: string }>(
      (resolve, reject) => {
        const asked = request(`${this.#endpoint}${path}`, options, (response) => {
          const status = Number(response.statusCode);
          text(response).then((said) => resolve({ status, body: said }), reject);
        });
        asked.on("error", reject);
        asked.end(body === undefined ? undefined : JSON.stringify(body));
      },
    );
    if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${answer.body}`);
    return JSON.parse(answer.body) as T;
  }

  /** Applies deploy/kubernetes/exporter-rbac.yaml to a new namespace, without the verb `without`. */
  async applyRole(namespace: string, without?: string): Promise<void> {
    await this.ask("POST", "/api/v1/namespaces", { metadata: { name: namespace } });
    for (const manifest of readManifests()) {
      manifest.metadata.namespace = namespace;
      for (const subject of manifest.subjects ?? []) subject.namespace = namespace;
      if (manifest.rules !== undefined) {
        manifest.rules = manifest.rules
          .map((rule) => ({ ...rule, verbs: rule.verbs.filter((verb) => verb !== without) }))
          .filter(({ verbs }) => verbs.length > 0);
      }
      const group =
        manifest.kind === "ServiceAccount" ? "/api/v1" : "/apis/rbac.authorization.k8s.io/v1";
      const kind = `${manifest.kind.toLowerCase()}s`;
      await this.ask("POST", `${group}/namespaces/${namespace}/${kind}`, manifest);
    }
  }

  /** Waits until the user may do this: the API server learns of new roles a moment after they were made. */
  async untilAllowed(verb: string, namespace: string, name?: string): Promise<void> {
    const resourceAttributes = {
      verb,
      namespace,
      name,
      group: "coordination.k8s.io",
      resource: "leases",
    };
    for (;;) {
      const { status } = await this.ask<{ readonly status: { readonly allowed: boolean } }>(
        "POST",
        "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
        { spec: { resourceAttributes } },
      );
      if (status.allowed) return;
      await delay(20);
    }
  }
}

function readManifests(): readonly Manifest[] {
  const url = new URL("../../deploy/kubernetes/exporter-rbac.yaml", import.meta.url);
  const documents = parseAllDocuments(readFileSync(fileURLToPath(url), "utf8"));
  return documents.map((document) => document.toJS() as Manifest);
}
