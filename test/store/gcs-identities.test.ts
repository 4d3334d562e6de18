/** Identities of Google without a key: the user's own, workload identity federation, the metadata server; and what a key file cannot lead to. */

import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it, vi } from "vitest";
import { systemClock } from "../../src/runtime/clock.ts";
import { noToken } from "../../src/store/gcs/verdicts.ts";
import type { FakeGcsServer, Fault, SeenRequest } from "../fakes/gcs-server.ts";
import { google } from "../fakes/google-hosts.ts";
import { failsWith, get, put } from "./conformance/client.ts";
import type { Google } from "./gcs-account.ts";
import { account, assertNoSecret, openStore, startGoogle, TOKEN } from "./gcs-account.ts";

vi.mock("undici", async (importOriginal) => {
  const { ledAway } = await import("../fakes/google-hosts.ts");
  return ledAway(await importOriginal());
});

let server: Google;
let fake: FakeGcsServer;

beforeEach(async () => {
  server = await startGoogle();
  fake = server.fake;
});
afterEach(() => server[Symbol.asyncDispose]());

/** The answers of paths that the fake does not know, by their beginnings. */
function answer(by: Readonly<Record<string, unknown>>): void {
  fake.fault = ({ path }): Fault | undefined => {
    const found = Object.entries(by).find(([start]) => path.startsWith(start));
    return found && { kind: "answer", status: 200, json: found[1] };
  };
}

async function useFile(json: unknown): Promise<void> {
  const path = join(server.folder, "credentials.json");
  await writeFile(path, JSON.stringify(json));
  vi.stubEnv("GOOGLE_APPLICATION_CREDENTIALS", path);
}

function asked(path: string): SeenRequest {
  const request = fake.requests.find((seen) => seen.path === path);
  assert.ok(request, fake.requests.map((seen) => seen.path).join(" "));
  return request;
}

describe("gcs with a key whose file names another token_uri", () => {
  const elsewhere = { ...account, token_uri: "https://evil.example/token" };

  it("asks Google all the same, be it GCP_SERVICE_ACCOUNT or the file", async () => {
    await useFile(elsewhere);
    for (const credentials of [JSON.stringify(elsewhere), undefined]) {
      await using store = openStore(credentials);
      await put(store, "a", "{}");
    }
    const hosts = new Set(google.urls.map((url) => new URL(url).host));
    assert.deepEqual([...hosts].sort(), ["storage.googleapis.com", "www.googleapis.com"]);
  });
});

describe("gcs as the user of gcloud", () => {
  it("buys a token with the refresh token of the file", async () => {
    await useFile({
      type: "authorized_user",
      client_id: "client",
      client_secret: "client-secret",
      refresh_token: "refresh",
    });
    answer({ "/token": { access_token: TOKEN, expires_in: 3600 } });
    await using store = openStore();
    await put(store, "a", "{}");
    const form = new URLSearchParams(asked("/token").body.toString());
    assert.deepEqual(
      [form.get("grant_type"), form.get("refresh_token")],
      ["refresh_token", "refresh"],
    );
    assert.equal(google.urls[0], "https://oauth2.googleapis.com/token");
  });
});

