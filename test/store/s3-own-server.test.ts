/** What only a server of one's own shows: https under a private CA, and a server that dies in the middle of a write. */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "vitest";
import { certificateAuthority } from "../fakes/certificates.ts";
import { titled, whyMissing } from "../servers/locate.ts";
import { startMinio } from "../servers/minio.ts";
import { startVersitygw } from "../servers/versitygw.ts";
import { get, put, sameBytes, sha256, text } from "./conformance/client.ts";
import { refused } from "./refused.ts";
import { createBucket, openS3 } from "./s3-support.ts";

const SERVERS = [
  { name: "MinIO", command: "minio", start: startMinio },
  { name: "versitygw", command: "versitygw", start: startVersitygw },
] as const;

for (const { name, command, start } of SERVERS) {
  const missing = whyMissing(command);
  describe.skipIf(missing)(titled(name, missing), () => {
    it("is trusted over https by the CA that AWS_CA_BUNDLE holds, and not without", async () => {
      const authority = await certificateAuthority();
      const { cert, key } = await authority.issue("127.0.0.1");
      await using server = await start({ tls: { cert, key: key.reveal() } });
      await createBucket(server, "bucket", { ca: authority.cert });
      await using store = await openS3(server, { caBundle: authority.cert });
      await put(store, "a", "1");
      assert.equal(await text(store, "a"), "1");
      await using stranger = await openS3(server);
      await refused(get(stranger, "a"), {
        code: "STORE_MISCONFIGURED",
        message: /certificate is not trusted \(/,
        hint: /AWS_CA_BUNDLE/,
      });
    });

    it("killed in the middle of writes keeps the old object or the new one, never half of one", async () => {
      const dataDir = await mkdtemp(join(tmpdir(), "kong-fallback-s3-data-"));
      try {
        let kept = randomBytes(12_000_000);
        {
          await using server = await start({ dataDir });
          await createBucket(server, "bucket");
          await using store = await openS3(server);
          await put(store, "a", kept, { sha256: sha256(kept) });
        }
        for (let round = 0; round < 8; round += 1) {
          const next = randomBytes(12_000_000);
          let resolved: boolean;
          {
            await using server = await start({ dataDir });
            await using store = await openS3(server);
            const writing = put(store, "a", next, { sha256: sha256(next) });
            // Each round lets the write come a little further.
            for (let reads = 0; reads < round; reads += 1) await get(store, "a");
            process.kill(server.pid, "SIGKILL");
            resolved = await writing.then(
              () => true,
              () => false,
            );
          }
          await using server = await start({ dataDir });
          await using store = await openS3(server);
          const { body, metadata } = await get(store, "a");
          assert.equal(metadata["sha256"], sha256(body), `round ${round}: a mixed object`);
          if (resolved) sameBytes(body, next);
          else assert.ok([sha256(kept), sha256(next)].includes(sha256(body)), `round ${round}`);
          kept = Buffer.from(body);
        }
      } finally {
        await rm(dataDir, { recursive: true, force: true });
      }
    }, 120_000);
  });
}
