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

/** Where both share a loopback, and nobody else reaches it. */
function assertRehearses(exporter: Environment, kong: Environment, image: string): void {
  const { rehearsal, kongVersions } = readSettings(exporter);
  const [version, another] = kongVersions;
  assert.ok(version !== undefined && another === undefined);
  assert.equal(image, `kong:${version}`);
  assert.equal(rehearsal.mode, "required");
  assert.equal(rehearsal.urls.get(version), `http://${kong["KONG_ADMIN_LISTEN"]}`);
  assert.equal(rehearsal.statusUrls.get(version), `http://${kong["KONG_STATUS_LISTEN"]}`);
  assert.equal(kong["KONG_DATABASE"], "off");
  const listens = Object.entries(kong).filter(([name]) => name.endsWith("_LISTEN"));
  assert.equal(listens.length, 3);
  for (const [name, value] of listens) assert.match(value, /^127\.0\.0\.1:\d+$/, name);
}

describe("the rehearsal Kong of deploy/kubernetes/exporter.yaml", () => {
  it("is of the exporter's version, and answers only in its pod, where the exporter asks", () => {
    const workload = parseAllDocuments(read("deploy/kubernetes/exporter.yaml"))
      .map((document) => document.toJS())
      .find(({ kind }) => kind === "Deployment") as {
      readonly spec: { readonly template: { readonly spec: { readonly containers: Containers } } };
    };
    const { containers } = workload.spec.template.spec;
    const [exporter, kong] = ["kong-fallback", "rehearsal"].map((wanted) =>
      containers.find(({ name }) => name === wanted),
    );
    assert.ok(exporter && kong);
    assertRehearses(environmentOf(exporter), environmentOf(kong), kong.image);
  });
});

describe("the rehearsal Kong of docker-compose.yml", () => {
  it("is of the exporter's version, and answers only on its loopback, where the exporter asks", () => {
    const text = read("docker-compose.yml").replace(/\$\{\w+:-([^}]*)\}/g, "$1");
    const { services } = parse(text, { merge: true }) as {
      readonly services: Readonly<Record<string, Service>>;
    };
    const { exporter, rehearsal } = services;
    assert.ok(exporter && rehearsal);
    assert.equal(rehearsal.network_mode, "service:exporter");
    assertRehearses(exporter.environment, rehearsal.environment, rehearsal.image);
  });
});

interface Service {
  readonly image: string;
  readonly network_mode?: string;
  readonly environment: Environment;
}

interface Container {
  readonly name: string;
  readonly image: string;
  readonly env: readonly { readonly name: string; readonly value: string }[];
}

type Containers = readonly Container[];

function environmentOf({ env }: Container): Environment {
  return Object.fromEntries(env.map(({ name, value }) => [name, value]));
}
