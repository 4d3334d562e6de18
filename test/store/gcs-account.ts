/** A service account made for the tests, on a fake of Google, with nothing of this machine's own credentials. */

import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import { vi } from "vitest";
import { Secret } from "../../src/core/secret.ts";
import type { Store, StoreError } from "../../src/store/port.ts";
import { FakeGcsServer } from "../fakes/gcs-server.ts";
import { google, leadTokenRequests } from "../fakes/google-hosts.ts";
import { openGcs } from "./gcs-support.ts";

const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });

/** The private key. */
export const pem = privateKey.export({ type: "pkcs8", format: "pem" }).toString();

export const account = {
  type: "service_account",
  project_id: "shop",
  private_key_id: "k1",
  private_key: pem,
  client_email: "backup@shop.iam.gserviceaccount.com",
};

export const TOKEN = "ya29.c.made-up-token";
export const TOKEN_PATH = "/oauth2/v4/token";

export interface Google extends AsyncDisposable {
  readonly fake: FakeGcsServer;
  /** An empty folder, also this process's HOME. */
  readonly folder: string;
}

/** The test file mocks undici with `ledAway`. Until disposed, all of Google is the fake. */
export async function startGoogle(): Promise<Google> {
  const fake = await FakeGcsServer.start("backups");
  const folder = await mkdtemp(join(tmpdir(), "kong-fallback-gcs-"));
  fake.accessToken = TOKEN;
  google.port = fake.port;
  google.urls.length = 0;
  leadTokenRequests();
  for (const name of ["GOOGLE_APPLICATION_CREDENTIALS", "HTTPS_PROXY", "HTTP_PROXY"]) {
    vi.stubEnv(name, undefined);
  }
  vi.stubEnv("HOME", folder);
  vi.stubEnv("METADATA_SERVER_DETECTION", "none");
  return {
    fake,
    folder,
    async [Symbol.asyncDispose]() {
      vi.unstubAllEnvs();
      vi.restoreAllMocks();
      await fake[Symbol.asyncDispose]();
      await rm(folder, { recursive: true });
    },
  };
}

export function openStore(credentials?: string, timeoutMs = 10_000): Store {
  return openGcs(undefined, {
    credentials: credentials === undefined ? undefined : new Secret(credentials),
    timeoutMs,
  });
}

/** Fails if any way of printing the error shows part of the key or the token. */
export function assertNoSecret(error: StoreError): void {
  const dumped = inspect(error, { depth: 10, showHidden: true, getters: true });
  const printed = [error.message, error.hint ?? "", error.stack ?? "", dumped].join("\n");
  assert.ok(!printed.includes("PRIVATE KEY"), printed);
  for (const line of pem.split("\n").slice(1, -2)) assert.ok(!printed.includes(line.slice(0, 12)));
  for (const secret of [TOKEN, "ya29.", "eyJ"]) assert.ok(!printed.includes(secret), printed);
}
