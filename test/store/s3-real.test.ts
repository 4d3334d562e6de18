/** The S3 driver against real servers: the same promises, and what each server makes of conditional writes. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, it } from "vitest";
import { systemClock } from "../../src/runtime/clock.ts";
import type { Store, Version } from "../../src/store/port.ts";
import type { PreconditionSupport } from "../../src/store/preconditions.ts";
import { probePreconditions } from "../../src/store/preconditions.ts";
import type { S3StoreOptions } from "../../src/store/s3.ts";
import { titled, whyMissing } from "../servers/locate.ts";
import { startMinio } from "../servers/minio.ts";
import type { S3Server } from "../servers/process.ts";
import { radosgwCommands, startRadosgw } from "../servers/radosgw.ts";
import { startRclone } from "../servers/rclone.ts";
import { startVersitygw } from "../servers/versitygw.ts";
import { failsWith, get, keys, never, put, text } from "./conformance/client.ts";
import type { StoreUnderTest } from "./conformance.ts";
import { storeConformance } from "./conformance.ts";
import { refused, SECRET_KEY } from "./refused.ts";
import { createBucket, openS3 } from "./s3-support.ts";

interface Server {
  readonly name: string;
  readonly commands: readonly string[];
  readonly start: () => Promise<S3Server>;
  /** What the probe at start makes of it. */
  readonly support: PreconditionSupport["kind"];
  /** Promises of the port that it does not keep. */
  readonly without: NonNullable<StoreUnderTest["without"]>;
}

const MD5 = "an ETag is the MD5 of the body alone";
const CRC64 = "an ETag is the CRC64 of the body alone";

const SERVERS: readonly Server[] = [
  {
    name: "MinIO",
    commands: ["minio"],
    start: startMinio,
    support: "honoured",
    without: { metadataInVersion: MD5 },
  },
  {
    name: "versitygw",
    commands: ["versitygw"],
    start: startVersitygw,
    support: "honoured",
    without: { metadataInVersion: MD5 },
  },
  {
    name: "versitygw with --data-integrity-etag",
    commands: ["versitygw"],
    start: () => startVersitygw({ dataIntegrityEtag: true }),
    support: "honoured",
    without: { metadataInVersion: CRC64 },
  },
  {
    name: "Ceph radosgw",
    commands: radosgwCommands,
    start: startRadosgw,
    support: "honoured",
    without: { metadataInVersion: MD5 },
  },
  {
    name: "rclone serve s3",
    commands: ["rclone-serve-s3"],
    start: startRclone,
    support: "ignored",
    without: {
      metadataInVersion: MD5,
      ifAbsent: "it takes no notice of If-None-Match",
      ifVersion: "it takes no notice of If-Match",
      atomicReplace: "it writes into the file that others read, and keeps metadata apart from it",
      folderDelete: "it answers 500, for such a key is a folder",
    },
  },
];

for (const { name, commands, start, support, without } of SERVERS) {
  const missing = whyMissing(...commands);
  describe.skipIf(missing)(titled(name, missing), () => {
    let server: S3Server;
    let latest = "";

    const open = (prefix: string, options: Partial<S3StoreOptions> = {}): Promise<Store> =>
      openS3(server, { bucket: "backups", prefix, region: server.region, ...options });

    beforeAll(async () => {
      server = await start();
      await createBucket(server, "backups");
    });
    afterAll(() => server[Symbol.asyncDispose]());

    storeConformance("conformance", {
      open: (options) => {
        latest = `conformance/${randomUUID()}`;
        return open(latest, options);
      },
      reopen: () => open(latest),
      without,
      secrets: [SECRET_KEY],
    });

    it(`is found out by the probe at start: conditional writes are ${support}`, async () => {
      await using store = await open("probe");
      const found = await probePreconditions(store, "probe.json", never);
      assert.equal(found.kind, support, found.explanation);
      if (found.kind === "honoured") assert.equal(found.makesFreshVersions, false);
    });

    if (support === "honoured") {
      it("refuses a large body as it refuses a small one, though it may answer in the middle of it", async () => {
        await using store = await open("large");
        const { version } = await put(store, "a", "1");
        const large = "x".repeat(5_000_000);
        const stale = "0".repeat(version.length) as Version;
        for (const when of [{ ifAbsent: true }, { ifVersion: stale }] as const) {
          await failsWith("STORE_PRECONDITION_FAILED", put(store, "a", large, {}, when));
          assert.equal(await text(store, "a"), "1");
        }
      });
    }

    it("is told apart from a missing object: a missing bucket", async () => {
      await using store = await open("x", { bucket: "no-such-bucket" });
      const expected = { code: "STORE_MISCONFIGURED", message: /NoSuchBucket/ } as const;
      await refused(get(store, "a"), expected);
      await refused(put(store, "a", "1"), expected);
      await refused(keys(store, ""), expected);
    });

    it("denies a wrong secret and an unknown access key", async () => {
      const denied = { code: "STORE_DENIED", message: /does not accept the access key/ } as const;
      const secretAccessKey = "another-secret";
      for (const accessKeyId of [server.accessKeyId, "nobody"]) {
        await using store = await open("x", { credentials: { accessKeyId, secretAccessKey } });
        await refused(get(store, "a"), denied);
        await refused(put(store, "a", "1"), denied);
        await refused(keys(store, ""), denied);
      }
    });

    it("refuses a clock an hour slow, and takes the next attempt", async () => {
      const slow = { ...systemClock, now: () => new Date(Date.now() - 3_600_000) };
      await using store = await open("x", { clock: slow });
      await refused(put(store, "a", "1"), {
        code: "STORE_MISCONFIGURED",
        message: /clocks are too far apart: this machine's says .* and the server's /,
        retryable: true,
      });
      await put(store, "a", "1");
    });

    it("is waited for no longer than told while it hangs, and works when it wakes", async () => {
      await using store = await open("x", { timeoutMs: 300 });
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
}

/** A signal takes its time: resolves when ps shows the process in that state. */
async function hasState(pid: number, state: string): Promise<void> {
  const ps = promisify(execFile);
  while (!(await ps("ps", ["-o", "state=", "-p", `${pid}`])).stdout.startsWith(state));
}
