/** The store's certificate is verified by the program as it is started, with the CA that Node is told of. */

import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { describe, it } from "vitest";
import { certificateAuthority, daysFromNow } from "../fakes/certificates.ts";
import { runOnce } from "./cli.ts";
import { Stage } from "./stage.ts";

const authority = await certificateAuthority();

type Issued = Awaited<ReturnType<typeof authority.issue>>;

/** A Cloud Storage without any object; tells how often it was asked. */
async function startStorage({ cert, key }: Issued) {
  let requests = 0;
  const server = createServer({ cert, key: key.reveal() }, (_, response) => {
    requests += 1;
    response.writeHead(404, { "content-type": "application/json" });
    response.end(JSON.stringify({ error: { code: 404, message: "No such object: b/o" } }));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    endpoint: `https://127.0.0.1:${port}`,
    requests: () => requests,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function importFrom(issued: Issued, more: Readonly<Record<string, string>> = {}) {
  await using stage = await Stage.open();
  await using storage = await startStorage(issued);
  await writeFile(stage.path("ca.crt"), authority.cert);
  const { status, stderr } = await runOnce(
    ["import", "--force"],
    stage.environment(1, {
      KONG_CLUSTER_FALLBACK_CONFIG_STORAGE: "gs://bucket/kong",
      STORAGE_EMULATOR_HOST: storage.endpoint,
      NODE_EXTRA_CA_CERTS: stage.path("ca.crt"),
      ...more,
    }),
  );
  return { status, stderr, requests: storage.requests() };
}

describe("import from Cloud Storage over https", () => {
  it("asks a server whose CA, name and dates are right", async () => {
    const { status, stderr, requests } = await importFrom(await authority.issue("127.0.0.1"));
    assert.equal(status, 3, stderr);
    assert.notEqual(requests, 0);
  });

  it.each<readonly [string, () => Promise<Issued>, RegExp, hint: RegExp]>([
    [
      "of another CA",
      async () => (await certificateAuthority("Another")).issue("127.0.0.1"),
      /unable to verify|self-signed/i,
      /NODE_EXTRA_CA_CERTS/,
    ],
    [
      "that has expired",
      () => authority.issue("127.0.0.1", { notBefore: daysFromNow(-9), notAfter: daysFromNow(-1) }),
      /certificate has expired/,
      /NODE_EXTRA_CA_CERTS/,
    ],
    [
      "for another host",
      () => authority.issue("other.example"),
      /ERR_TLS_CERT_ALTNAME_INVALID/,
      /STORAGE_EMULATOR_HOST/,
    ],
  ])("refuses a certificate %s, and sends nothing", async (_, issue, message, hint) => {
    const { status, stderr, requests } = await importFrom(await issue());
    assert.equal(status, 4, stderr);
    assert.match(stderr, message);
    assert.match(stderr, /\[STORE_MISCONFIGURED\]/);
    assert.match(stderr, hint);
    assert.equal(requests, 0);
  });

  it("does not start with verification turned off", async () => {
    const { status, stderr, requests } = await importFrom(await authority.issue("other.example"), {
      NODE_TLS_REJECT_UNAUTHORIZED: "0",
    });
    assert.equal(status, 2, stderr);
    assert.match(stderr, /NODE_TLS_REJECT_UNAUTHORIZED: must be unset/);
    assert.equal(requests, 0);
  });
});
