/** The role of a container (ECS, EKS Pod Identity) and of a machine (EC2, metadata service version 2). */

import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { createServer } from "node:net";
import { afterEach, beforeEach, describe, it } from "vitest";
import { ManualClock } from "../fakes/manual-clock.ts";
import { get, put } from "./conformance/client.ts";
import { refused } from "./refused.ts";
import type { AwsWorld } from "./s3-identity.ts";
import { startAws, stubAws } from "./s3-identity.ts";

let aws: AwsWorld;
beforeEach(async () => {
  aws = await startAws();
});
afterEach(() => aws[Symbol.asyncDispose]());

describe("S3 with the role of a container", () => {
  // 169.254.170.2, where AWS_CONTAINER_CREDENTIALS_RELATIVE_URI leads, is no address of a test's own.
  it("shows the token of AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE, read anew each time, as EKS Pod Identity wants", async () => {
    stubAws({
      AWS_CONTAINER_CREDENTIALS_FULL_URI: `${aws.identity.endpoint}/container`,
      AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: aws.path("token"),
    });
    await writeFile(aws.path("token"), "pod-1");
    aws.identity.lifetimeMs = -1;
    await using store = await aws.open();
    await put(store, "a", "1");
    await writeFile(aws.path("token"), "pod-2");
    await put(store, "a", "2");
    const shown = aws.identity.requests.map(({ headers }) => headers.authorization);
    assert.deepEqual([shown[0], shown.at(-1)], ["pod-1", "pod-2"]);
    assert.ok(aws.sessions().every((session) => session?.startsWith("session-")));
  });

  it("takes no address that is neither https nor the machine itself", async () => {
    stubAws({ AWS_CONTAINER_CREDENTIALS_FULL_URI: "http://metadata.example/container" });
    await using store = await aws.open();
    await refused(get(store, "a"), {
      code: "STORE_DENIED",
      message: /no usable credentials were found/,
      retryable: true,
    });
  });
});

describe("S3 with the role of a machine", () => {
  const ec2 = (endpoint: string) =>
    stubAws({ AWS_EC2_METADATA_DISABLED: "false", AWS_EC2_METADATA_SERVICE_ENDPOINT: endpoint });

  it("asks for a session of the metadata service first, then for the role's name and its credentials", async () => {
    ec2(aws.identity.endpoint);
    await using store = await aws.open();
    await put(store, "a", "1");
    assert.deepEqual(
      aws.identity.requests.map(({ method, path }) => `${method} ${path}`),
      [
        "PUT /latest/api/token",
        "GET /latest/meta-data/iam/security-credentials/",
        "GET /latest/meta-data/iam/security-credentials/backup-role",
      ],
    );
    const [token, ...gets] = aws.identity.requests.map(({ headers }) => headers);
    assert.equal(token?.["x-aws-ec2-metadata-token-ttl-seconds"], "21600");
    for (const headers of gets) {
      assert.equal(headers["x-aws-ec2-metadata-token"], "metadata-session");
    }
    assert.deepEqual(aws.sessions(), ["session-1"]);
  });

  it("waits some seconds for a role that comes late, then says where it looked, and finds it all the same", async () => {
    ec2(aws.identity.endpoint);
    aws.identity.fault = () => ({ kind: "refusal", status: 404, code: "" });
    const clock = new ManualClock(new Date());
    await using store = await aws.open({ clock });
    const missing = (retryable: boolean) =>
      refused(get(store, "a"), {
        code: "STORE_DENIED",
        message: /no usable credentials were found/,
        hint: /AWS_ACCESS_KEY_ID.*AWS_PROFILE.*EKS.*ECS.*EC2/,
        retryable,
      });
    await missing(true);
    await clock.advance(2_999);
    await missing(true);
    await clock.advance(1);
    await missing(false);
    aws.identity.fault = () => undefined;
    await put(store, "a", "1");
  });

  it("gives a metadata service that takes connections and says nothing a second for each question", async () => {
    await using silence = await silentServer();
    ec2(silence.endpoint);
    await using store = await aws.open();
    await refused(get(store, "a"), {
      code: "STORE_DENIED",
      message: /no usable credentials were found/,
      retryable: true,
    });
    assert.equal(silence.connections(), 2, "the token, then the role without one");
  });
});

async function silentServer() {
  let connections = 0;
  const server = createServer((socket) => {
    connections += 1;
    socket.on("error", () => {}).resume();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    endpoint: `http://127.0.0.1:${port}`,
    connections: () => connections,
    [Symbol.asyncDispose]: () => new Promise<void>((resolve) => server.close(() => resolve())),
  };
}
