/** Profiles of ~/.aws: a role assumed from keys, from a machine's role, from a token; and keys that another program renews. */

import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { afterEach, beforeEach, describe, it, vi } from "vitest";
import { get, put } from "./conformance/client.ts";
import { refused, SECRET_KEY, SESSION_TOKEN } from "./refused.ts";
import type { AwsWorld } from "./s3-identity.ts";
import { startAws, stubAws } from "./s3-identity.ts";

const ROLE = "arn:aws:iam::111122223333:role/backup";

let aws: AwsWorld;
beforeEach(async () => {
  aws = await startAws();
});
afterEach(async () => {
  vi.restoreAllMocks();
  await aws[Symbol.asyncDispose]();
});

async function profile(text: string, env: Readonly<Record<string, string>> = {}): Promise<void> {
  await writeFile(aws.path("config"), text, { mode: 0o600 });
  stubAws({
    AWS_CONFIG_FILE: aws.path("config"),
    AWS_PROFILE: "backup",
    AWS_ENDPOINT_URL_STS: aws.identity.endpoint,
    ...env,
  });
}

function asked() {
  return aws.identity.requests
    .filter(({ form }) => form.size > 0)
    .map(({ form, headers }) => ({
      action: form.get("Action"),
      role: form.get("RoleArn"),
      externalId: form.get("ExternalId"),
      session: form.get("RoleSessionName"),
      signedBy: /Credential=([^/]+)/.exec(headers.authorization ?? "")?.[1],
    }));
}

describe("S3 with a profile", () => {
  it("assumes its role with the keys of another profile and the external id", async () => {
    await profile(`[profile keys]
aws_access_key_id = source-key-id
aws_secret_access_key = ${SECRET_KEY}
[profile backup]
role_arn = ${ROLE}
role_session_name = exporter
external_id = shop
source_profile = keys
`);
    await using store = await aws.open();
    await put(store, "a", "1");
    const want = { action: "AssumeRole", role: ROLE, externalId: "shop", session: "exporter" };
    assert.deepEqual(asked(), [{ ...want, signedBy: "source-key-id" }]);
    assert.deepEqual(aws.sessions(), ["session-1"]);
  });

  it("assumes its role with the keys of the environment", async () => {
    // The SDK says there which of the two it takes.
    vi.spyOn(console, "warn").mockImplementation(() => {});
    const text = `[profile backup]
role_arn = ${ROLE}
credential_source = Environment
`;
    await profile(text, {
      AWS_ACCESS_KEY_ID: "source-key-id",
      AWS_SECRET_ACCESS_KEY: SECRET_KEY,
    });
    await using store = await aws.open();
    await put(store, "a", "1");
    assert.deepEqual(
      asked().map(({ role, signedBy }) => [role, signedBy]),
      [[ROLE, "source-key-id"]],
    );
    assert.deepEqual(aws.sessions(), ["session-1"]);
  });

  it("assumes its role with the role of the machine, and of the container", async () => {
    for (const source of ["Ec2InstanceMetadata", "EcsContainer"]) {
      await profile(`[profile backup]\nrole_arn = ${ROLE}\ncredential_source = ${source}\n`, {
        AWS_EC2_METADATA_DISABLED: "false",
        AWS_EC2_METADATA_SERVICE_ENDPOINT: aws.identity.endpoint,
        AWS_CONTAINER_CREDENTIALS_FULL_URI: `${aws.identity.endpoint}/container`,
      });
      await using store = await aws.open();
      await put(store, "a", "1");
    }
    assert.deepEqual(
      asked().map(({ role, signedBy }) => [role, signedBy]),
      [
        [ROLE, "fake-key-id"],
        [ROLE, "fake-key-id"],
      ],
    );
    assert.deepEqual(aws.sessions(), ["session-2", "session-4"]);
  });

  it("assumes its role with a web identity token", async () => {
    await writeFile(aws.path("token"), "token-of-the-pod");
    await profile(`[profile backup]
role_arn = ${ROLE}
web_identity_token_file = ${aws.path("token")}
`);
    await using store = await aws.open();
    await put(store, "a", "1");
    assert.deepEqual(
      asked().map(({ action }) => action),
      ["AssumeRoleWithWebIdentity"],
    );
    assert.deepEqual(aws.sessions(), ["session-1"]);
  });

  it("reports the expired session token of a file, and takes the next from there once it is renewed", async () => {
    const keys = (token: string) => `[backup]
aws_access_key_id = fake-key-id
aws_secret_access_key = ${SECRET_KEY}
aws_session_token = ${token}
`;
    await writeFile(aws.path("credentials"), keys(SESSION_TOKEN), { mode: 0o600 });
    await profile("", { AWS_SHARED_CREDENTIALS_FILE: aws.path("credentials") });
    aws.s3.fault = ({ headers }) =>
      headers["x-amz-security-token"] === SESSION_TOKEN
        ? { kind: "error", status: 400, code: "ExpiredToken", message: "The token has expired." }
        : undefined;
    await using store = await aws.open();
    for (let tries = 0; tries < 2; tries += 1) {
      await refused(get(store, "a"), {
        code: "STORE_DENIED",
        message: /the session token has expired/,
        hint: /Renew it.*AWS_SESSION_TOKEN/,
      });
    }
    await writeFile(aws.path("credentials"), keys("renewed"), { mode: 0o600 });
    await put(store, "a", "1");
    assert.deepEqual(aws.sessions(), [SESSION_TOKEN, SESSION_TOKEN, "renewed"]);
  });
});

describe("S3 with keys of the environment", () => {
  it("sends and signs the session token", async () => {
    stubAws({
      AWS_ACCESS_KEY_ID: "fake-key-id",
      AWS_SECRET_ACCESS_KEY: SECRET_KEY,
      AWS_SESSION_TOKEN: SESSION_TOKEN,
    });
    await using store = await aws.open();
    await put(store, "a", "1");
    assert.deepEqual(aws.sessions(), [SESSION_TOKEN]);
  });
});
