import assert from "node:assert/strict";
import { describe, it } from "vitest";
import { HIDDEN, mask } from "../../../src/kong/diff/mask.ts";
import type { Json } from "../../../src/kong/json-members.ts";
import { captured } from "../../e2e/stage.ts";

const ID = "34b56dd3-8b6b-42f0-831d-9cdcf7f3c6b4";

function maskEntity(kind: string, entity: Readonly<Record<string, Json>>) {
  return Object.fromEntries(
    Object.entries(entity).map(([field, value]) => [field, mask(kind, [field], value)]),
  );
}

describe("what may be shown of a config", () => {
  it.each([
    ["keyauth_credentials", { key: "canary", tags: ["canary"], ttl: null }],
    ["basicauth_credentials", { username: "canary", password: "canary" }],
    ["hmacauth_credentials", { username: "canary", secret: "canary" }],
    ["jwt_secrets", { key: "canary", secret: "canary", algorithm: "canary", rsa: { n: "canary" } }],
    ["oauth2_credentials", { client_id: "canary", redirect_uris: ["https://canary/"] }],
    ["acme_storage", { key: "canary", value: "canary" }],
    ["some_custom_plugin_table", { anything: "canary", number: 42_4242 }],
  ])("is nothing of %s but whom it belongs to", (kind, fields) => {
    const references = { id: ID, consumer: ID, created_at: 1_795_220_462 };
    const shown = maskEntity(kind, { ...references, ...fields });
    for (const [field, value] of Object.entries(shown)) {
      if (field in references) assert.equal(value, references[field as keyof typeof references]);
      else assert.ok(value === HIDDEN || value === null, `${field} ${JSON.stringify(value)}`);
    }
  });

  it("is the path of a service, without what looks like a key in it", () => {
    const path = "/v1/hooks/0123456789abcdef0123456789abcdef/x";
    assert.equal(mask("services", ["path"], path), `/v1/hooks/${HIDDEN}/x`);
    assert.equal(mask("services", ["path"], "/v1/orders"), "/v1/orders");
  });

  it("is no secret of a plugin that hides it behind a name", () => {
    const config = {
      redis: { host: "redis.local", port: 6379, password: "canary", sentinel_password: "canary" },
      client_secret: ["canary", "canary"],
      aws_key: "canary",
      headers: { authorization: "canary" },
      add: { headers: ["x-tenant:canary"], querystring: ["q:canary"] },
      session_secret: null,
      hide_credentials: true,
      key_names: ["apikey"],
      jwks: { keys: [{ d: "canary" }] },
      access: ["return 'canary'"],
    };
    assert.deepEqual(mask("plugins", ["config"], config), {
      redis: { host: "redis.local", port: 6379, password: HIDDEN, sentinel_password: HIDDEN },
      client_secret: HIDDEN,
      aws_key: HIDDEN,
      headers: HIDDEN,
      add: { headers: HIDDEN, querystring: HIDDEN },
      session_secret: null,
      hide_credentials: true,
      key_names: ["apikey"],
      jwks: HIDDEN,
      access: HIDDEN,
    });
  });

  it.each([
    ["http://user:canary@logs.example/in", HIDDEN],
    ["http://user:can/ary@logs.example/in", HIDDEN],
    ["user:canary@logs.example", HIDDEN],
    ["https://hooks.example/services/canary", `https://hooks.example/${HIDDEN}`],
    ["https://hooks.example?sig=canary", `https://hooks.example/${HIDDEN}`],
    ["Bearer canary", HIDDEN],
    ["x-api-key:canary", HIDDEN],
    ["token = canary", HIDDEN],
    ["AKIAIOSFODNN7EXAMPLE", HIDDEN],
    ["eyJhbGciOiJIUzI1NiJ9.canary", HIDDEN],
    ["-----BEGIN PRIVATE KEY----- canary", HIDDEN],
    ["two\nlines canary", HIDDEN],
    ["canary ".repeat(40), HIDDEN],
    ["{vault://env/redis-password}", "{vault://env/redis-password}"],
    ["https://logs.example/", "https://logs.example"],
    ["redis.internal", "redis.internal"],
    [ID, ID],
  ])("of the plain setting %j is %j", (text, expected) => {
    assert.equal(mask("plugins", ["config", "endpoint"], text), expected);
  });

  it("is no name of a member that looks like a key itself", () => {
    const limits = { "4f1e6b0c9a8d7e6f5a4b3c2d": 5, gold: 10 };
    assert.deepEqual(mask("plugins", ["config", "limits"], limits), { [HIDDEN]: 5, gold: 10 });
  });

  it("leaves out what opens a vault, certificates' keys, and filters' configurations", () => {
    assert.equal(mask("vaults", ["config"], { token: "x", host: "h" }), HIDDEN);
    assert.equal(mask("certificates", ["key"], "x"), HIDDEN);
    assert.equal(mask("certificates", ["key_alt"], "x"), HIDDEN);
    assert.equal(mask("keys", ["jwk"], "x"), HIDDEN);
    assert.equal(mask("filter_chains", ["filters"], [{ config: "x" }]), HIDDEN);
    assert.equal(mask("routes", ["headers"], { "x-secret": ["x"] }), HIDDEN);
  });

  it("is all that is plain", () => {
    const route = { name: "echo", paths: ["/echo"], protocols: ["http"], strip_path: true };
    assert.deepEqual(maskEntity("routes", route), route);
    const upstream = { hash_on: "cookie", hash_on_cookie: "sid", slots: 10_000 };
    assert.deepEqual(maskEntity("upstreams", upstream), upstream);
    assert.equal(mask("_format_version", [], "3.0"), "3.0");
  });

  it("holds none of the secrets of a recorded config", () => {
    const { configTable } = captured("3.9.1", "rich");
    const table = JSON.parse(configTable.toString()) as Record<string, Json>;
    const shown = JSON.stringify(
      Object.entries(table).map(([kind, entities]) =>
        Array.isArray(entities)
          ? entities.map((entity: Record<string, Json>) => maskEntity(kind, entity))
          : mask(kind, [], entities),
      ),
    );
    const secrets = ["alice-key", "topsecret", "4c750d73", "pbkdf2", "BEGIN", "0vx7ago", "SECRET_"];
    for (const secret of secrets) {
      assert.ok(configTable.includes(secret), `${secret} is not in the config`);
      assert.ok(!shown.includes(secret), secret);
    }
    assert.match(shown, /unicode-naïve-服务/);
  });
});
