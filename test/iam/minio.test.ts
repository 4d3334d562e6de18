/** The policies for Amazon S3, enforced by a real MinIO: enough to live with, and no more than they say. */

import { writeFile } from "node:fs/promises";
import { describe, it } from "vitest";
import { Stage } from "../e2e/stage.ts";
import { titled, whyMissing } from "../servers/locate.ts";
import { startMinio } from "../servers/minio.ts";
import { failsWith, get, keys, never, put } from "../store/conformance/client.ts";
import { createBucket, openS3 } from "../store/s3-support.ts";
import { liveAsExporter, liveAsReader } from "./life.ts";
import { assumeRole, type Session } from "./minio-session.ts";
import { policyText } from "./policy.ts";

const CURRENT = "3.9.1/config.json";

const missing = whyMissing("minio");

describe.skipIf(missing)(titled("the policies in deploy/iam, enforced by MinIO", missing), () => {
  it("let an exporter and readers live, with a session token, and refuse what is beyond their role", async () => {
    await using server = await startMinio();
    await createBucket(server, "my-bucket");
    const environment = (session: Session) => ({
      KONG_CLUSTER_FALLBACK_CONFIG_STORAGE: "s3://my-bucket/kong",
      AWS_CONFIG_STORAGE_ENDPOINT: server.endpoint,
      ...session,
    });
    const open = (session: Session, prefix = "kong") =>
      openS3(server, {
        bucket: "my-bucket",
        prefix,
        credentials: {
          accessKeyId: session.AWS_ACCESS_KEY_ID,
          secretAccessKey: session.AWS_SECRET_ACCESS_KEY,
          sessionToken: session.AWS_SESSION_TOKEN,
        },
      });
    const exporter = await assumeRole(server, policyText("aws-exporter.json"));
    const reader = await assumeRole(server, policyText("aws-reader.json"));

    await liveAsExporter(environment(exporter));
    await using writing = await open(exporter);
    await liveAsReader(environment(reader), async () => {
      await put(writing, CURRENT, "{}", (await get(writing, CURRENT)).metadata);
    });

    await using reading = await open(reader);
    await failsWith("STORE_DENIED", put(reading, CURRENT, "forged"));
    const [kept] = await keys(reading, "3.9.1/history");
    await failsWith("STORE_DENIED", reading.delete(kept ?? "", never));
    await failsWith("STORE_DENIED", writing.delete(CURRENT, never));
    await using elsewhere = await open(exporter, "other");
    await failsWith("STORE_DENIED", get(elsewhere, CURRENT));
  }, 60_000);

  it("hold for a role that a profile names, assumed from keys in another profile", async () => {
    await using server = await startMinio();
    await createBucket(server, "my-bucket");
    await using stage = await Stage.open();
    const { accessKeyId, secretAccessKey } = server;
    const config = `[profile keys]
aws_access_key_id = ${accessKeyId}
aws_secret_access_key = ${secretAccessKey}
[profile backup]
role_arn = arn:aws:iam::111122223333:role/backup
source_profile = keys
`;
    await writeFile(stage.path("aws"), config, { mode: 0o600 });
    await liveAsExporter({
      KONG_CLUSTER_FALLBACK_CONFIG_STORAGE: "s3://my-bucket/kong",
      AWS_CONFIG_STORAGE_ENDPOINT: server.endpoint,
      AWS_ENDPOINT_URL_STS: server.endpoint,
      AWS_CONFIG_FILE: stage.path("aws"),
      AWS_PROFILE: "backup",
    });
  }, 60_000);
});
