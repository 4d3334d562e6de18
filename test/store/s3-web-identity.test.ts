/** A role assumed with a web identity token, as EKS gives one to a service account (IRSA). */

import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { afterEach, beforeEach, describe, it } from "vitest";
import { certificateAuthority } from "../fakes/certificates.ts";
import { get, put, text } from "./conformance/client.ts";
import { refused } from "./refused.ts";
import type { AwsWorld } from "./s3-identity.ts";
import { startAws, stubAws } from "./s3-identity.ts";

const ROLE = "arn:aws:iam::111122223333:role/backup";

let aws: AwsWorld;
beforeEach(async () => {
  aws = await startAws();
});
afterEach(() => aws[Symbol.asyncDispose]());

async function irsa(world = aws): Promise<void> {
  await writeFile(world.path("token"), "token-of-the-pod-1");
  stubAws({
    AWS_WEB_IDENTITY_TOKEN_FILE: world.path("token"),
    AWS_ROLE_ARN: ROLE,
    AWS_ROLE_SESSION_NAME: "exporter",
    AWS_ENDPOINT_URL_STS: world.identity.endpoint,
  });
}

describe("S3 with a web identity", () => {
  it("shows the token and the role's name to STS, unsigned, and signs with what it gets", async () => {
    await irsa();
    await using store = await aws.open();
    await put(store, "a", "1");
    assert.equal(await text(store, "a"), "1");
    const [asked, ...more] = aws.identity.requests;
    assert.deepEqual(more, []);
    assert.deepEqual(Object.fromEntries(asked?.form ?? []), {
      Action: "AssumeRoleWithWebIdentity",
      Version: "2011-06-15",
      RoleArn: ROLE,
      RoleSessionName: "exporter",
      WebIdentityToken: "token-of-the-pod-1",
    });
    assert.equal(asked?.headers.authorization, undefined);
    assert.deepEqual(aws.sessions(), ["session-1", "session-1"]);
  });

  it("reads the token's file again for each new session: kubelet renews it", async () => {
    await irsa();
    aws.identity.lifetimeMs = -1;
    await using store = await aws.open();
    await put(store, "a", "1");
    aws.identity.requests.length = 0;
    await writeFile(aws.path("token"), "token-of-the-pod-2");
    await put(store, "a", "2");
    for (const { form } of aws.identity.requests) {
      assert.equal(form.get("WebIdentityToken"), "token-of-the-pod-2");
    }
    assert.notEqual(aws.identity.requests.length, 0);
  });

  it.each(["AccessDenied", "ExpiredTokenException", "InvalidIdentityToken"])(
    "says that STS refuses the role, not S3 the object: %s",
    async (code) => {
      await irsa();
      aws.identity.fault = () => ({ kind: "refusal", status: 403, code });
      await using store = await aws.open();
      await refused(get(store, "a"), {
        code: "STORE_DENIED",
        message: new RegExp(`token service refuses the role \\(HTTP 403 ${code}: the fake says no`),
        hint: /AWS_ROLE_ARN.*trust policy/,
        retryable: false,
      });
      assert.deepEqual(aws.s3.requests, []);
    },
  );

  it("calls an STS that cannot ask the token's issuer an outage, and tries anew at the next request", async () => {
    await irsa();
    const code = "IDPCommunicationError";
    aws.identity.fault = () => ({ kind: "refusal", status: 400, code });
    await using store = await aws.open();
    await refused(get(store, "a"), {
      code: "STORE_UNAVAILABLE",
      message: /token service is overloaded or in trouble/,
      hint: /AWS_ENDPOINT_URL_STS/,
    });
    aws.identity.fault = () => undefined;
    await put(store, "a", "1");
  });

  it("calls an STS that is not there, or is silent, an outage", async () => {
    await irsa();
    aws.identity.fault = () => ({ kind: "silence" });
    await using silent = await aws.open({ timeoutMs: 50 });
    await refused(get(silent, "a"), {
      code: "STORE_UNAVAILABLE",
      message: /token service cannot be reached/,
    });
    stubAws({
      AWS_WEB_IDENTITY_TOKEN_FILE: aws.path("token"),
      AWS_ROLE_ARN: ROLE,
      AWS_ENDPOINT_URL_STS: "http://127.0.0.1:1",
    });
    await using store = await aws.open();
    await refused(get(store, "a"), {
      code: "STORE_UNAVAILABLE",
      message: /token service cannot be reached \(.*ECONNREFUSED/,
      hint: /AWS_ENDPOINT_URL_STS/,
    });
  });

  it("verifies the certificate of STS, and trusts the CA of AWS_CA_BUNDLE there, too", async () => {
    const authority = await certificateAuthority();
    const { cert, key } = await authority.issue("127.0.0.1");
    await using world = await startAws({ cert, key: key.reveal() });
    await irsa(world);
    await using stranger = await world.open();
    await refused(get(stranger, "a"), {
      code: "STORE_MISCONFIGURED",
      message: /certificate of AWS's token service is not trusted/,
      hint: /AWS_CA_BUNDLE/,
    });
    assert.deepEqual(world.identity.requests, []);
    await using store = await world.open({ caBundle: authority.cert });
    await put(store, "a", "1");
    assert.deepEqual(world.sessions(), ["session-1"]);
  });
});
