/** The manifests in deploy/kubernetes, checked against the code they start. */

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Registry } from "prom-client";
import { describe, it } from "vitest";
import { parseAllDocuments } from "yaml";
import { formatHostPort } from "../src/core/host-port.ts";
import { leaseName } from "../src/election/kubernetes.ts";
import { SETTINGS } from "../src/runtime/settings/table.ts";
import { readSettings, type Settings } from "../src/runtime/settings.ts";
import { startStatusServer } from "../src/runtime/status-server.ts";

const DIRECTORY = fileURLToPath(new URL("../deploy/kubernetes/", import.meta.url));

/** For the exporters of exporter.yaml. */
const RIGHTS = "exporter-rbac.yaml";

/** Of Kong's own: kong.conf.default of 3.9.1 has them all. */
const DATA_PLANE_SETTINGS = [
  "KONG_ROLE",
  "KONG_DATABASE",
  "KONG_CLUSTER_CONTROL_PLANE",
  "KONG_CLUSTER_CERT",
  "KONG_CLUSTER_CERT_KEY",
  "KONG_STATUS_LISTEN",
];

interface Probe {
  readonly httpGet: { readonly path: string; readonly port: string };
}

interface Container {
  readonly name: string;
  readonly image: string;
  readonly args?: readonly string[];
  readonly restartPolicy?: string;
  readonly env: readonly { readonly name: string; readonly value: string }[];
  readonly ports: readonly { readonly name: string; readonly containerPort: number }[];
  readonly startupProbe?: Probe;
  readonly readinessProbe?: Probe;
  readonly livenessProbe?: Probe;
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[];
}

interface PodSpec {
  readonly enableServiceLinks?: boolean;
  readonly serviceAccountName: string;
  readonly initContainers?: readonly Container[];
  readonly containers: readonly Container[];
  readonly volumes: readonly { readonly name: string }[];
}

interface Manifest {
  readonly kind: string;
  readonly rules?: readonly { readonly resourceNames?: readonly string[] }[];
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly spec: {
    readonly replicas?: number;
    readonly template?: { readonly spec: PodSpec };
    readonly volumeClaimTemplates?: readonly { readonly metadata: { readonly name: string } }[];
    readonly ports?: readonly { readonly port: number; readonly targetPort: string }[];
  };
}

function manifests(file: string): readonly Manifest[] {
  return parseAllDocuments(readFileSync(`${DIRECTORY}${file}`, "utf8")).map((document) => {
    assert.deepEqual([...document.errors, ...document.warnings], []);
    return document.toJS() as Manifest;
  });
}

function workload(file: string): { readonly manifest: Manifest; readonly pod: PodSpec } {
  for (const manifest of manifests(file)) {
    const pod = manifest.spec.template?.spec;
    if (pod) return { manifest, pod };
  }
  return assert.fail(`${file} starts nothing`);
}

function environmentOf({ env }: Container): Readonly<Record<string, string>> {
  return Object.fromEntries(env.map(({ name, value }) => [name, value]));
}

function only<T>(items: readonly T[] = []): T {
  const [item, another] = items;
  assert.ok(item !== undefined && another === undefined);
  return item;
}

/** The one container of ours, with the settings it reads. */
function ourContainerIn(file: string): {
  readonly container: Container;
  readonly settings: Settings;
} {
  const { pod } = workload(file);
  const container = only(
    [...(pod.initContainers ?? []), ...pod.containers].filter(
      ({ image }) => image === "kong-fallback",
    ),
  );
  return { container, settings: readSettings(environmentOf(container)) };
}

/** What starts something; the exporters' rights have a test of their own. */
const FILES = readdirSync(DIRECTORY).filter((file) => file !== RIGHTS);

