/** The program as an identity of Entra ID: tokens of a fake of it, taken by a real Azurite over https. */

import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, it } from "vitest";
import { certificateAuthority } from "../fakes/certificates.ts";
import { FakeEntra } from "../fakes/entra.ts";
import type { AzuriteServer } from "../servers/azurite.ts";
import { startAzurite } from "../servers/azurite.ts";
import { titled, whyMissing } from "../servers/locate.ts";
import { containerOf } from "../store/azure-support.ts";
import { Run, runOnce } from "./cli.ts";
import { captured, Stage } from "./stage.ts";

const TENANT = "11111111-2222-3333-4444-555555555555";
const CLIENT = "66666666-7777-8888-9999-000000000000";
const SECRET = "client-secret-canary";
const FEDERATED = "eyJhbGciOiJSUzI1NiJ9.federated-canary.c2ln";

const missing = whyMissing("azurite");

describe.skipIf(missing)(titled("the azure store's identities", missing), () => {
  let folder: string;
  let server: AzuriteServer;
  let entra: FakeEntra;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "kong-fallback-azure-"));
    const ca = await certificateAuthority();
    const pair = await ca.issue("127.0.0.1");
    await writeFile(join(folder, "ca.pem"), ca.cert);
    await writeFile(join(folder, "token"), FEDERATED);
    const dataDir = join(folder, "data");
    await mkdir(dataDir);
    {
      // Over http, because this process does not trust the CA.
      await using before = await startAzurite({ dataDir });
      const container = containerOf(before);
      await container.create();
      // One by hand, that there is something to list.
      await container.getBlockBlobClient("kong/3.9.1/config.json").upload("{}", 2);
    }
    const tls = { cert: pair.cert, key: pair.key.reveal() };
    server = await startAzurite({ tls, dataDir, oauth: true });
    entra = await FakeEntra.start(pair);
  }, 60_000);
  beforeEach(() => {
    entra.refusal = undefined;
    entra.lifetimeSeconds = 3_600;
    entra.requests.length = 0;
    entra.tokens.length = 0;
  });
  afterAll(async () => {
    await server?.stop();
    await entra?.[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });

  const environment = (more: Readonly<Record<string, string>>) => ({
    KONG_CLUSTER_FALLBACK_CONFIG_STORAGE: `azure://${server.account}/backups/kong`,
    KONG_VERSION: "3.9.1",
    AZURE_STORAGE_ENDPOINT: server.endpoint,
    NODE_EXTRA_CA_CERTS: join(folder, "ca.pem"),
    ...more,
  });
  const clientSecret = () => ({
    AZURE_TENANT_ID: TENANT,
    AZURE_CLIENT_ID: CLIENT,
    AZURE_CLIENT_SECRET: SECRET,
    AZURE_AUTHORITY_HOST: entra.authority,
  });
  const workload = () => ({
    AZURE_TENANT_ID: TENANT,
    AZURE_CLIENT_ID: CLIENT,
    AZURE_FEDERATED_TOKEN_FILE: join(folder, "token"),
    AZURE_AUTHORITY_HOST: `${entra.authority}/`,
  });
  const imds = () => ({ AZURE_POD_IDENTITY_AUTHORITY_HOST: entra.metadata });

  /** Lists; what is printed holds no secret. */
  async function list(more: Readonly<Record<string, string>>) {
    const { status, stdout, stderr } = await runOnce(["snapshots", "list"], environment(more));
    const printed = `${stdout}${stderr}`;
    const secrets = [SECRET, FEDERATED, server.accountKey, ...entra.tokens];
    for (const secret of secrets) assert.ok(!printed.includes(secret), printed);
    return { status, stderr };
  }

  it("client secret: exports and imports with one token each", async () => {
    await using stage = await Stage.open();
    const { frame, configTable } = captured("3.9.1", "small");
    const controlPlane = await stage.controlPlane({ config: frame });
    const settings = stage.environment(controlPlane.address.port, environment(clientSecret()));
    await using run = new Run(["export"], settings);
    await run.logged("snapshot saved");
    run.signal("SIGTERM");
    assert.equal(await run.ended(), 143);
    assert.equal(run.log.length, run.stderr.length, "an SDK's notice is noise to the user");
    await controlPlane[Symbol.asyncDispose]();
    const { status, stderr } = await runOnce(["import"], settings);
    assert.equal(status, 0, stderr);
    assert.deepEqual(await readFile(stage.path("kong.json")), configTable);
    assert.equal(entra.requests.length, 2);
    const [{ path, params } = assert.fail("no token was asked for")] = entra.requests;
    assert.equal(path, `/${TENANT}/oauth2/v2.0/token`);
    assert.equal(params.get("grant_type"), "client_credentials");
    assert.equal(params.get("client_id"), CLIENT);
    assert.equal(params.get("client_secret"), SECRET);
    assert.match(`${params.get("scope")}`, /^https:\/\/storage\.azure\.com\/\.default/);
  });

  it("workload identity: exchanges the token in the file, and the next one after it was renewed", async () => {
    for (const token of [FEDERATED, `${FEDERATED}-renewed`]) {
      await writeFile(join(folder, "token"), token);
      assert.deepEqual(await list(workload()), { status: 0, stderr: "" });
      const params = entra.requests.at(-1)?.params;
      assert.equal(params?.get("client_assertion"), token);
      assert.match(`${params?.get("client_assertion_type")}`, /jwt-bearer$/);
    }
  });

  it("managed identity: asks the machine's metadata service, for a user-assigned one by its id", async () => {
    assert.deepEqual(await list(imds()), { status: 0, stderr: "" });
    assert.deepEqual(await list({ ...imds(), AZURE_CLIENT_ID: CLIENT }), { status: 0, stderr: "" });
    const [system, user] = entra.requests;
    assert.match(`${system?.path}`, /^\/metadata\/identity\/oauth2\/token\/?$/);
    assert.equal(system?.headers["metadata"], "true");
    assert.match(`${system?.params.get("resource")}`, /^https:\/\/storage\.azure\.com/);
    assert.equal(system?.params.get("client_id"), null);
    assert.equal(user?.params.get("client_id"), CLIENT);
  });

  it("managed identity of App Service: asks its endpoint with its header", async () => {
    const endpoint = {
      IDENTITY_ENDPOINT: `${entra.metadata}/msi/token`,
      IDENTITY_HEADER: "header",
    };
    assert.deepEqual(await list(endpoint), { status: 0, stderr: "" });
    assert.equal(entra.requests[0]?.path, "/msi/token");
    assert.equal(entra.requests[0]?.headers["x-identity-header"], "header");
  });

  it("account key over https of a CA of one's own", async () => {
    const key = { AZURE_STORAGE_KEY: server.accountKey };
    assert.deepEqual(await list(key), { status: 0, stderr: "" });
    assert.equal(entra.requests.length, 0);
    const { status, stderr } = await list({ ...key, NODE_EXTRA_CA_CERTS: "" });
    assert.equal(status, 4);
    assert.match(stderr, /certificate is not trusted.*\[STORE_MISCONFIGURED\]/s);
    assert.match(stderr, /NODE_EXTRA_CA_CERTS/);
  });

  const refusal = (status: number, error: string, code: string) => () => {
    entra.refusal = {
      status,
      error,
      description: `${code}: Not you. Secret ${SECRET}, ${FEDERATED}`,
    };
  };
  const refusals: readonly [string, () => Record<string, string>, () => void, RegExp, RegExp][] = [
    [
      "a wrong secret",
      clientSecret,
      refusal(401, "invalid_client", "AADSTS7000215"),
      /no access token for the client secret \(AADSTS7000215/,
      /value of a secret, not its id/,
    ],
    [
      "an expired secret",
      clientSecret,
      refusal(401, "invalid_client", "AADSTS7000222"),
      /AADSTS7000222/,
      /make a new one/,
    ],
    [
      "a subject without federation",
      workload,
      refusal(400, "invalid_client", "AADSTS700213"),
      /workload identity \(AADSTS700213/,
      /system:serviceaccount/,
    ],
    [
      "a machine without identity",
      imds,
      refusal(400, "invalid_request", "Identity not found"),
      /no access token for the managed identity/,
      /AZURE_CLIENT_ID/,
    ],
    [
      "a token that expired on the way",
      clientSecret,
      () => {
        entra.lifetimeSeconds = -60;
      },
      /HTTP 403 AuthenticationFailed/,
      /./,
    ],
  ];
  it.each(refusals)(
    "says STORE_DENIED of %s, and nothing of what it sent",
    async (_, settings, prepare, message, hint) => {
      prepare();
      const { status, stderr } = await list(settings());
      assert.equal(status, 4, stderr);
      assert.match(stderr, /\[STORE_DENIED\]/);
      assert.match(stderr, message);
      assert.match(stderr, hint);
    },
  );

  it.each<readonly [string, Readonly<Record<string, string>>, string, RegExp]>([
    [
      "no file with a token",
      { AZURE_FEDERATED_TOKEN_FILE: "/nowhere/token" },
      "STORE_DENIED",
      /workload identity \(.*ENOENT/,
    ],
    [
      "an authority that is not there",
      { AZURE_AUTHORITY_HOST: "https://127.0.0.1:9" },
      "STORE_UNAVAILABLE",
      /ECONNREFUSED/,
    ],
    [
      "a secret without a tenant",
      { AZURE_CLIENT_SECRET: SECRET, AZURE_TENANT_ID: "" },
      "STORE_DENIED",
      /AZURE_CLIENT_SECRET is set, but AZURE_TENANT_ID is not/,
    ],
    [
      "a tenant that is none",
      { AZURE_TENANT_ID: "a b" },
      "STORE_DENIED",
      /AZURE_TENANT_ID or AZURE_AUTHORITY_HOST cannot be right/,
    ],
    [
      "an endpoint without TLS",
      { AZURE_STORAGE_ENDPOINT: "http://127.0.0.1:9" },
      "STORE_MISCONFIGURED",
      /access token goes over https only/,
    ],
  ])("says of %s what is wrong", async (_, more, code, message) => {
    const { status, stderr } = await list({ ...workload(), ...more });
    assert.equal(status, 4, stderr);
    assert.ok(stderr.includes(`[${code}]`), stderr);
    assert.match(stderr, message);
  });
});
