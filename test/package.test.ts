import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, it } from "vitest";
import { parse } from "yaml";
import { SETTINGS } from "../src/runtime/settings/table.ts";
import { readSettings } from "../src/runtime/settings.ts";
import { builtCli } from "./build.ts";

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** The comment that the bundler leaves above each module, with the name of its package. */
const MODULE = /^\/\/ (?:.*\/)?node_modules\/((?:@[^/]+\/)?[^/]+)\//gm;
/** A sentence of each licence that there is. */
const LICENCE =
  /Permission is hereby granted|Apache License|Redistribution and use|Permission to use, copy|public domain/;

interface Packed {
  readonly filename: string;
  readonly files: readonly { readonly path: string; readonly mode: number }[];
}

interface ComposeService {
  readonly image: string;
  readonly command?: string;
  readonly profiles?: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly volumes: readonly string[];
}

describe("the npm package", () => {
  it("holds what a user needs and nothing else, and runs", async () => {
    const directory = await mkdtemp(join(tmpdir(), "kong-fallback-pack-"));
    builtCli();
    try {
      const pack = ["pack", "--json", "--ignore-scripts", "--pack-destination", directory];
      const { stdout } = await run("npm", pack, { cwd: ROOT });
      const [packed] = JSON.parse(stdout) as readonly Packed[];
      assert.ok(packed);
      const allowed =
        /^(dist\/.+\.js|dist\/assets\/demo\..+\.bin|dist\/THIRD-PARTY-LICENSES|docs\/.+\.md|deploy\/.+|docker-compose\.yml|package\.json|README\.md|CHANGELOG\.md|LICENSE)$/;
      assert.deepEqual(
        packed.files.map(({ path }) => path).filter((path) => !allowed.test(path)),
        [],
      );
      const executable = (path: string) =>
        ((packed.files.find((file) => file.path === path)?.mode ?? 0) & 0o111) !== 0;
      assert.ok(executable("dist/cli.js"));
      assert.ok(executable("deploy/start-wrapper/kong-start.sh"));

      // No registry is asked: it brings all it needs.
      const install = ["install", "--offline", "--prefix", directory, "--cache", directory];
      await run("npm", [...install, join(directory, packed.filename)]);
      assert.deepEqual(
        (await readdir(join(directory, "node_modules"))).filter((name) => !name.startsWith(".")),
        ["kong-fallback"],
      );
      const cli = join(directory, "node_modules", ".bin", "kong-fallback");
      const demo = await run(cli, ["demo", "--json"], {
        env: { PATH: process.env["PATH"] ?? "", TMPDIR: directory },
      });
      assert.equal(JSON.parse(demo.stdout).ok, true);
    } finally {
      await rm(directory, { recursive: true });
    }
  });

  it("names each package whose code it brings, with its licence", async () => {
    const dist = dirname(builtCli());
    const notice = await readFile(join(dist, "THIRD-PARTY-LICENSES"), "utf8");
    const brought = new Set<string>();
    for (const name of await readdir(dist)) {
      if (!name.endsWith(".js")) continue;
      const code = await readFile(join(dist, name), "utf8");
      for (const [, module = ""] of code.matchAll(MODULE)) brought.add(module);
    }
    assert.ok(brought.size > 100, `${brought.size}`);
    const sections = notice.split(`\n${"-".repeat(80)}\n`);
    for (const name of brought) {
      const section = sections.find((text) => `\n${text}`.includes(`\n${name} `));
      assert.match(section ?? "", LICENCE, name);
    }
  });
});

describe("docker-compose.yml", () => {
  it("can start a second exporter that does not have the first one's node id", async () => {
    const { exporter } = await composeServices();
    assert.ok(exporter);
    const text = await readFile(join(ROOT, "docker-compose.yml"), "utf8");
    const [command = ""] = /docker compose run .* exporter\b/.exec(text) ?? [];
    const given = [...command.matchAll(/ -e (\w+)=(\S*)/g)].map(([, name = "", value]) => {
      assert.ok(name in exporter.environment, name);
      return [name, value ?? "unknown"] as const;
    });
    const second = readSettings({ ...exporter.environment, ...Object.fromEntries(given) });
    assert.equal(second.stateDir, undefined);
    assert.equal(second.rehearsal.mode, "required");
    assert.deepEqual([second.election, second.exportRole], ["store", true]);
    assert.deepEqual(second.storages, readSettings(exporter.environment).storages);
  });

  it("gives every service of ours settings that are known and accepted", async () => {
    const services = await composeServices();
    const ours = Object.entries(services).filter(([, { image }]) => image === "kong-fallback");
    assert.deepEqual(
      ours.map(([name]) => name),
      ["exporter", "importer", "sidecar"],
    );
    const credentials = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];
    for (const [, { environment }] of ours) {
      for (const name of Object.keys(environment)) {
        assert.ok(name in SETTINGS || credentials.includes(name), name);
      }
      const settings = readSettings(environment);
      assert.equal(settings.storages[0]?.kind, "s3");
    }
    for (const { image } of Object.values(services)) {
      assert.match(
        image,
        /^(kong:3\.9\.1|kong-fallback|quay\.io\/minio\/minio:RELEASE\.2025-09-07T16-13-09Z)$/,
      );
    }
  });

  it("has a data plane that finds the sidecar, and neither unless asked for", async () => {
    const { sidecar, exporter, "data-plane": dataPlane } = await composeServices();
    assert.ok(sidecar && exporter && dataPlane);
    assert.deepEqual([sidecar.profiles, dataPlane.profiles], [["sidecar"], ["sidecar"]]);
    assert.equal(sidecar.command, "serve");
    const { listen, kongVersions, stateDir } = readSettings(sidecar.environment);
    assert.deepEqual(listen, { host: "0.0.0.0", port: 8005 });
    assert.equal(dataPlane.environment["KONG_CLUSTER_CONTROL_PLANE"], `sidecar:${listen.port}`);
    assert.equal(dataPlane.image, `kong:${kongVersions.join()}`);
    for (const name of ["KONG_CLUSTER_CERT", "KONG_CLUSTER_CERT_KEY"]) {
      assert.equal(dataPlane.environment[name], sidecar.environment[name]);
    }
    // Two daemons with one state directory would have one node id.
    const stateOf = ({ volumes }: ComposeService) =>
      volumes.find((volume) => volume.endsWith(`:${stateDir}`));
    assert.ok(stateOf(sidecar));
    assert.notEqual(stateOf(sidecar), stateOf(exporter));
  });
});

async function composeServices(): Promise<Readonly<Record<string, ComposeService>>> {
  const text = await readFile(join(ROOT, "docker-compose.yml"), "utf8");
  // As compose does it: ${NAME:-default}.
  const filled = text.replace(/\$\{\w+:-([^}]*)\}/g, "$1");
  const { services } = parse(filled, { merge: true }) as {
    services: Readonly<Record<string, ComposeService>>;
  };
  return services;
}
