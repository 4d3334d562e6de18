/** How the GCS store finds Application Default Credentials, and what it says when there are none. */

import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it, vi } from "vitest";
import type { FakeGcsServer } from "../fakes/gcs-server.ts";
import { failsWith, get, put, text } from "./conformance/client.ts";
import type { Google } from "./gcs-account.ts";
import { account, assertNoSecret, openStore, pem, startGoogle, TOKEN } from "./gcs-account.ts";

vi.mock("undici", async (importOriginal) => {
  const { ledAway } = await import("../fakes/google-hosts.ts");
  return ledAway(await importOriginal());
});

let server: Google;
let fake: FakeGcsServer;

beforeEach(async () => {
  server = await startGoogle();
  fake = server.fake;
});
afterEach(() => server[Symbol.asyncDispose]());

describe("gcs with Application Default Credentials", () => {
  it("takes the file that GOOGLE_APPLICATION_CREDENTIALS names", async () => {
    const path = join(server.folder, "good.json");
    await writeFile(path, JSON.stringify(account));
    vi.stubEnv("GOOGLE_APPLICATION_CREDENTIALS", path);
    await using store = openStore();
    await put(store, "a", "from a file");
    assert.equal(await text(store, "a"), "from a file");
  });

  it("takes the token of the metadata server, as workload identity gives it", async () => {
    vi.stubEnv("METADATA_SERVER_DETECTION", "assume-present");
    vi.stubEnv("GCE_METADATA_HOST", `127.0.0.1:${fake.port}`);
    await using store = openStore();
    await put(store, "a", "from the metadata server");
    const asked = fake.requests.find(({ path }) => path.startsWith("/computeMetadata/"));
    assert.match(asked?.path ?? "", /\/service-accounts\/default\/token$/);
    assert.equal(fake.requests.at(-1)?.headers.authorization, `Bearer ${TOKEN}`);
  });

  it("says what to set when there are none", async () => {
    await using store = openStore();
    const error = await failsWith("STORE_DENIED", get(store, "a"));
    assert.match(error.message, /no Google credentials were found/);
    for (const way of ["GCP_SERVICE_ACCOUNT", "GOOGLE_APPLICATION_CREDENTIALS", "Google Cloud"]) {
      assert.ok(error.hint?.includes(way), error.hint);
    }
    assert.equal(fake.requests.length, 0);
  });

  it("says so when the named file is missing, and when it is not JSON, without quoting it", async () => {
    vi.stubEnv("GOOGLE_APPLICATION_CREDENTIALS", join(server.folder, "absent.json"));
    await using store = openStore();
    const absent = await failsWith("STORE_DENIED", get(store, "a"));
    assert.match(absent.message, /absent\.json does not exist/);
    assert.match(absent.hint ?? "", /GOOGLE_APPLICATION_CREDENTIALS/);

    const path = join(server.folder, "broken.json");
    await writeFile(path, pem);
    vi.stubEnv("GOOGLE_APPLICATION_CREDENTIALS", path);
    const broken = await failsWith("STORE_DENIED", get(store, "a"));
    assert.match(broken.message, /the credentials are not JSON/);
    assertNoSecret(broken);
  });
});
