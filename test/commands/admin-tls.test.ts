/** What is said at start of the settings for Admin APIs. */

import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { openAdminTls } from "../../src/commands/cluster.ts";
import { readSettings } from "../../src/runtime/settings.ts";
import { clusterCertificate } from "../fakes/certificates.ts";

describe("the certificate for Admin APIs", async () => {
  const { cert, key } = await clusterCertificate();
  const open = (environment: Readonly<Record<string, string>>) =>
    openAdminTls(readSettings(environment));

  it("wants both halves of the pair", async () => {
    await assert.rejects(open({ KONG_FALLBACK_ADMIN_CERT: cert }), {
      code: "SETTINGS_INVALID",
      message: /^KONG_FALLBACK_ADMIN_CERT_KEY: is not set/,
    });
    await assert.rejects(open({ KONG_FALLBACK_ADMIN_CERT_KEY: key.reveal() }), {
      code: "SETTINGS_INVALID",
      message: /^KONG_FALLBACK_ADMIN_CERT: is not set/,
    });
  });

  it("is checked at start", async () => {
    const foreign = (await clusterCertificate()).key.reveal();
    await assert.rejects(
      open({ KONG_FALLBACK_ADMIN_CERT: cert, KONG_FALLBACK_ADMIN_CERT_KEY: foreign }),
      { exitStatus: 2, message: /^KONG_FALLBACK_ADMIN_CERT_KEY: the key does not belong to/ },
    );
    await assert.rejects(open({ KONG_FALLBACK_ADMIN_CA_CERT: "/nowhere/ca.crt" }), {
      exitStatus: 2,
      message: /^KONG_FALLBACK_ADMIN_CA_CERT=\/nowhere\/ca\.crt: cannot be read/,
    });
  });

  it("is read anew each time, with the CA and the name", async () => {
    const load = await open({
      KONG_FALLBACK_ADMIN_CERT: cert,
      KONG_FALLBACK_ADMIN_CERT_KEY: key.reveal(),
      KONG_FALLBACK_ADMIN_CA_CERT: cert,
      KONG_FALLBACK_ADMIN_SERVER_NAME: "kong-admin.kong.svc",
    });
    const tls = await load();
    const given = [cert, key.reveal()].map((pem) => pem.trim());
    assert.deepEqual([tls.pair?.cert, tls.pair?.key.reveal()], given);
    assert.deepEqual([tls.ca?.length, tls.servername], [1, "kong-admin.kong.svc"]);
  });
});
