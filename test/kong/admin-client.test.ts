/** The client of Kong's Admin API, against a server that answers as Kong does. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { inspect } from "node:util";
import { afterEach, beforeEach, describe, it } from "vitest";
import { Secret } from "../../src/core/secret.ts";
import {
  AdminClient,
  AdminError,
  type AdminErrorCode,
  type ConfigBody,
} from "../../src/kong/admin-client.ts";
import { type AdminTls, type AdminTlsSettings, loadAdminTls } from "../../src/kong/cluster-tls.ts";
import { certificateAuthority } from "../fakes/certificates.ts";
import { FakeKongAdmin } from "../fakes/kong-admin.ts";
import { NAME, Replicas } from "../fakes/replicas.ts";

const signal = new AbortController().signal;
const CONFIG = '{"_format_version":"3.0","services":[]}';

let kong: FakeKongAdmin;
let client: AdminClient;
beforeEach(async () => {
  kong = await FakeKongAdmin.start();
  client = new AdminClient({ url: new URL(kong.url) });
});
afterEach(async () => {
  await client[Symbol.asyncDispose]();
  await kong[Symbol.asyncDispose]();
});

function loads(settings: Partial<AdminTlsSettings>): () => Promise<AdminTls> {
  return () => loadAdminTls({ pair: undefined, ca: undefined, serverName: undefined, ...settings });
}

/** From OpenSSL's `ACCEPT 127.0.0.1:40123`. */
async function acceptingPort(stdout: Readable): Promise<string> {
  let text = "";
  for await (const chunk of stdout.iterator({ destroyOnReturn: false })) {
    text += chunk;
    const port = /ACCEPT \S+:(\d+)\s/.exec(text)?.[1];
    if (port !== undefined) return port;
  }
  throw new Error(`openssl ended: ${text}`);
}

function bodyOf(text: string): ConfigBody {
  return { contentType: "application/json", bytes: Buffer.from(JSON.stringify({ config: text })) };
}

async function failureOf(promise: Promise<unknown>): Promise<AdminError> {
  try {
    await promise;
  } catch (error) {
    assert.ok(error instanceof AdminError, inspect(error));
    return error;
  }
  assert.fail("expected an AdminError");
}

describe("the hash of the config", () => {
  it("is what /status reports", async () => {
    kong.configurationHash = "a".repeat(32);
    assert.equal(await client.configurationHash(signal), "a".repeat(32));
  });

  it("is undefined on a Kong with a database", async () => {
    kong.configurationHash = undefined;
    assert.equal(await client.configurationHash(signal), undefined);
  });

  it("is looked for below the path of the URL", async () => {
    await using behindProxy = new AdminClient({ url: new URL(`${kong.url}/admin/?x=1#y`) });
    assert.equal(behindProxy.url, `${kong.url}/admin`);
    const error = await failureOf(behindProxy.configurationHash(signal));
    assert.equal(error.code, "ADMIN_NOT_FOUND");
    assert.deepEqual(kong.requests, ["GET /admin/status"]);
  });

  it("is not taken from a server that is no Admin API", async () => {
    kong.answerNext("/status", { status: 200, body: "<html>Welcome</html>" });
    const error = await failureOf(client.configurationHash(signal));
    assert.equal(error.code, "ADMIN_NOT_FOUND");
    assert.equal(error.message, `GET ${kong.url}/status did not answer in JSON`);
    assert.match(error.hint ?? "", /8001/);
  });
});

describe("where Kong keeps its config", () => {
  it.each(["off", "postgres"])("is what it says: %s", async (database) => {
    kong.database = database;
    assert.equal((await client.node(signal)).database, database);
  });

  it("is undefined where it does not say", async () => {
    kong.answerNext("/", { status: 200, body: '{"version":"3.9.1","configuration":[]}' });
    assert.equal((await client.node(signal)).database, undefined);
  });
});

describe("the plugins in use", () => {
  it.each([
    ["a list", '["key-auth","my-plugin"]', ["key-auth", "my-plugin"]],
    ["an empty list, which Kong writes as an object", "{}", []],
  ])("are named by %s", async (_, list, names) => {
    kong.answerNext("/", { status: 200, body: `{"plugins":{"enabled_in_cluster":${list}}}` });
    assert.deepEqual((await client.node(signal)).pluginsInUse, names);
  });
});

