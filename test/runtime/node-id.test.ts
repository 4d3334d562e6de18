import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, it } from "vitest";
import { loadNodeId, nodeIdFor, questioner } from "../../src/runtime/node-id.ts";
import { makeFifo } from "../fakes/fifo.ts";
import { ManualClock } from "../fakes/manual-clock.ts";
import { RecordingLog } from "../fakes/recording-log.ts";

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[45][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "kong-fallback-test-"));
});
// What was given up as hanging may still write there.
afterAll(() => rm(directory, { recursive: true, maxRetries: 5, retryDelay: 50 }));

describe("the node id", () => {
  const signal = new AbortController().signal;
  let log: RecordingLog;
  beforeEach(() => {
    log = new RecordingLog();
  });

  async function load(
    stateDir: string | undefined,
    hostname: string,
    purpose: string,
  ): Promise<string> {
    const clock = new ManualClock();
    const loaded = await loadNodeId({ stateDir, hostname, purpose, clock, log }, signal);
    assert.equal(loaded.hangs, false);
    return loaded.nodeId;
  }

  it("is made once and kept across restarts, readable only by its owner", async () => {
    const stateDir = join(directory, "state", "deep");
    const first = await load(stateDir, "host-a", "export");
    assert.match(first, UUID);
    assert.equal(await load(stateDir, "host-b", "import"), first);
    assert.equal((await stat(join(stateDir, "node-id"))).mode & 0o777, 0o600);
    assert.deepEqual(log.lines, []);
  });

  it("is made anew where the file holds something else, or one who made it was killed", async () => {
    const stateDir = join(directory, "damaged");
    await load(stateDir, "host", "export");
    await writeFile(join(stateDir, "node-id"), "garbage");
    await writeFile(join(stateDir, "node-id.tmp"), "0e4f");
    const id = await load(stateDir, "host", "export");
    assert.equal(await readFile(join(stateDir, "node-id"), "utf8"), `${id}\n`);
    assert.deepEqual(await readdir(stateDir), ["node-id"]);
  });

  it("without a state directory, stays the same for one host and purpose, and differs between them", async () => {
    const ids = await Promise.all([
      load(undefined, "host-a", "export"),
      load(undefined, "host-a", "export"),
      load(undefined, "host-b", "export"),
      load(undefined, "host-a", "serve"),
    ]);
    assert.equal(ids[0], ids[1]);
    assert.equal(new Set(ids).size, 3);
    for (const id of ids) assert.match(id, UUID);
  });

  it.each([
    ["is a file", (file: string, _folder: string) => file],
    ["lies below a file", (file: string) => join(file, "state")],
    ["has a folder of that name", (_: string, folder: string) => folder],
    ["cannot be made, as below /proc", () => "/proc/kong-fallback/state"],
  ])("is derived, with a warning, where the state directory %s", async (_name, place) => {
    const file = join(directory, "file");
    await writeFile(file, "");
    const folder = join(directory, "folder");
    await mkdir(join(folder, "node-id"), { recursive: true });
    const derived = await load(undefined, "host", "export");
    assert.equal(await load(place(file, folder), "host", "export"), derived);
    assert.deepEqual(
      log.lines.map(({ level, message }) => [level, message]),
      [["warn", "state directory cannot be used, the node id is derived from the host name"]],
    );
  });

  it("is derived, with a warning, where the state directory hangs for 2 s", async () => {
    const stateDir = join(directory, "hanging");
    await mkdir(stateDir);
    await using _ = await makeFifo(join(stateDir, "node-id"));
    const clock = new ManualClock();
    const options = { stateDir, hostname: "host", purpose: "export", clock, log };
    const loading = loadNodeId(options, signal);
    await clock.untilSleeping(2_000);
    await clock.advance(2_000);
    const nodeId = await load(undefined, "host", "export");
    assert.deepEqual(await loading, { nodeId, hangs: true });
    assert.equal(
      log.find("warn")[0]?.fields["reason"],
      "the file system did not answer within 2 s",
    );
  });

  it("of those who ask is one for each Kong version, wherever they run", () => {
    assert.match(questioner("3.9.1").nodeId, UUID);
    assert.deepEqual(questioner("3.9.1"), questioner("3.9.1"));
    assert.notEqual(questioner("3.9.1").nodeId, questioner("3.8.0").nodeId);
  });

  it("differs for each Kong version declared", () => {
    const id = "0e4f6a3c-7d61-4d52-9df1-0d1c7f4f4f10";
    assert.match(nodeIdFor(id, "3.9.1"), UUID);
    assert.equal(nodeIdFor(id, "3.9.1"), nodeIdFor(id, "3.9.1"));
    assert.notEqual(nodeIdFor(id, "3.9.1"), nodeIdFor(id, "3.8.0"));
  });
});
