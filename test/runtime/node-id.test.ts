import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, it } from "vitest";
import { loadNodeId, nodeIdFor } from "../../src/runtime/node-id.ts";

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[45][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "kong-fallback-test-"));
});
afterAll(() => rm(directory, { recursive: true }));

describe("the node id", () => {
  it("is made once and kept across restarts, readable only by its owner", async () => {
    const stateDir = join(directory, "state", "deep");
    const first = await loadNodeId(stateDir, "host-a", "export");
    assert.match(first, UUID);
    assert.equal(await loadNodeId(stateDir, "host-b", "import"), first);
    assert.equal((await stat(join(stateDir, "node-id"))).mode & 0o777, 0o600);
  });

  it("is made anew where the file holds something else", async () => {
    const stateDir = join(directory, "damaged");
    await loadNodeId(stateDir, "host", "export");
    await writeFile(join(stateDir, "node-id"), "garbage");
    const id = await loadNodeId(stateDir, "host", "export");
    assert.equal((await readFile(join(stateDir, "node-id"), "utf8")).trim(), id);
  });

  it("without a state directory, stays the same for one host and purpose, and differs between them", async () => {
    const ids = await Promise.all([
      loadNodeId(undefined, "host-a", "export"),
      loadNodeId(undefined, "host-a", "export"),
      loadNodeId(undefined, "host-b", "export"),
      loadNodeId(undefined, "host-a", "import"),
    ]);
    assert.equal(ids[0], ids[1]);
    assert.equal(new Set(ids).size, 3);
    for (const id of ids) assert.match(id, UUID);
  });

  it("differs for each Kong version declared", () => {
    const id = "0e4f6a3c-7d61-4d52-9df1-0d1c7f4f4f10";
    assert.match(nodeIdFor(id, "3.9.1"), UUID);
    assert.equal(nodeIdFor(id, "3.9.1"), nodeIdFor(id, "3.9.1"));
    assert.notEqual(nodeIdFor(id, "3.9.1"), nodeIdFor(id, "3.8.0"));
  });
});
