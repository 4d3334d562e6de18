import assert from "node:assert/strict";
import { afterAll, beforeAll, describe, it } from "vitest";
import { formsOf } from "./canaries.ts";
import { type Planted, plantAll } from "./secrets.ts";
import type { Surface } from "./surface.ts";
import { SURFACES } from "./surfaces.ts";
import { World } from "./world.ts";

/** Of a surface, that is of dozens of processes on a slow machine. */
const TIMEOUT_MS = 300_000;

let planted: Planted;
const searched = new Map<string, number>();

beforeAll(async () => {
  planted = await plantAll();
});

afterAll(() => {
  const lines = [...searched].map(([name, count]) => `  ${name} (${count} searched)`);
  process.stdout.write(`\nSurfaces without a canary:\n${lines.join("\n")}\n`);
});

async function leaksOf(surface: Surface): Promise<readonly string[]> {
  await using world = await World.open(planted);
  await surface.run(world);
  const leaks = await world.leaks();
  assert.deepEqual([...world.commands].sort(), [...surface.commands].sort());
  searched.set(surface.name, world.searched);
  return leaks;
}

describe.concurrent("no secret comes out of", () => {
  for (const surface of SURFACES) {
    it(surface.name, { timeout: TIMEOUT_MS }, async () => {
      assert.deepEqual(await leaksOf(surface), []);
    });
  }
});

describe("a surface that leaks is found out", () => {
  /** Prints the text on standard error, as the program would. */
  const printing = (value: string): Surface => ({
    name: "a leak",
    commands: ["status"],
    run: async (world) => {
      const code = `data:text/javascript,${encodeURIComponent("process.stderr.write(process.env.LEAK)")}`;
      const env = { LEAK: value, NODE_OPTIONS: `--import=${code}` };
      await world.run(["status"], { env });
    },
  });

  it("on standard error, in every form", { timeout: TIMEOUT_MS }, async () => {
    const { name, value } =
      planted.canaries.all.find(({ group }) => group === "admin-token") ?? assert.fail();
    for (const [form, text] of formsOf(value)) {
      const leaks = await leaksOf(printing(`told: ${text}.`));
      assert.equal(leaks.length, 1, form);
      assert.ok(leaks[0]?.startsWith(`standard error of status: ${name}`), leaks[0]);
    }
    searched.delete("a leak");
  });

  it("in requests, objects, frames, files and their names", async () => {
    await using world = await World.open(planted);
    const { adminToken } = planted;
    const config = planted.newer.snapshot.config;
    world.s3.requests.push({ method: "GET", url: `/bucket?${adminToken}`, headers: {} });
    world.s3.buckets.get("bucket")?.set("k", {
      body: Buffer.from(config),
      etag: '""',
      putAt: new Date(),
      headers: { "x-amz-meta-held": Buffer.from(adminToken).toString("hex") },
    });
    await world.give(`${adminToken}.txt`, adminToken);
    const leaks = await world.leaks();
    const places = ["S3 GET ", "S3 metadata of k", "name of given/"];
    for (const place of places)
      assert.ok(
        leaks.some((leak) => leak.startsWith(place)),
        place,
      );
    assert.ok(!leaks.some((leak) => leak.includes("config")), leaks.join("\n"));
  });
});
