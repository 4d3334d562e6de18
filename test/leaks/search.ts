/** Where canaries are looked for besides output and pages: requests, objects, frames, files and their names. */

import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import type { Group } from "./canaries.ts";
import type { World } from "./world.ts";

export interface Found {
  readonly where: string;
  readonly bytes: Uint8Array | string;
  /** What may stand there. */
  readonly allowed: readonly Group[];
}

/** A session token is sent with each request to S3, a password to the proxy, both in one header; a config is a body. */
export function* requestsOf(world: World): Generator<Found> {
  for (const { method, url, headers } of world.s3.requests) {
    const { "x-amz-security-token": token = "", ...others } = headers;
    const where = `${method} ${url}`;
    yield found(`x-amz-security-token of ${where}`, String(token), ["aws-token"]);
    yield found(`S3 ${where}`, JSON.stringify([url, others]));
  }
  for (const { target, headers } of world.proxy.requests) {
    const { "proxy-authorization": password = "", ...others } = headers;
    yield found(`proxy-authorization of ${target}`, password, ["proxy-password"]);
    yield found(`CONNECT ${target}`, JSON.stringify([target, others]));
  }
  for (const request of world.kong.requests) yield found(`Admin API ${request}`, request);
  for (const { query, contentType = "", body } of world.kong.configs) {
    yield found("head of POST /config", `${query} ${contentType}`);
    yield found("body of POST /config", body, ["config"]);
  }
  for (const session of world.controlPlane.sessions) {
    const { url = "", headers } = session.request;
    yield found("upgrade sent to the control plane", JSON.stringify([url, headers]));
    for (const { payload } of session.frames) yield found("frame to the control plane", payload);
  }
  for (const objects of world.s3.buckets.values()) {
    for (const [key, { body, headers }] of objects) {
      yield found(`S3 metadata of ${key}`, JSON.stringify([key, headers]));
      yield found(`S3 object ${key}`, unzipped(body), savedIn(world));
    }
  }
}

/** Configs lie in the store, the state directory and the target; the key where the test put it. */
export async function* filesOf(world: World): AsyncGenerator<Found> {
  const { directory } = world.stage;
  const entries = await readdir(directory, { withFileTypes: true, recursive: true });
  for (const entry of entries) {
    const path = join(entry.parentPath, entry.name);
    const local = path.slice(directory.length + 1);
    yield found(`name of ${local}`, local);
    if (!entry.isFile() || /^given\/|^cluster\.key$/.test(local)) continue;
    const bytes = unzipped(await readFile(path));
    if (/^(store|state)\//.test(local)) yield found(`file ${local}`, bytes, savedIn(world));
    else yield found(`file ${local}`, bytes, local.startsWith("kong.json") ? ["config"] : []);
    const isMess = /^cwd\//.test(local) || /^tmp\/(?!kong-fallback-demo-)/.test(local);
    assert.ok(!isMess, `${local} was left behind`);
  }
}

function found(where: string, bytes: Uint8Array | string, allowed: readonly Group[] = []): Found {
  return { where, bytes, allowed };
}

function savedIn({ isSealed }: World): readonly Group[] {
  return isSealed ? [] : ["config"];
}

/** What is compressed hides what it holds; a damaged one is left as it is. */
function unzipped(bytes: Buffer): Buffer {
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;
  try {
    return gunzipSync(bytes);
  } catch {
    return bytes;
  }
}
