/** What the documents say of settings, metrics, log lines and the status page, checked against the code. */

import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, it } from "vitest";
import { parseCommandLine } from "../src/commands/command-line.ts";
import { type ReportSubject, reportPlanes } from "../src/commands/serve/report.ts";
import { commandOf, SPEC_NAMES } from "../src/commands/specs.ts";
import { parseKongVersion } from "../src/kong/version.ts";
import { createMetrics } from "../src/runtime/metrics.ts";
import { SETTINGS, type Setting } from "../src/runtime/settings/table.ts";
import { packSnapshot } from "../src/sidecar/shelf/shelf.ts";
import { describeBare } from "../src/snapshots/snapshot.ts";
import { SourceError } from "../src/source/port.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const PAGES = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", ...filesBelow("docs", ".md")];

function read(path: string): string {
  return readFileSync(`${ROOT}${path}`, "utf8");
}

function filesBelow(directory: string, extension: string): string[] {
  return readdirSync(`${ROOT}${directory}`, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(extension))
    .map((entry) => `${entry.parentPath}/${entry.name}`.slice(ROOT.length));
}

/** What stands in backquotes in the first column of the tables below this heading. */
function firstColumn(page: string, heading: string): string[] {
  const [, section = ""] = read(page).split(`# ${heading}\n`);
  const cells = section.split("\n#")[0]?.matchAll(/^\| ([^|]+) \|/gm) ?? [];
  return [...cells].flatMap(([, cell = ""]) =>
    [...cell.matchAll(/`([^`]+)`/g)].map(([, t]) => `${t}`),
  );
}

async function metricNames(): Promise<string[]> {
  const metrics = createMetrics();
  metrics.replicas(() => []);
  metrics.sidecar({ dataPlanes: () => ({}), snapshotAges: () => ({}), heldBack: () => ({}) });
  return (await metrics.registry.getMetricsAsJSON()).map(({ name }) => name);
}

/** As GitHub makes them of headings. */
function anchorsOf(page: string): string[] {
  return [...read(page).matchAll(/^#+ (.+)$/gm)].map(([, heading = ""]) =>
    heading
      .toLowerCase()
      .replace(/[^\w\- ]/g, "")
      .replaceAll(" ", "-"),
  );
}

/** Names of members, nested ones too; of a list, those of its first element. */
function shape(value: unknown): unknown {
  if (Array.isArray(value)) return value.slice(0, 1).map(shape);
  if (typeof value !== "object" || value === null) return "";
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, shape(member)]));
}

/** Two that are not ours to read: the start wrapper's and the test suite's. */
const NOT_OURS = /^KONG_FALLBACK_(FILE|ENTRYPOINT|TEST_\w+)$/;

function settingsNamedIn(text: string): readonly string[] {
  return [...text.matchAll(/KONG_(?:CLUSTER_)?FALLBACK_[A-Z0-9]\w+/g)].map(([name]) => name);
}

describe("the documents", () => {
  it.each(PAGES)("%s names only settings there are, with the defaults they have", (page) => {
    const settings: Readonly<Record<string, Setting>> = SETTINGS;
    const text = read(page);
    for (const name of settingsNamedIn(text)) {
      assert.ok(name in settings || NOT_OURS.test(name), name);
    }
    for (const [, name = "", value] of text.matchAll(/`(KONG_\w+)` \((?:default )?`?([\d.:]+)/g)) {
      assert.equal(value, settings[name]?.default, name);
    }
  });

  it("and hints, messages, manifests and the compose file name only settings there are", () => {
    const files = [
      ...[...filesBelow("src", ".ts"), ...filesBelow("deploy", ""), ...filesBelow("docs", "")],
      ...["docker-compose.yml", "SECURITY.md", "package.json"],
    ];
    const named = files.flatMap((file) => settingsNamedIn(read(file)));
    assert.ok(named.length > 300, "it looks where there are some");
    assert.deepEqual(
      named.filter((name) => !(name in SETTINGS || NOT_OURS.test(name))),
      [],
    );
  });

  it("explain every metric, and none that does not exist", async () => {
    const explained = [...read("docs/operations.md").matchAll(/^\| `(kong_fallback_\w+)/gm)];
    assert.deepEqual(explained.map(([, name]) => name).sort(), (await metricNames()).sort());
  });

  it.each([
    ["docs/serve.md", "Troubleshooting"],
    ["docs/operations.md", "What the log says"],
    ["docs/exporters.md", "What the log says"],
    ["docs/rehearsal.md", "What the log says"],
  ])("%s quotes log lines as the code has them", (page, heading) => {
    const code = filesBelow("src", ".ts").map(read).join("\n");
    const quoted = firstColumn(page, heading);
    assert.ok(quoted.length >= 5);
    for (const line of quoted) assert.ok(code.includes(line), line);
  });

  it("name only metrics there are in their alerts", async () => {
    const names = await metricNames();
    for (const page of ["docs/operations.md", "docs/exporters.md"]) {
      const used = read(page).match(/kong_fallback_\w+/g) ?? [];
      assert.ok(used.length > 0);
      for (const name of used) assert.ok(names.includes(name), name);
    }
  });

  it.each(PAGES)("%s shows commands that there are, with flags that they have", (page) => {
    for (const [, line = ""] of read(page).matchAll(/(?:^(?:\$ )?|`)kong-fallback ([^`\n]+)/gm)) {
      // Names, no commands: they need an action.
      if (line === "snapshots" || line === "keys") continue;
      const argv = line
        .replace(/ [|>#].*$/, "")
        .replaceAll('"', "")
        .split(" ");
      assert.doesNotThrow(() => parseCommandLine(argv, {}), line);
    }
  });

  it("tell what each action of snapshots does", () => {
    const text = read("docs/snapshots.md");
    const named = [...text.matchAll(/^## ([a-z]+)$/gm)].map(([, action]) => action);
    const actions = SPEC_NAMES.filter((name) => commandOf(name) === "snapshots");
    assert.deepEqual(
      named.map((action) => `snapshots ${action}`),
      actions,
    );
  });

  it.each(PAGES)("%s links to pages and headings there are", (page) => {
    for (const [, target = ""] of read(page).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(target)) continue;
      const [path = "", anchor] = target.split("#");
      const file = path === "" ? page : join(dirname(page), path);
      assert.ok(existsSync(`${ROOT}${file}`), target);
      if (anchor !== undefined) assert.ok(anchorsOf(file).includes(anchor), target);
    }
  });

  it("show a /status.json with the members it has", async () => {
    const version = parseKongVersion("3.9.1");
    assert.ok(version);
    const at = new Date();
    const config = Buffer.from('{"_format_version":"3.0"}');
    const metadata = {
      ...describeBare(config, version, at),
      configHash: "1".repeat(32),
      controlPlaneTimestamp: 1,
    };
    const servable = await packSnapshot({ config, metadata }, "store");
    const subject = {
      controlPlane: {
        state: { kind: "fallback", since: at, error: new SourceError("SOURCE_LOST", "broke") },
        planes: [
          {
            introduction: { nodeId: "a", hostname: "b", version },
            state: { kind: "live", since: at },
            connectedAt: at,
            hash: metadata.configHash,
          },
        ],
        unserved: [],
      },
      upstream: "control-plane:8005",
      shelf: {
        versions: () => [version],
        newest: () => servable,
        held: () => undefined,
        confirmedAt: () => at,
      },
      wanted: [],
      clock: { now: () => at },
    } as unknown as ReportSubject;
    const [, sample = ""] = /```json\n(.+?)```/s.exec(read("docs/serve.md")) ?? [];
    const report: unknown = JSON.parse(JSON.stringify(reportPlanes(subject)));
    assert.deepEqual(shape(JSON.parse(sample)), shape(report));
  });
});
