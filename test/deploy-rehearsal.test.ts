/** The rehearsal Kongs in the examples, checked against the settings of the exporters they stand beside. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "vitest";
import { parse, parseAllDocuments } from "yaml";
import { readSettings } from "../src/runtime/settings.ts";

type Environment = Readonly<Record<string, string>>;

function read(path: string): string {
  return readFileSync(new URL(`../${path}`, import.meta.url), "utf8");
}

/** Whether the exporter asks where Kong answers, which is known as `host`. Returns where Kong listens. */
function assertRehearses(
  exporter: Environment,
  kong: Environment,
  image: string,
  host: string,
): readonly string[] {
  const { rehearsal, kongVersions } = readSettings(exporter);
  const [version, another] = kongVersions;
  assert.ok(version !== undefined && another === undefined);
  assert.equal(image, `kong:${version}`);
  assert.equal(rehearsal.mode, "required");
  const at = (name: string) => `http://${host}:${kong[name]?.split(":")[1]}`;
  assert.equal(rehearsal.urls.get(version), at("KONG_ADMIN_LISTEN"));
  assert.equal(rehearsal.statusUrls.get(version), at("KONG_STATUS_LISTEN"));
  assert.equal(kong["KONG_DATABASE"], "off");
  const listens = Object.entries(kong).filter(([name]) => name.endsWith("_LISTEN"));
  assert.equal(listens.length, 3);
  return listens.map(([, value]) => value);
}

describe("the rehearsal Kong of deploy/kubernetes/exporter.yaml", () => {
  it("is of the exporter's version, answers only in its pod, and is stopped after the exporter", () => {
    const workload = parseAllDocuments(read("deploy/kubernetes/exporter.yaml"))
      .map((document) => document.toJS())
      .find(({ kind }) => kind === "Deployment") as {
      readonly spec: {
        readonly template: {
          readonly spec: { readonly initContainers: Containers; readonly containers: Containers };
        };
      };
    };
    const { initContainers, containers } = workload.spec.template.spec;
    const exporter = containers.find(({ name }) => name === "kong-fallback");
    const kong = initContainers.find(({ name }) => name === "rehearsal");
    assert.ok(exporter && kong);
    assert.equal(kong.restartPolicy, "Always");
    const [ours, its] = [environmentOf(exporter), environmentOf(kong)];
    for (const listen of assertRehearses(ours, its, kong.image, "127.0.0.1")) {
      assert.match(listen, /^127\.0\.0\.1:\d+$/);
    }
  });
});

describe("the rehearsal Kong of docker-compose.yml", () => {
  const text = read("docker-compose.yml").replace(/\$\{\w+:-([^}]*)\}/g, "$1");
  const { services, networks } = parse(text, { merge: true }) as {
    readonly services: Readonly<Record<string, Service>>;
    readonly networks: Readonly<Record<string, { readonly internal?: boolean }>>;
  };

  it("is of the exporter's version, and answers where the exporter asks", () => {
    const { exporter, rehearsal } = services;
    assert.ok(exporter && rehearsal);
    assertRehearses(exporter.environment, rehearsal.environment, rehearsal.image, "rehearsal");
    assert.ok("rehearsal" in (exporter.depends_on ?? {}));
  });

  it("is in a network of its own, in which only the exporter is, too", () => {
    assert.equal(networks["rehearsal"]?.internal, true);
    const inside = Object.entries(services).filter(([, service]) =>
      service.networks?.includes("rehearsal"),
    );
    assert.deepEqual(
      inside.map(([name]) => name),
      ["exporter", "rehearsal"],
    );
    assert.deepEqual(services["rehearsal"]?.networks, ["rehearsal"]);
    for (const { network_mode, ports } of inside.map(([, service]) => service)) {
      assert.deepEqual([network_mode, ports], [undefined, undefined]);
    }
  });

  it("is not waited for by readers", () => {
    for (const name of ["importer", "sidecar"]) {
      assert.deepEqual(Object.keys(services[name]?.depends_on ?? {}), ["bucket"], name);
    }
  });
});

interface Service {
  readonly image: string;
  readonly network_mode?: string;
  readonly networks?: readonly string[];
  readonly ports?: readonly string[];
  readonly depends_on?: Readonly<Record<string, unknown>>;
  readonly environment: Environment;
}

interface Container {
  readonly name: string;
  readonly image: string;
  readonly restartPolicy?: string;
  readonly env: readonly { readonly name: string; readonly value: string }[];
}

type Containers = readonly Container[];

function environmentOf({ env }: Container): Environment {
  return Object.fromEntries(env.map(({ name, value }) => [name, value]));
}
