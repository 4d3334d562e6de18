/** The Azure driver against a real Azurite: the same promises, and what it makes of what is not allowed. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { promisify } from "node:util";
import { ContainerSASPermissions } from "@azure/storage-blob";
import { afterAll, beforeAll, describe, it } from "vitest";
import { Secret } from "../../src/core/secret.ts";
import type { AzureStoreOptions } from "../../src/store/azure.ts";
import type { Store, Version } from "../../src/store/port.ts";
import { probePreconditions } from "../../src/store/preconditions.ts";
import type { AzuriteServer } from "../servers/azurite.ts";
import { startAzurite } from "../servers/azurite.ts";
import { titled, whyMissing } from "../servers/locate.ts";
import { containerOf, openAzure } from "./azure-support.ts";
import { failsWith, get, keys, never, put, text } from "./conformance/client.ts";
import { storeConformance } from "./conformance.ts";
import { refused } from "./refused.ts";

const missing = whyMissing("azurite");

describe.skipIf(missing)(titled("Azurite", missing), () => {
  let server: AzuriteServer;
  let latest = "";

  const open = (prefix: string, options: Partial<AzureStoreOptions> = {}): Promise<Store> =>
    openAzure(server, { prefix, ...options });

  beforeAll(async () => {
    server = await startAzurite();
    await containerOf(server).create();
  }, 60_000);
  afterAll(() => server?.[Symbol.asyncDispose]());

  storeConformance("conformance", {
    open: (options) => {
      latest = `conformance/${randomUUID()}`;
      return open(latest, options);
    },
    reopen: () => open(latest),
    secrets: ["kong-fallback-test-account-key"],
    without: { backslash: "Azure takes a backslash for a slash" },
  });

  it("refuses a key with a backslash, which Azure would take for another", async () => {
    await using store = await open("backslash");
    await failsWith("STORE_BAD_KEY", put(store, "a\\b", "1"));
    await failsWith("STORE_BAD_KEY", get(store, "a\\b"));
    await failsWith("STORE_BAD_KEY", store.delete("a\\b", never));
    await failsWith("STORE_BAD_KEY", keys(store, "a\\b"));
    await containerOf(server).getBlockBlobClient("backslash/a\\b").upload("", 0);
    assert.deepEqual(await keys(store, ""), ["a/b"]);
  });

  it("is found to honour conditional writes by the probe at start", async () => {
    await using store = await open("probe");
    const found = await probePreconditions(store, "probe.json", never);
    assert.ok(found.kind === "honoured", found.explanation);
    assert.equal(found.makesFreshVersions, true);
  });

  it("makes a new version of the same body, which is no digest of it", async () => {
    await using store = await open("etag");
    const first = await put(store, "a", "same");
    const second = await put(store, "a", "same");
    assert.notEqual(first.version, second.version);
    assert.match(first.version, /^0x[0-9A-F]+$/);
  });

  it("refuses a large body as it refuses a small one, though it may answer in the middle of it", async () => {
    await using store = await open("large");
    await put(store, "a", "1");
    const large = "x".repeat(5_000_000);
    const stale = "0x8D0000000000000" as Version;
    for (const when of [{ ifAbsent: true }, { ifVersion: stale }] as const) {
      await failsWith("STORE_PRECONDITION_FAILED", put(store, "a", large, {}, when));
      assert.equal(await text(store, "a"), "1");
    }
    await failsWith("STORE_PRECONDITION_FAILED", put(store, "none", "1", {}, { ifVersion: stale }));
  });

  it("is told apart from a missing object: a missing container", async () => {
    await using store = await open("x", { container: "no-such-container" });
    const expected = {
      code: "STORE_MISCONFIGURED",
      message: /no container "no-such-container" \(HTTP 404 ContainerNotFound/,
      hint: /az storage container create/,
    } as const;
    await refused(get(store, "a"), expected);
    await refused(put(store, "a", "1"), expected);
    await refused(keys(store, ""), expected);
    await refused(store.delete("a", never), expected);
  });

  it("denies a wrong key", async () => {
    const other = Buffer.from("another-account-key-0123456789").toString("base64");
    await using store = await open("x", { credentials: { accountKey: new Secret(other) } });
    const denied = {
      code: "STORE_DENIED",
      message: /access is denied.* \(HTTP 403 AuthorizationFailure/,
      hint: /AZURE_STORAGE_KEY/,
    } as const;
    await refused(get(store, "a"), denied, [other]);
    await refused(put(store, "a", "1"), denied, [other]);
    await refused(keys(store, ""), denied, [other]);
  });

  it("is told apart from a missing object: a missing account", async () => {
    await using store = await open("x", { account: "stranger" });
    const message = /no such storage account \(HTTP 404/;
    await refused(get(store, "a"), { code: "STORE_MISCONFIGURED", message }, [server.accountKey]);
  });

  describe("with a SAS token", () => {
    async function withSas(permissions: string, expiresInMs: number): Promise<Store> {
      const sas = await containerOf(server).generateSasUrl({
        permissions: ContainerSASPermissions.parse(permissions),
        startsOn: new Date(Date.now() - 7_200_000),
        expiresOn: new Date(Date.now() + expiresInMs),
      });
      return open("sas", { credentials: { sasToken: new Secret(new URL(sas).search) } });
    }

    it("does all with rwdl, and reads with rl", async () => {
      await using writer = await withSas("rwdl", 3_600_000);
      await put(writer, "a", "1");
      await put(writer, "b", "1");
      await writer.delete("b", never);
      await using reader = await withSas("rl", 3_600_000);
      assert.equal(await text(reader, "a"), "1");
      assert.deepEqual(await keys(reader, ""), ["a"]);
      const denied = {
        code: "STORE_DENIED",
        message: /permissions do not reach so far/,
        hint: /rwdl/,
      } as const;
      await refused(put(reader, "a", "2"), denied);
      await refused(reader.delete("a", never), denied);
    });

    it("denies one that has expired, and repeats nothing of it", async () => {
      await using store = await withSas("rwdl", -3_600_000);
      await refused(get(store, "a"), { code: "STORE_DENIED", message: /HTTP 403/ });
      await refused(put(store, "a", "2"), { code: "STORE_DENIED", message: /HTTP 403/ });
    });
  });

  it("lists folders of other tools as nothing, and their metadata as none of ours", async () => {
    await using store = await open("folders");
    const container = containerOf(server);
    const folder = container.getBlockBlobClient("folders/3.9.1");
    await folder.upload("", 0, { metadata: { hdi_isfolder: "true" } });
    await container.getBlockBlobClient("folders/slash/").upload("", 0);
    const metadata = { config_hash: "theirs", kf_config_hash: "ours" };
    await container.getBlockBlobClient("folders/a").upload("{}", 2, { metadata });
    assert.deepEqual(await keys(store, ""), ["a"]);
    assert.deepEqual({ ...(await get(store, "a")).metadata }, { "config-hash": "ours" });
  });

  it("cannot replace what somebody holds a lease on, and says so", async () => {
    await using store = await open("lease");
    await put(store, "a", "1");
    const lease = containerOf(server).getBlobClient("lease/a").getBlobLeaseClient();
    await lease.acquireLease(-1);
    await refused(put(store, "a", "2"), {
      code: "STORE_MISCONFIGURED",
      message: /LeaseIdMissing/,
      hint: /lease/,
    });
    assert.equal(await text(store, "a"), "1");
    await lease.releaseLease();
  });

  it("is waited for no longer than told while it hangs, and works when it wakes", async () => {
    await using store = await open("x", { timeoutMs: 500 });
    await put(store, "a", "before");
    process.kill(server.pid, "SIGSTOP");
    await hasState(server.pid, "T");
    try {
      const late = { code: "STORE_UNAVAILABLE", message: /does not answer in time/ } as const;
      await refused(get(store, "a"), late);
      await refused(put(store, "b", "during"), late);
    } finally {
      process.kill(server.pid, "SIGCONT");
    }
    await using patient = await open("x");
    assert.equal(await text(patient, "a"), "before");
  });
});

it.skipIf(missing)(
  titled(
    "Azurite that is killed while a large body is on its way: the put is refused as unavailable",
    missing,
  ),
  async () => {
    await using server = await startAzurite();
    await containerOf(server).create();
    await using store = await openAzure(server);
    await put(store, "a", "before");
    // Nobody reads any more: the body fills the buffers of the socket and stays there.
    process.kill(server.pid, "SIGSTOP");
    await hasState(server.pid, "T");
    const writing = put(store, "a", "x".repeat(64 * 1024 * 1024));
    const broke = {
      code: "STORE_UNAVAILABLE",
      message: /connection broke|cannot be reached/,
    } as const;
    const refusal = refused(writing, broke);
    process.kill(server.pid, "SIGKILL");
    await refusal;
  },
  30_000,
);

/** A signal takes its time: resolves when ps shows the process in that state. */
async function hasState(pid: number, state: string): Promise<void> {
  const ps = promisify(execFile);
  while (!(await ps("ps", ["-o", "state=", "-p", `${pid}`])).stdout.startsWith(state));
}
