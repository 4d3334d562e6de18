/** Credentials of a real MinIO that a policy narrows: its STS takes one with AssumeRole. https://docs.min.io/community/minio-object-store/developers/security-token-service/AssumeRole.html */

import assert from "node:assert/strict";
import { createHash, createHmac } from "node:crypto";
import type { S3Facts } from "../servers/process.ts";

export interface Session {
  readonly AWS_ACCESS_KEY_ID: string;
  readonly AWS_SECRET_ACCESS_KEY: string;
  readonly AWS_SESSION_TOKEN: string;
}

/** Of the server's root user, allowed no more than `policy`, a policy document as JSON text. */
export async function assumeRole(server: S3Facts, policy: string): Promise<Session> {
  const query = { Action: "AssumeRole", Version: "2011-06-15", Policy: policy };
  const body = new URLSearchParams(query).toString();
  const answer = await fetch(server.endpoint, {
    method: "POST",
    body,
    headers: sign(server, body),
  });
  const text = await answer.text();
  assert.equal(answer.status, 200, text);
  const field = (name: string) =>
    new RegExp(`<${name}>([^<]+)<`).exec(text)?.[1] ?? assert.fail(text);
  return {
    AWS_ACCESS_KEY_ID: field("AccessKeyId"),
    AWS_SECRET_ACCESS_KEY: field("SecretAccessKey"),
    AWS_SESSION_TOKEN: field("SessionToken"),
  };
}

/** Signature V4. https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html */
function sign({ endpoint, region, accessKeyId, secretAccessKey }: S3Facts, body: string) {
  const time = new Date().toISOString().replace(/[-:]|\.\d+/g, "");
  const day = time.slice(0, 8);
  const scope = `${day}/${region}/sts/aws4_request`;
  const headers = {
    "content-type": "application/x-www-form-urlencoded",
    host: new URL(endpoint).host,
    "x-amz-date": time,
  };
  const names = Object.keys(headers).join(";");
  const lines = Object.entries(headers).map(([name, value]) => `${name}:${value}\n`);
  const request = ["POST", "/", "", lines.join(""), names, sha256(body)].join("\n");
  const steps = [day, region, "sts", "aws4_request"];
  const key = steps.reduce<string | Buffer>((by, text) => hmac(by, text), `AWS4${secretAccessKey}`);
  const toSign = ["AWS4-HMAC-SHA256", time, scope, sha256(request)].join("\n");
  const signature = hmac(key, toSign).toString("hex");
  const { host: _, ...sent } = headers;
  return {
    ...sent,
    authorization: `AWS4-HMAC-SHA256 Credential=${accessKeyId}/${scope}, SignedHeaders=${names}, Signature=${signature}`,
  };
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

function hmac(key: string | Buffer, text: string): Buffer {
  return createHmac("sha256", key).update(text).digest();
}