describe("loading a config", () => {
  it("tells loaded from unchanged, and asks for Kong's hash check and flat errors", async () => {
    assert.equal(await client.loadConfig(bodyOf(CONFIG), signal), "loaded");
    await client.configurationHash(signal);
    assert.equal(await client.loadConfig(bodyOf(CONFIG), signal), "unchanged");
    assert.equal(kong.config, CONFIG);
    assert.deepEqual(
      kong.configs.map(({ query }) => query),
      Array(2).fill("?check_hash=1&flatten_errors=1"),
    );
  });

  it("knows nginx's limit even where nginx does not read the body to its end", async () => {
    kong.maxBodyBytes = 1024;
    const error = await failureOf(client.loadConfig(bodyOf("x".repeat(30 * 1024 * 1024)), signal));
    assert.equal(error.code, "ADMIN_TOO_LARGE");
    assert.match(error.hint ?? "", /max_body_size = 32m/);
  });

  it("says what Kong says of a body that is no JSON", async () => {
    const error = await failureOf(
      client.loadConfig({ contentType: "application/json", bytes: Buffer.from("{") }, signal),
    );
    assert.equal(
      error.message,
      `POST ${kong.url}/config was refused (400): Cannot parse JSON body`,
    );
  });
});

describe("the connection", () => {
  it("that is refused is worth another try", async () => {
    await kong[Symbol.asyncDispose]();
    const error = await failureOf(client.configurationHash(signal));
    assert.equal(error.code, "ADMIN_UNAVAILABLE");
    assert.equal(error.retryable, true);
    assert.match(error.message, /^GET http:\/\/127\.0\.0\.1:\d+\/status failed: .*ECONNREFUSED/);
    assert.match(error.hint ?? "", /admin_listen/);
  });

  it("that breaks is worth another try", async () => {
    kong.answerNext("/config", "disconnect");
    const error = await failureOf(client.loadConfig(bodyOf(CONFIG), signal));
    assert.equal(error.code, "ADMIN_UNAVAILABLE");
  });

  it("ends with the reason of an abort", async () => {
    const controller = new AbortController();
    const reason = new Error("stop");
    kong.answerNext("/status", "hang");
    const pending = client.configurationHash(controller.signal);
    controller.abort(reason);
    await assert.rejects(pending, (error) => error === reason);
    await assert.rejects(client.configurationHash(controller.signal), (error) => error === reason);
  });

  it("can be closed twice", async () => {
    await client[Symbol.asyncDispose]();
    await client[Symbol.asyncDispose]();
    assert.equal((await failureOf(client.configurationHash(signal))).code, "ADMIN_UNAVAILABLE");
  });

  it("carries the token, which no error repeats", async () => {
    kong.token = "rbac-token-of-an-admin";
    const url = new URL(kong.url);
    await using right = new AdminClient({ url, token: new Secret(kong.token) });
    assert.ok(await right.configurationHash(signal));
    await using wrong = new AdminClient({ url, token: new Secret("wrong-token") });
    const error = await failureOf(wrong.configurationHash(signal));
    assert.equal(error.code, "ADMIN_DENIED");
    assert.ok(!inspect([error, wrong], { depth: 9, showHidden: true }).includes("wrong-token"));
  });

  it("leaves credentials of the URL out of its name", () => {
    const named = new AdminClient({ url: new URL("http://admin:hunter2@kong:8001/?key=hunter2") });
    assert.equal(named.url, "http://kong:8001");
  });

  it("trusts the given authority, and no other", async () => {
    const authority = await certificateAuthority();
    const { cert, key } = await authority.issue("127.0.0.1");
    await using tls = await FakeKongAdmin.start({ tls: { cert, key: key.reveal() } });
    const url = new URL(tls.url);
    await using trusting = new AdminClient({ url, loadTls: loads({ ca: authority.cert }) });
    assert.ok(await trusting.configurationHash(signal));
    await using doubting = new AdminClient({ url });
    const error = await failureOf(doubting.configurationHash(signal));
    assert.equal(error.code, "ADMIN_TLS");
    assert.equal(error.retryable, false);
    assert.match(error.hint ?? "", /KONG_FALLBACK_ADMIN_CA_CERT/);
  });

  it("is for the name that was asked for, where the URL has another one", async () => {
    const authority = await certificateAuthority();
    const { cert, key } = await authority.issue("kong-admin.kong.svc");
    await using tls = await FakeKongAdmin.start({ tls: { cert, key: key.reveal() } });
    const url = new URL(tls.url);
    const ca = authority.cert;
    await using named = new AdminClient({
      url,
      loadTls: loads({ ca, serverName: "kong-admin.kong.svc" }),
    });
    assert.ok(await named.configurationHash(signal));
    await using unnamed = new AdminClient({ url, loadTls: loads({ ca }) });
    const error = await failureOf(unnamed.configurationHash(signal));
    assert.match(error.hint ?? "", /KONG_FALLBACK_ADMIN_SERVER_NAME/);
  });

  describe("that demands a client certificate", async () => {
    const authority = await certificateAuthority();
    const server = await authority.issue("127.0.0.1");
    const own = await authority.issue("kong-fallback");
    const ca = authority.cert;
    const tls = { cert: server.cert, key: server.key.reveal(), clientCa: ca };

    it("is shown ours", async () => {
      await using demanding = await FakeKongAdmin.start({ tls });
      const url = new URL(demanding.url);
      await using client = new AdminClient({ url, loadTls: loads({ ca, pair: own }) });
      assert.ok(await client.configurationHash(signal));
    });

    it("says which settings give one, whether none or a foreign one was shown", async () => {
      await using demanding = await FakeKongAdmin.start({ tls });
      const url = new URL(demanding.url);
      const foreign = await (await certificateAuthority("Another")).issue("kong-fallback");
      for (const pair of [undefined, foreign]) {
        await using client = new AdminClient({ url, loadTls: loads({ ca, pair }) });
        const error = await failureOf(client.configurationHash(signal));
        assert.equal(error.code, "ADMIN_TLS");
        assert.match(error.message, /SSL certificate/);
        assert.match(error.hint ?? "", /KONG_FALLBACK_ADMIN_CERT and KONG_FALLBACK_ADMIN_CERT_KEY/);
      }
    });

    it.each<[string, AdminErrorCode]>([
      ["-tls1_2", "ADMIN_TLS"],
      // The refusal comes after the handshake, and Node may see no more than the end.
      ["-tls1_3", "ADMIN_UNAVAILABLE"],
    ])("says the same where OpenSSL refuses the handshake, with %s", async (version, code) => {
      const folder = await mkdtemp(join(tmpdir(), "admin-tls-"));
      await writeFile(join(folder, "all.pem"), `${server.key.reveal()}${server.cert}${ca}`);
      const args = "s_server -accept 127.0.0.1:0 -Verify 1 -verify_return_error -www".split(" ");
      const strict = spawn(
        "openssl",
        [...args, version, "-cert", "all.pem", "-CAfile", "all.pem"],
        {
          cwd: folder,
          stdio: ["ignore", "pipe", "ignore"],
        },
      );
      try {
        const port = await acceptingPort(strict.stdout);
        const url = new URL(`https://127.0.0.1:${port}`);
        await using client = new AdminClient({ url, loadTls: loads({ ca }) });
        const error = await failureOf(client.configurationHash(signal));
        assert.equal(error.code, code, error.message);
        assert.match(error.hint ?? "", /KONG_FALLBACK_ADMIN_CERT and KONG_FALLBACK_ADMIN_CERT_KEY/);
      } finally {
        strict.kill();
        await rm(folder, { recursive: true });
      }
    });

    it("is shown the new one after a rotation, without a restart", async () => {
      const folder = await mkdtemp(join(tmpdir(), "admin-tls-"));
      try {
        await using demanding = await FakeKongAdmin.start({ tls });
        const pair = { cert: join(folder, "crt"), key: new Secret(join(folder, "key")) };
        const write = async ({ cert, key }: typeof own): Promise<void> => {
          await writeFile(pair.cert, cert);
          await writeFile(pair.key.reveal(), key.reveal());
        };
        await write(await (await certificateAuthority("Old")).issue("kong-fallback"));
        const url = new URL(demanding.url);
        await using client = new AdminClient({ url, loadTls: loads({ ca, pair }) });
        assert.equal((await failureOf(client.configurationHash(signal))).code, "ADMIN_TLS");
        await write(own);
        const body = JSON.stringify({ configuration_hash: "a".repeat(32) });
        demanding.answerNext("/status", { status: 200, body, headers: { Connection: "close" } });
        assert.ok(await client.configurationHash(signal));
        await rm(pair.key.reveal());
        const gone = await failureOf(client.configurationHash(signal));
        assert.equal(gone.code, "ADMIN_TLS");
        assert.match(gone.message, /KONG_FALLBACK_ADMIN_CERT_KEY=.*cannot be read/);
      } finally {
        await rm(folder, { recursive: true });
      }
    });
  });

  it("says that a port does not speak TLS", async () => {
    await using secured = new AdminClient({ url: new URL(kong.url.replace("http:", "https:")) });
    assert.equal((await failureOf(secured.configurationHash(signal))).code, "ADMIN_TLS");
  });

  it("says that a port does not speak HTTP", async () => {
    const server = createServer((socket) => socket.end("SSH-2.0-OpenSSH\r\n")).listen(
      0,
      "127.0.0.1",
    );
    await new Promise((resolve) => server.once("listening", resolve));
    const address = server.address();
    assert.ok(typeof address === "object" && address !== null);
    await using lost = new AdminClient({ url: new URL(`http://127.0.0.1:${address.port}`) });
    assert.equal((await failureOf(lost.configurationHash(signal))).code, "ADMIN_UNAVAILABLE");
    server.close();
  });
});