describe("gcs with workload identity federation", () => {
  const ACCOUNT = "backup@shop.iam.gserviceaccount.com";
  const IMPERSONATE = `/v1/projects/-/serviceAccounts/${ACCOUNT}:generateAccessToken`;
  const AUDIENCE =
    "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/eks";
  const federated = (source: unknown) => ({
    type: "external_account",
    audience: AUDIENCE,
    subject_token_type: "urn:ietf:params:oauth:token-type:jwt",
    token_url: "https://sts.googleapis.com/v1/token",
    service_account_impersonation_url: `https://iamcredentials.googleapis.com${IMPERSONATE}`,
    credential_source: source,
  });
  const exchanged = {
    access_token: "ya29.federated",
    issued_token_type: "urn:ietf:params:oauth:token-type:access_token",
    token_type: "Bearer",
    expires_in: 3600,
  };
  const inAnHour = () => new Date(Date.now() + 3_600_000).toISOString();

  it("exchanges the token of a file, then impersonates the service account", async () => {
    const file = join(server.folder, "token");
    await writeFile(file, "subject-1");
    await useFile(federated({ file }));
    answer({
      "/v1/token": exchanged,
      "/v1/projects/": { accessToken: TOKEN, expireTime: inAnHour() },
    });
    await using store = openStore();
    await put(store, "a", "{}");
    const form = new URLSearchParams(asked("/v1/token").body.toString());
    assert.equal(form.get("subject_token"), "subject-1");
    assert.equal(form.get("audience"), AUDIENCE);
    assert.equal(asked(IMPERSONATE).headers.authorization, "Bearer ya29.federated");
    assert.equal(fake.requests.at(-1)?.headers.authorization, `Bearer ${TOKEN}`);
  });

  it("reads the file again for each new token: its writer renews it", async () => {
    const file = join(server.folder, "token");
    await useFile(federated({ file }));
    answer({
      "/v1/token": exchanged,
      // Less than five minutes are left: the next request asks anew.
      "/v1/projects/": {
        accessToken: TOKEN,
        expireTime: new Date(Date.now() + 60_000).toISOString(),
      },
    });
    await using store = openStore();
    const shown: (string | null)[] = [];
    for (const subject of ["subject-1", "subject-2"]) {
      await writeFile(file, subject);
      fake.requests.length = 0;
      await put(store, "a", "{}");
      const form = new URLSearchParams(asked("/v1/token").body.toString());
      shown.push(form.get("subject_token"));
    }
    assert.deepEqual(shown, ["subject-1", "subject-2"]);
  });

  it("takes the token of a local address", async () => {
    const url = `http://127.0.0.1:${fake.port}/subject`;
    await useFile(federated({ url, format: { type: "json", subject_token_field_name: "jwt" } }));
    answer({
      "/subject": { jwt: "subject-of-the-url" },
      "/v1/token": exchanged,
      "/v1/projects/": { accessToken: TOKEN, expireTime: inAnHour() },
    });
    await using store = openStore();
    await put(store, "a", "{}");
    const form = new URLSearchParams(asked("/v1/token").body.toString());
    assert.equal(form.get("subject_token"), "subject-of-the-url");
  });

  it("says what Google's token service refuses, and no secret", async () => {
    const file = join(server.folder, "token");
    await writeFile(file, "eyJhbGciOiJSUzI1NiJ9.e30.sig");
    await useFile(federated({ file }));
    const error = "invalid_grant";
    const json = { error, error_description: "The audience does not match." };
    fake.fault = () => ({ kind: "answer", status: 400, json });
    await using store = openStore();
    const refused = await failsWith("STORE_DENIED", get(store, "a"));
    assert.match(refused.message, /no access token: .*invalid_grant.*audience does not match/);
    assertNoSecret(refused);
  });

  it("says which file is missing", async () => {
    await useFile(federated({ file: join(server.folder, "absent") }));
    await using store = openStore();
    const error = await failsWith("STORE_DENIED", get(store, "a"));
    assert.match(error.message, /absent/);
  });
});

describe("gcs with the metadata server", () => {
  const METADATA = "/computeMetadata/v1/instance/service-accounts/default/token";
  beforeEach(() => {
    vi.stubEnv("METADATA_SERVER_DETECTION", "assume-present");
    vi.stubEnv("GCE_METADATA_HOST", `127.0.0.1:${fake.port}`);
  });
  const token = (expires_in: number) =>
    answer({ [METADATA]: { access_token: TOKEN, expires_in, token_type: "Bearer" } });
  const tokenRequests = () => fake.requests.filter(({ path }) => path === METADATA).length;

  it("keeps a token that lasts, asked for once for many requests, and renews one that is about to expire", async () => {
    token(3600);
    await using store = openStore();
    await Promise.all(Array.from({ length: 5 }, () => put(store, "a", "{}")));
    assert.equal(tokenRequests(), 1);

    token(60);
    await using brief = openStore();
    await put(brief, "a", "{}");
    await put(brief, "a", "{}");
    assert.equal(tokenRequests(), 3);
    assert.equal(asked(METADATA).headers["metadata-flavor"], "Google");
  });

  it("is an outage where it fails after the start, and over with the next token", async () => {
    token(60);
    await using store = openStore();
    await put(store, "a", "{}");
    const broken: Fault = { kind: "html", status: 503 };
    fake.fault = ({ path }) => (path === METADATA ? broken : undefined);
    const error = await failsWith("STORE_UNAVAILABLE", get(store, "a"));
    assert.match(error.hint ?? "", /metadata server/);
    fake.fault = () => undefined;
    token(3600);
    await get(store, "a");
  });

  it("is an outage where it stays silent, in the SDK's words", () => {
    const url = `http://metadata.google.internal${METADATA}`;
    const said = new Error(`Could not refresh access token: network timeout at: ${url}`);
    const what = { action: "read", target: "gs://b/a", bucket: "b", place: "https://g" } as const;
    const attempt = { ...what, when: undefined, clock: systemClock };
    assert.equal(noToken(said, attempt).code, "STORE_UNAVAILABLE");
  });
});
