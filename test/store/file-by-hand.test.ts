/** The directory store when people copy, cut and edit its files. */

import assert from "node:assert/strict";
import { appendFileSync } from "node:fs";
import { copyFile, mkdtemp, readdir, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "vitest";
import { systemClock } from "../../src/runtime/clock.ts";
import { FileStore } from "../../src/store/file.ts";
import { failsWith, get, getIfChanged, never, put, text } from "./conformance/client.ts";

let directory: string;
let store: FileStore;
/** The file of the object's metadata. */
let companion: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "file-store-"));
  store = new FileStore({ url: `file://${directory}`, directory, clock: systemClock });
  await put(store, "a", '{"n": 1}', { n: "1" });
  const [name = ""] = await readdir(join(directory, ".kong-fallback"));
  companion = join(directory, ".kong-fallback", name);
});
afterEach(() => rm(directory, { recursive: true, force: true }));

describe("a directory edited by hand", () => {
  it("gives a file put there by hand, without metadata, under a version to replace it by", async () => {
    const before = await get(store, "a");
    await writeFile(join(directory, "a"), "by hand");
    const object = await get(store, "a");
    assert.equal(new TextDecoder().decode(object.body), "by hand");
    assert.deepEqual({ ...object.metadata }, {});
    await failsWith(
      "STORE_PRECONDITION_FAILED",
      put(store, "a", "2", {}, { ifVersion: before.version }),
    );
    await put(store, "a", "2", { n: "2" }, { ifVersion: object.version });
    assert.deepEqual({ ...(await get(store, "a")).metadata }, { n: "2" });
  });

  it("counts as changed when it has another body, and not when the same one is copied over it", async () => {
    const { version } = await get(store, "a");
    await writeFile(join(directory, "a"), '{"n": 1}');
    assert.equal(await getIfChanged(store, "a", version), undefined);
    await writeFile(join(directory, "a"), '{"n": 2}');
    const object = await getIfChanged(store, "a", version);
    assert.equal(new TextDecoder().decode(object?.body), '{"n": 2}');
  });

  it("finds the metadata again when an object is copied away and back, and gives a copy none", async () => {
    await copyFile(join(directory, "a"), join(directory, "copy"));
    assert.deepEqual({ ...(await get(store, "copy")).metadata }, {});
    await rm(join(directory, "a"));
    await copyFile(join(directory, "copy"), join(directory, "a"));
    assert.deepEqual({ ...(await get(store, "a")).metadata }, { n: "1" });
  });

  it("gives no metadata with a body that was cut or changed by one bit: they would not be its own", async () => {
    await truncate(join(directory, "a"), 7);
    const { body, metadata } = await get(store, "a");
    assert.equal(body.byteLength, 7);
    assert.deepEqual({ ...metadata }, {});
  });

  for (const damage of [
    "",
    "{",
    "null",
    '{"metadata":[]}',
    '{"metadata":{"n":1}}',
    '{"metadata":{"N":"1"}}',
    "\u0000",
  ]) {
    it(`gives the body alone when the companion is ${JSON.stringify(damage)}`, async () => {
      const before = await get(store, "a");
      await writeFile(companion, damage);
      const object = await get(store, "a");
      assert.equal(await text(store, "a"), '{"n": 1}');
      assert.deepEqual({ ...object.metadata }, {});
      assert.notEqual(object.version, before.version);
    });
  }

  it("starts over when a file is written in place while it is read", async () => {
    let appended = false;
    const onProgress = () => {
      if (!appended) appendFileSync(join(directory, "a"), " ");
      appended = true;
    };
    const { body, metadata } = await store.get("a", { maxBytes: 100, onProgress }, never);
    assert.equal(new TextDecoder().decode(body), '{"n": 1} ');
    assert.deepEqual({ ...metadata }, {});
  });

  it("gives up on a file that does not stand still", async () => {
    const onProgress = () => appendFileSync(join(directory, "a"), " ");
    const reading = store.get("a", { maxBytes: 10_000, onProgress }, never);
    const error = await failsWith("STORE_UNAVAILABLE", reading);
    assert.match(error.message, /it was replaced while it was read/);
  });
});
