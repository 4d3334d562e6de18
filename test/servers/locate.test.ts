/** A real server that is missing fails or skips its tests for the right reason. */

import assert from "node:assert/strict";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "vitest";
import type { LocateEnvironment } from "./locate.ts";
import { locate, whyUnavailable } from "./locate.ts";

describe("locate", () => {
  const name = "kong-fallback-no-such-server";
  let folder: string;
  let optional: LocateEnvironment;
  let required: LocateEnvironment;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "kong-fallback-locate-"));
    optional = { TEST_SERVERS: folder };
    required = { ...optional, TEST_SERVERS_REQUIRED: "1" };
  });
  afterEach(() => rm(folder, { recursive: true }));

  it("finds a server where .ci/servers installs it, else on PATH, and no file that cannot run", async () => {
    const path = join(folder, name);
    await writeFile(path, "");
    assert.equal(locate(name, optional), undefined);
    await chmod(path, 0o755);
    assert.equal(locate(name, optional), path);
    const elsewhere = { TEST_SERVERS: join(folder, "empty"), PATH: folder };
    assert.equal(locate(name, elsewhere), path);
  });

  it("lets the tests of a missing server skip, unless servers are required", () => {
    assert.equal(locate(name, optional), undefined);
    assert.equal(whyUnavailable(name, optional), undefined);
    assert.throws(() => locate(name, required), /is not installed in .*; run \.ci\/servers/);
  });

  it("lets the tests of a server whose source is refused skip, even when servers are required", async () => {
    await writeFile(join(folder, `${name}.unavailable`), "the proxy answers 403\n");
    assert.equal(locate(name, required), undefined);
    assert.equal(whyUnavailable(name, required), "the proxy answers 403");
    assert.throws(() => locate("another-server", required), /another-server is not installed/);
  });
});
