/** How the GCS store gets a token for a service account, and what it says when it cannot. */

import assert from "node:assert/strict";
import { createPublicKey, createVerify } from "node:crypto";
import { afterEach, beforeEach, describe, it, vi } from "vitest";
import type { StoreErrorCode } from "../../src/store/port.ts";
import { StoreError } from "../../src/store/port.ts";
import type { FakeGcsServer, Fault } from "../fakes/gcs-server.ts";
import { google } from "../fakes/google-hosts.ts";
import { failsWith, get, put, text } from "./conformance/client.ts";
import type { Google } from "./gcs-account.ts";
import {
  account,
  assertNoSecret,
  openStore,
  pem,
  startGoogle,
  TOKEN,
  TOKEN_PATH,
} from "./gcs-account.ts";

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

function failTokens(fault: Fault): void {
  fake.fault = ({ path }) => (path === TOKEN_PATH ? fault : undefined);
}

function tokenRefusal(error: string, error_description: string): Fault {
  return { kind: "answer", status: 400, json: { error, error_description } };
}

function tokenRequests(): number {
  return fake.requests.filter(({ path }) => path === TOKEN_PATH).length;
}

function assertRefused(credentials: string, message: RegExp): void {
  assert.throws(
    () => openStore(credentials),
    (error) => {
      assert.ok(error instanceof StoreError);
      assert.equal(error.code, "STORE_DENIED");
      assert.match(error.message, /GCP_SERVICE_ACCOUNT is not usable/);
      assert.match(error.message, message);
      assert.match(error.hint ?? "", /JSON text of a service-account key/);
      assertNoSecret(error);
      return true;
    },
  );
}

describe("gcs with a service account", () => {
  it("buys one token with a signed assertion of the right issuer, scope and audience, and sends it along", async () => {
    await using store = openStore(JSON.stringify(account));
    await put(store, "a", "{}");
    assert.equal(await text(store, "a"), "{}");

    const [first, ...others] = fake.requests;
    assert.ok(first);
    assert.equal(google.urls[0], "https://www.googleapis.com/oauth2/v4/token");
    const form = new URLSearchParams(first.body.toString());
    assert.equal(form.get("grant_type"), "urn:ietf:params:oauth:grant-type:jwt-bearer");
    const [head = "", claims = "", signature = ""] = (form.get("assertion") ?? "").split(".");
    const verifier = createVerify("RSA-SHA256").update(`${head}.${claims}`);
    assert.ok(verifier.verify(createPublicKey(pem), signature, "base64url"));
    const claimed = JSON.parse(Buffer.from(claims, "base64url").toString());
    assert.equal(claimed.iss, account.client_email);
    assert.equal(claimed.aud, "https://www.googleapis.com/oauth2/v4/token");
    const scopes = claimed.scope.split(" ");
    assert.ok(scopes.includes("https://www.googleapis.com/auth/devstorage.full_control"), scopes);

    assert.equal(others.length, 3);
    for (const { headers } of others) assert.equal(headers.authorization, `Bearer ${TOKEN}`);
    assert.ok(
      google.urls.slice(1).every((url) => url.startsWith("https://storage.googleapis.com/")),
    );
  });

  it("refuses credentials that cannot work, when opened, without repeating them", () => {
    const json = JSON.stringify(account);
    assertRefused("", /it is not JSON/);
    assertRefused("/etc/key.json", /it is not JSON/);
    assertRefused(Buffer.from(json).toString("base64"), /it is not JSON/);
    assertRefused(json.slice(0, -20), /it is not JSON/);
    assertRefused(`[${json}]`, /it is not a JSON object/);
    assertRefused(JSON.stringify({ ...account, type: "authorized_user" }), /"type"/);
    assertRefused(JSON.stringify({ ...account, client_email: undefined }), /"client_email"/);
    assertRefused(JSON.stringify({ ...account, private_key: undefined }), /"private_key"/);
    const flat = pem.replaceAll("\n", "\\n");
    assertRefused(JSON.stringify({ ...account, private_key: flat }), /not a PEM private key/);
  });

  const refusals: readonly (readonly [string, Fault, StoreErrorCode, RegExp, RegExp])[] = [
    [
      "a deleted key",
      tokenRefusal("invalid_grant", "Invalid JWT Signature."),
      "STORE_DENIED",
      /no access token: invalid_grant: Invalid JWT Signature/,
      /deleted or disabled/,
    ],
    [
      "a wrong clock",
      tokenRefusal(
        "invalid_grant",
        "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT claim.",
      ),
      "STORE_MISCONFIGURED",
      /reasonable timeframe/,
      /clock/,
    ],
    [
      "an endpoint that echoes what it got",
      tokenRefusal("invalid_client", `no such assertion eyJhbGciOiJSUzI1NiJ9.e30.sig of ${pem}`),
      "STORE_DENIED",
      /no access token: invalid_client/,
      /GCP_SERVICE_ACCOUNT/,
    ],
    [
      "an outage",
      { kind: "html", status: 503 },
      "STORE_UNAVAILABLE",
      /no access token: HTTP 503 with a web page/,
      /token endpoint/,
    ],
    [
      "a broken connection",
      { kind: "reset" },
      "STORE_UNAVAILABLE",
      /no access token: .*ECONNRESET/,
      /token endpoint/,
    ],
  ];
  for (const [what, fault, code, message, hint] of refusals) {
    it(`says ${code} when the token endpoint answers with ${what}, after one request`, async () => {
      await using store = openStore(JSON.stringify(account));
      failTokens(fault);
      const error = await failsWith(code, get(store, "a"));
      assert.match(
        error.message,
        /^could not read gs:\/\/backups\/team\/a at https:\/\/storage\.googleapis\.com: /,
      );
      assert.match(error.message, message);
      assert.match(error.hint ?? "", hint);
      assertNoSecret(error);
      assert.equal(tokenRequests(), 1);
    });
  }

  it("gives up on a stalled token endpoint, and asks anew later", async () => {
    await using store = openStore(JSON.stringify(account), 60);
    failTokens({ kind: "stall" });
    const error = await failsWith("STORE_UNAVAILABLE", put(store, "a", "{}"));
    assert.match(error.message, /not answer in time \(no access token within 60 ms\)$/);
    fake.fault = () => undefined;
    // The stalled request may still be the one awaited; it ends by its own timeout.
    await put(store, "a", "{}").catch((late) => assert.equal(late.code, "STORE_UNAVAILABLE"));
    await put(store, "a", "{}");
  });
});
