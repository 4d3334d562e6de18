/** What each answer of the Admin API becomes, and Kong's reasons without Kong's config. */

import assert from "node:assert/strict";
import { inspect } from "node:util";
import { describe, it } from "vitest";
import { type AdminError, type AdminErrorCode, adminErrorOf } from "../../src/kong/admin-client.ts";
import { ANSWERS, type Reply, schemaRefusal } from "../fakes/kong-admin-answers.ts";

const REQUEST = "POST http://kong:8001/config";

function refusalOf({ status, body, headers }: Reply): AdminError {
  const retryAfter = headers?.["Retry-After"];
  return adminErrorOf({ request: REQUEST, requestBytes: 70, status, body, retryAfter });
}

describe("an answer of the Admin API", () => {
  it.each<[keyof typeof ANSWERS, AdminErrorCode, boolean, RegExp, RegExp]>([
    ["notDbless", "ADMIN_REFUSED", false, /this Kong is not DB-less/, /--to file:/],
    ["mapFull", "ADMIN_TOO_LARGE", false, /does not fit in Kong's LMDB database/, /lmdb_map_size/],
    ["noMemory", "ADMIN_TOO_LARGE", false, /does not fit in Kong's cache/, /mem_cache_size/],
    [
      "bodyTooLarge",
      "ADMIN_TOO_LARGE",
      false,
      /the request has \d+ bytes/,
      /nginx_admin_client_max_body_size = 2m/,
    ],
    ["busy", "ADMIN_BUSY", true, /busy loading another config \(429\)/, /^$/],
    ["exiting", "ADMIN_UNAVAILABLE", true, /failed on Kong's side \(503\)/, /error log/],
    ["timeout", "ADMIN_UNAVAILABLE", true, /\(504\)/, /error log/],
    ["unexpected", "ADMIN_UNAVAILABLE", true, /\(500\)/, /error log/],
    ["unsupported", "ADMIN_REFUSED", false, /was answered with 415/, /rewrites requests/],
    ["notFound", "ADMIN_NOT_FOUND", false, /found nothing there \(404\)/, /8001/],
    ["unauthorized", "ADMIN_DENIED", false, /was denied \(401\)/, /KONG_FALLBACK_ADMIN_TOKEN/],
    ["noCertificate", "ADMIN_TLS", false, /No required SSL certificate was sent/, /ADMIN_CERT/],
    ["badCertificate", "ADMIN_TLS", false, /The SSL certificate error/, /ADMIN_CERT/],
    ["otherPage", "ADMIN_REFUSED", false, /Request Header Or Cookie Too Large/, /^$/],
    ["plainHttp", "ADMIN_TLS", false, /spoke plain HTTP to an HTTPS port/, /https:\/\//],
  ])("turns %s into %s", (name, code, retryable, message, hint) => {
    const error = refusalOf(ANSWERS[name]);
    assert.equal(error.code, code);
    assert.equal(error.retryable, retryable);
    assert.equal(error.exitStatus, 4);
    assert.match(error.message, message);
    assert.ok(error.message.startsWith(`${REQUEST} `), error.message);
    assert.match(error.hint ?? "", hint);
  });

  it("passes on how long Kong asks to wait", () => {
    assert.equal(refusalOf(ANSWERS.busy).retryAfterMs, 7000);
    const dated = { ...ANSWERS.busy, headers: { "Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT" } };
    assert.equal(refusalOf(dated).retryAfterMs, undefined);
  });
});

describe("Kong's reasons for refusing a config", () => {
  const service = {
    entity_type: "service",
    entity_name: "billing",
    entity_id: "7f2f0c1e-9d0b-4a3b-8a77-1d1f6f1d2a10",
    entity: { name: "billing", host: "internal.example", client_certificate: "PRIVATE-PEM" },
    errors: [
      { type: "field", field: "port", message: "value should be between 0 and 65535" },
      { type: "entity", message: "failed conditional validation given value of field 'protocol'" },
    ],
  };

  it("are told with type, name and field", () => {
    const { message, hint } = refusalOf(schemaRefusal({ flattened: [service] }));
    assert.deepEqual(message.split("\n"), [
      `${REQUEST} was refused (400), 2 errors:`,
      '  service "billing", field port: value should be between 0 and 65535',
      "  service \"billing\": failed conditional validation given value of field 'protocol'",
    ]);
    assert.match(hint ?? "", /KONG_PLUGINS/);
  });

  it("are told by the place in the config where Kong is older than flatten_errors", () => {
    const fields = { services: [null, { host: "required field missing" }], _format_version: "bad" };
    const { message } = refusalOf(schemaRefusal({ fields }));
    assert.deepEqual(message.split("\n").slice(1), [
      "  services[1].host: required field missing",
      "  _format_version: bad",
    ]);
  });

  it("are cut after ten", () => {
    const flattened = Array.from({ length: 25 }, () => service);
    const lines = refusalOf(schemaRefusal({ flattened })).message.split("\n");
    assert.equal(lines.length, 12);
    assert.equal(lines.at(0), `${REQUEST} was refused (400), 50 errors:`);
    assert.equal(lines.at(-1), "  and 40 more");
  });

  it("never hold a value of the entity, nor one that Kong quotes", () => {
    const secrets = [
      "s3cr3t",
      "the-long-api-key-of-a-customer",
      "-----BEGIN PRIVATE KEY-----\nMII",
    ];
    const [short = "", long = "", pem = ""] = secrets;
    const flattened = [
      {
        entity_type: "keyauth_credential",
        entity_id: "0b0f0c1e-9d0b-4a3b-8a77-1d1f6f1d2a10",
        entity: { id: "0b0f0c1e", key: long, nested: { list: [short] }, cert: pem },
        errors: [
          {
            type: "field",
            field: "key",
            message: `uniqueness violation: 'x' entity with key set to '${long}' already declared`,
          },
          { type: "field", field: "key", message: `invalid value '${short}', got "${short}"` },
          { type: "field", field: "key", messages: [`bad: ${pem}`, `and ${long}`] },
        ],
      },
    ];
    const fields = {
      jwt_secrets: [{ "@entity": [`with secret set to '${long}' already declared`] }],
    };
    for (const answer of [schemaRefusal({ flattened, fields }), schemaRefusal({ fields })]) {
      const error = refusalOf(answer);
      for (const secret of secrets) {
        assert.ok(
          !inspect(error, { depth: 9 }).includes(secret.split("\n")[0] ?? ""),
          error.message,
        );
      }
      assert.match(error.message, /\[redacted\]/);
    }
  });

  it("name the entity that another one refers to, where a key of the same form stays hidden", () => {
    const id = "5f1d2c3b-0a9b-4c8d-9e7f-6a5b4c3d2e1f";
    const key = "1b2c3d4e-5f60-4718-92a3-b4c5d6e7f809";
    const flattened = [
      {
        entity_type: "plugin",
        entity_name: "key-auth",
        entity_tags: ["team-a"],
        entity: { name: "key-auth", service: id, config: { consumer: key }, enabled: true },
        errors: [
          {
            type: "field",
            field: "service",
            message: `invalid reference 'services: ${id}' (no such entry in 'services')`,
          },
          { type: "field", field: "config.consumer", messages: [`no ${key}`, "required"] },
        ],
      },
    ];
    const { reasons } = refusalOf(schemaRefusal({ flattened }));
    assert.deepEqual(reasons, [
      `plugin "key-auth", field service: invalid reference 'services: ${id}' (no such entry in 'services')`,
      'plugin "key-auth", field config.consumer: no [redacted]',
      'plugin "key-auth", field config.consumer: required',
    ]);
  });

  it("are told all of them, and only where it is the config that Kong refuses", () => {
    const flattened = Array.from({ length: 25 }, () => service);
    assert.equal(refusalOf(schemaRefusal({ flattened })).reasons?.length, 50);
    const unparsed = { status: 400, body: '{"message":"Cannot parse JSON body"}' };
    assert.deepEqual(refusalOf(unparsed).reasons, ["Cannot parse JSON body"]);
    const bare = { status: 400, body: '{"code":14,"message":"declarative config is invalid: {}"}' };
    assert.deepEqual(refusalOf(bare).reasons, ["declarative config is invalid"]);
    const { notDbless, plainHttp, unsupported, blocked } = ANSWERS;
    for (const other of [notDbless, plainHttp, unsupported, blocked]) {
      assert.equal(refusalOf(other).reasons, undefined);
    }
    assert.match(refusalOf(blocked).message, /: request blocked by policy$/);
    assert.equal(refusalOf({ status: 400, body: "<html></html>" }).reasons, undefined);
  });

  it("stay one printable line each", () => {
    const errors = [{ type: "field", field: "a\nb", message: `\u001b[31m${"x".repeat(500)}` }];
    const { message } = refusalOf(schemaRefusal({ flattened: [{ ...service, errors }] }));
    assert.match(message, /, 1 error:\n {2}service "billing", field a b: \[31mx{195,}…$/);
  });

  it("survive a body of any shape", () => {
    for (const body of [
      "[]",
      "null",
      '{"fields":7,"flattened_errors":[1,{"errors":[null]}]}',
      "{",
    ]) {
      const { message } = refusalOf({ status: 400, body });
      assert.equal(message, `${REQUEST} was refused (400): no reason given`);
    }
  });
});