describe.each(FILES)("deploy/kubernetes/%s", (file) => {
  it("gives its command settings that are known, and all it asks for", () => {
    const { container, settings } = ourContainerIn(file);
    assert.deepEqual(container.args, [file.startsWith("exporter") ? "export" : "serve"]);
    for (const { name } of container.env) assert.ok(name in SETTINGS, name);
    assert.ok(settings.controlPlane && settings.clusterCert && settings.clusterCertKey);
    assert.equal(settings.storages.length, 1);
    assert.equal(settings.kongVersions.length, 1);
  });

  it("is not given the addresses of Services, which look like settings", () => {
    assert.equal(workload(file).pod.enableServiceLinks, false);
  });

  it("probes paths that are answered, on the port where they are", async () => {
    const { container, settings } = ourContainerIn(file);
    await using server = await startStatusServer({
      listen: { host: "127.0.0.1", port: 0 },
      registry: new Registry(),
      notReady: () => undefined,
    });
    const probes = [container.startupProbe, container.readinessProbe, container.livenessProbe];
    const present = probes.filter((probe) => probe !== undefined);
    assert.ok(present.length > 0);
    for (const { httpGet } of present) {
      const port = container.ports.find(({ name }) => name === httpGet.port)?.containerPort;
      assert.deepEqual(settings.statusListen, { host: "0.0.0.0", port });
      const response = await fetch(`http://127.0.0.1:${server.port}${httpGet.path}`);
      assert.equal(response.status, 200, httpGet.path);
    }
  });

  it("mounts only volumes that exist, the certificates and the state of serve among them", () => {
    const { manifest, pod } = workload(file);
    const { container, settings } = ourContainerIn(file);
    const volumes = [
      ...pod.volumes.map(({ name }) => name),
      ...(manifest.spec.volumeClaimTemplates ?? []).map(({ metadata }) => metadata.name),
    ];
    for (const { volumeMounts } of [...(pod.initContainers ?? []), ...pod.containers]) {
      for (const { name } of volumeMounts) assert.ok(volumes.includes(name), name);
    }
    const paths = container.volumeMounts.map(({ mountPath }) => mountPath);
    const isServe = container.args?.join() === "serve";
    // The exporter's would hold its node id only, which the pod's name gives it, too.
    assert.equal(paths.includes(settings.stateDir ?? "none"), isServe);
    assert.ok(paths.some((path) => settings.clusterCert?.startsWith(`${path}/`)));
  });
});

describe("deploy/kubernetes/sidecar.yaml", () => {
  const { container, settings } = ourContainerIn("sidecar.yaml");
  const kong = only(workload("sidecar.yaml").pod.containers);

  it("starts serve before Kong, and does not make the pod's readiness depend on it", () => {
    assert.equal(container.restartPolicy, "Always");
    assert.ok(container.startupProbe);
    assert.equal(container.readinessProbe, undefined);
  });

  it("has a Kong of the version in KONG_VERSION that connects to serve on loopback, with its certificate", () => {
    const environment = environmentOf(kong);
    for (const name of Object.keys(environment)) {
      assert.ok(DATA_PLANE_SETTINGS.includes(name), name);
    }
    assert.equal(kong.image, `kong:${settings.kongVersions.join()}`);
    assert.equal(environment["KONG_CLUSTER_CONTROL_PLANE"], formatHostPort(settings.listen));
    assert.equal(settings.listen.host, "127.0.0.1");
    assert.equal(environment["KONG_CLUSTER_CERT"], settings.clusterCert);
    assert.equal(environment["KONG_CLUSTER_CERT_KEY"], settings.clusterCertKey?.reveal());
  });
});

describe("deploy/kubernetes/shared.yaml", () => {
  it("is reached by its service, on the port where serve takes data planes", () => {
    const { container, settings } = ourContainerIn("shared.yaml");
    const service = only(manifests("shared.yaml").filter(({ kind }) => kind === "Service"));
    const { port, targetPort } = only(service.spec.ports);
    const named = container.ports.find(({ name }) => name === targetPort);
    assert.equal(named?.containerPort, settings.listen.port);
    assert.equal(settings.listen.host, "0.0.0.0");
    const text = readFileSync(`${DIRECTORY}shared.yaml`, "utf8");
    assert.ok(text.includes(`KONG_CLUSTER_CONTROL_PLANE=${service.metadata.name}:${port}.`));
  });
});

describe("deploy/kubernetes/exporter.yaml", () => {
  const { manifest, pod } = workload("exporter.yaml");
  const { settings } = ourContainerIn("exporter.yaml");
  const ofKind = (wanted: string) => only(manifests(RIGHTS).filter(({ kind }) => kind === wanted));

  it("runs several exporters that elect one, as the service account with the rights for it", () => {
    assert.equal(manifest.spec.replicas, 2);
    assert.equal(settings.election, "kubernetes");
    const account = ofKind("ServiceAccount").metadata;
    assert.deepEqual(account, {
      name: pod.serviceAccountName,
      namespace: manifest.metadata.namespace,
    });
    for (const { metadata } of manifests(RIGHTS)) {
      assert.equal(metadata.namespace, manifest.metadata.namespace);
    }
  });

  it("has the Leases that its rights name", () => {
    const { rules = [] } = ofKind("Role");
    const named = rules.flatMap(({ resourceNames = [] }) => resourceNames);
    const used = settings.kongVersions.map((version) => leaseName(settings.electionId, version));
    assert.deepEqual(named, used);
  });
});
