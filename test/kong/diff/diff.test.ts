import assert from "node:assert/strict";
import fc from "fast-check";
import { describe, it } from "vitest";
import { diffConfigs } from "../../../src/kong/diff/diff.ts";
import type { JsonObject } from "../../../src/kong/json-members.ts";
import { captured } from "../../e2e/stage.ts";

const SERVICE = "34b56dd3-8b6b-42f0-831d-9cdcf7f3c6b4";
const CONSUMER = "faaea0db-2951-49b4-a18c-066d2cde3573";
const OTHER = "1ee61774-b0b8-4cad-8c2f-2e88301e6f79";

function bytes(table: JsonObject): Buffer {
  return Buffer.from(JSON.stringify({ _format_version: "3.0", _transform: false, ...table }));
}

function diff(before: JsonObject, after: JsonObject) {
  return diffConfigs(bytes(before), bytes(after));
}

/** The fields that changed of the one entity that did. */
function fields(kind: string, before: JsonObject, after: JsonObject) {
  const [only, more] = diff({ [kind]: [before] }, { [kind]: [after] });
  assert.equal(more, undefined);
  assert.equal(only?.changed.length, 1);
  return only.changed[0]?.fields;
}

describe("the difference of two configs", () => {
  it("names what was added, removed and changed by kind, with names and owners for people", () => {
    const service = { id: SERVICE, name: "echo", port: 80, tags: null };
    const plugin = { name: "key-auth", instance_name: "partners", service: SERVICE };
    const before = { services: [service], plugins: [{ ...plugin, id: OTHER }] };
    const after = {
      services: [{ ...service, port: 8080 }],
      consumers: [{ id: CONSUMER, username: "alice" }],
      keyauth_credentials: [{ id: OTHER, consumer: CONSUMER, key: "canary" }],
    };
    assert.deepEqual(diff(before, after), [
      {
        kind: "consumers",
        added: [{ id: CONSUMER, label: "alice" }],
        removed: [],
        changed: [],
      },
      {
        kind: "keyauth_credentials",
        added: [{ id: OTHER, label: "(consumer alice)" }],
        removed: [],
        changed: [],
      },
      {
        kind: "plugins",
        added: [],
        removed: [{ id: OTHER, label: "key-auth partners (service echo)" }],
        changed: [],
      },
      {
        kind: "services",
        added: [],
        removed: [],
        changed: [{ id: SERVICE, label: "echo", fields: [{ field: "port", from: 80, to: 8080 }] }],
      },
    ]);
  });

  it("shows a changed secret as changed and not as anything else", () => {
    const credential = { id: OTHER, consumer: CONSUMER };
    assert.deepEqual(
      fields("jwt_secrets", { ...credential, secret: "canary1" }, { ...credential, secret: "c2" }),
      [{ field: "secret", secret: "[changed]" }],
    );
    assert.deepEqual(
      fields("certificates", { id: OTHER, key: "canary", cert: "a" }, { id: OTHER, cert: "b" }),
      [
        { field: "cert", from: "a", to: "b" },
        { field: "key", from: "[hidden]", to: null },
      ],
    );
    const plugin = (config: JsonObject) => ({ id: OTHER, name: "http-log", config });
    const before = { http_endpoint: "https://h.example/a?canary", redis: { password: "canary" } };
    const after = { http_endpoint: "https://h.example/b?canary", redis: { password: "other" } };
    assert.deepEqual(fields("plugins", plugin(before), plugin(after)), [
      { field: "config.http_endpoint", secret: "[changed]" },
      { field: "config.redis.password", secret: "[changed]" },
    ]);
  });

  it("takes an object that comes or goes apart by its members", () => {
    const plugin = (config: JsonObject | null) => ({ id: OTHER, name: "p", config });
    assert.deepEqual(fields("plugins", plugin(null), plugin({ a: { b: 1 }, token: "canary" })), [
      { field: "config.a.b", from: null, to: 1 },
      { field: "config.token", from: null, to: "[hidden]" },
    ]);
  });

  it("does not see the order of entities, members and sets, nor null or an empty table", () => {
    const a = { id: SERVICE, tags: ["a", "b"], hosts: [], path: null, port: 1 };
    const b = { port: 1, hosts: {}, id: SERVICE, tags: ["b", "a"] };
    const more = { id: OTHER, name: "more" };
    assert.deepEqual(diff({ services: [a, more] }, { services: [more, b] }), []);
    assert.deepEqual(diff({ services: [], routes: {} }, {}), []);
  });

  it("sees the order of a list in a plugin's configuration", () => {
    const plugin = (list: readonly string[]) => ({ id: OTHER, config: { list } });
    assert.deepEqual(fields("plugins", plugin(["a", "b"]), plugin(["b", "a"])), [
      { field: "config.list", from: ["a", "b"], to: ["b", "a"] },
    ]);
  });

  it("knows entities without an id by name and owner, and several of them by what they hold", () => {
    const acl = (group: string, consumer: string) => ({ group, consumer });
    assert.deepEqual(
      diff({ acls: [acl("a", "x"), acl("a", "y")] }, { acls: [acl("a", "y"), acl("a", "x")] }),
      [],
    );
    const plugin = (minute: number) => ({ name: "rate-limiting", config: { minute } });
    const [plugins] = diff(
      { plugins: [plugin(1), plugin(2), plugin(2)] },
      { plugins: [plugin(2), plugin(3), plugin(2), plugin(4)] },
    );
    assert.deepEqual(plugins?.changed, [
      {
        id: undefined,
        label: "rate-limiting",
        fields: [{ field: "config.minute", from: 1, to: 3 }],
      },
    ]);
    assert.deepEqual(plugins.added, [{ id: undefined, label: "rate-limiting" }]);
  });

  it("shows no key by which a credential without an id is known", () => {
    const text = JSON.stringify(diff({ keyauth_credentials: [{ key: "canary" }] }, {}));
    assert.equal(text.includes("canary"), false);
    assert.match(text, /"removed":\[\{"label":""\}\]/);
  });

  it("compares what is no list as one value", () => {
    const [transform, more] = diff({}, { _transform: true });
    assert.equal(more, undefined);
    assert.deepEqual(transform?.changed[0]?.fields, [{ field: "", from: false, to: true }]);
    const [info] = diff({ _info: { note: "canary" } }, { _info: { note: "other" } });
    assert.deepEqual(info?.changed[0]?.fields, [{ field: "note", secret: "[changed]" }]);
  });

  it("keeps apart bytes that are no UTF-8", () => {
    const config = (byte: number) =>
      Buffer.concat([
        Buffer.from('{"services":[{"name":"a'),
        Buffer.from([byte]),
        Buffer.from('"}]}'),
      ]);
    assert.equal(diffConfigs(config(0xfe), config(0xff)).length, 1);
    assert.deepEqual(diffConfigs(config(0xfe), config(0xfe)), []);
  });

  it("is not confused by members that every object has", () => {
    const table = '{"__proto__":[{"name":"a"}],"constructor":[{"toString":1}]}';
    assert.deepEqual(
      diffConfigs(Buffer.from(table), Buffer.from("{}")).map(({ kind }) => kind),
      ["__proto__", "constructor"],
    );
  });

  it("is none between a recorded config and itself in any order", () => {
    const { configTable } = captured("3.9.1", "rich");
    const table = JSON.parse(configTable.toString()) as Record<string, unknown>;
    const shuffled = Object.fromEntries(
      Object.entries(table)
        .reverse()
        .map(([kind, value]) => [kind, Array.isArray(value) ? value.toReversed() : value]),
    );
    assert.deepEqual(diffConfigs(configTable, Buffer.from(JSON.stringify(shuffled))), []);
  });

  it("is none only where nothing differs, and turns round with its sides", () => {
    const value = fc.oneof(fc.integer({ min: 0, max: 3 }), fc.boolean(), fc.constantFrom("x", "y"));
    const entity = fc.record({
      id: fc.constantFrom("1", "2", "3"),
      port: value,
      tags: fc.array(fc.constantFrom("a", "b"), { maxLength: 2 }),
    });
    const table = fc.record({ services: fc.uniqueArray(entity, { selector: ({ id }) => id }) });
    fc.assert(
      fc.property(table, table, (a, b) => {
        const [forth, back] = [diff(a, b), diff(b, a)];
        const normal = (t: typeof a) =>
          JSON.stringify(
            t.services
              .map((s) => ({ ...s, tags: s.tags.toSorted() }))
              .sort((x, y) => (x.id < y.id ? -1 : 1)),
          );
        const same = forth.length === 0;
        assert.equal(same, normal(a) === normal(b));
        assert.deepEqual(
          forth.map(({ added, removed }) => [added, removed]),
          back.map(({ added, removed }) => [removed, added]),
        );
      }),
    );
  });
});
