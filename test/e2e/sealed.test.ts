import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "vitest";
import { roles } from "../fakes/seals.ts";
import { Run, runOnce } from "./cli.ts";
import { frameOf, Stage } from "./stage.ts";

const CANARY = "canary";

describe("export and import, sealed", () => {
  it("leave nothing in the clear in the store, and give the config back byte for byte", async () => {
    await using stage = await Stage.open();
    const { pem, age } = await roles();
    const { frame, configTable } = frameOf(CANARY);
    await using controlPlane = await stage.controlPlane({ config: frame });
    const { port } = controlPlane.address;
    await using exporter = new Run(
      ["export"],
      stage.environment(port, {
        KONG_FALLBACK_SIGNING_KEY: pem.private,
        KONG_FALLBACK_AGE_RECIPIENTS: age.recipient,
      }),
    );
    await exporter.logged((line) => line["msg"] === "snapshot saved");
    const entries = await readdir(stage.path("store"), { recursive: true, withFileTypes: true });
    const files = entries.filter((entry) => entry.isFile());
    assert.ok(files.some(({ name }) => name === "config.json"));
    for (const { parentPath, name } of files) {
      const text = await readFile(join(parentPath, name), "latin1");
      assert.equal(text.includes(CANARY), false, name);
    }
    const reading = stage.environment(port, {
      KONG_FALLBACK_VERIFY_KEYS: pem.public,
      KONG_FALLBACK_AGE_IDENTITIES: age.identity.reveal(),
    });
    const argv = ["import", "--force", "--to", "-"];
    const imported = await runOnce(argv, reading);
    assert.deepEqual(imported.stdout, configTable);
    const stranger = { ...reading, KONG_FALLBACK_VERIFY_KEYS: (await roles()).pem.public };
    assert.equal((await runOnce(argv, stranger)).status, 3);
  });
});