describe("the status of a data plane", () => {
  const now = Math.floor(Date.now() / 1000);
  const rows = Array.from({ length: 7 }, (_, index) => ({
    id: `node-${index}`,
    sync_status: index === 5 ? "plugin_set_incompatible" : "normal",
    last_seen: now - index,
    version: "3.9.1",
    hostname: "exporter",
  }));

  it("is found on whatever page it stands", async () => {
    kong.dataPlanes = rows;
    kong.pageSize = 2;
    assert.equal(await client.syncStatus("node-5", signal), "plugin_set_incompatible");
    assert.deepEqual(kong.requests, [
      "GET /clustering/data-planes?size=1000",
      "GET /clustering/data-planes?size=1000&offset=row%202",
      "GET /clustering/data-planes?size=1000&offset=row%204",
    ]);
  });

  it("is undefined for one the control plane does not know", async () => {
    kong.dataPlanes = rows;
    kong.pageSize = 2;
    assert.equal(await client.syncStatus("node-99", signal), undefined);
    assert.equal(kong.requests.length, 4);
  });

  it("is undefined for one that it has not heard of lately, by its own clock", async () => {
    const [row] = rows;
    const date = new Date("2031-01-01T00:00:00Z");
    const seenAgo = async (seconds: number, headers: Record<string, string>) => {
      const last_seen = date.getTime() / 1000 - seconds;
      const body = JSON.stringify({ data: [{ ...row, last_seen }] });
      kong.answerNext("/clustering/data-planes", { status: 200, body, headers });
      return client.syncStatus("node-0", signal);
    };
    const dated = { Date: date.toUTCString() };
    assert.equal(await seenAgo(90, dated), "normal");
    assert.equal(await seenAgo(91, dated), undefined);
    assert.equal(await seenAgo(1_000_000_000, { Date: "today" }), "normal");
  });

  it("makes do with missing columns", async () => {
    kong.dataPlanes = [{ id: "node-1" }];
    assert.equal(await client.syncStatus("node-1", signal), "unknown");
  });

  it("is refused by a Kong that is no control plane", async () => {
    kong.answerNext("/clustering/data-planes", {
      status: 400,
      body: '{"message":"this endpoint is only available when Kong is configured to run as Control Plane for the cluster"}',
    });
    const error = await failureOf(client.syncStatus("node-1", signal));
    assert.equal(error.code, "ADMIN_REFUSED");
    assert.match(error.message, /configured to run as Control Plane/);
  });
});

describe("an Admin API of several addresses", () => {
  it("is asked at the next one where one takes the connection and says nothing", async () => {
    let attempt = new AbortController();
    await using replicas = await Replicas.before(kong.port, () => attempt.abort());
    await using named = new AdminClient({ url: new URL(`http://${NAME}:${replicas.port}`) });
    const hashes: (string | undefined)[] = [];
    for (let i = 0; i < 2; i += 1) {
      attempt = new AbortController();
      const hash = named.configurationHash(attempt.signal);
      hashes.push(await hash.catch(() => undefined));
    }
    assert.ok(hashes.some((hash) => hash !== undefined));
  });
});
