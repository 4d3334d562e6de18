import assert from "node:assert/strict";
import fc from "fast-check";
import { describe, it } from "vitest";
import { type AdaptedConfig, adaptConfig } from "../../../src/kong/adapt/adapt-config.ts";
import { checkConfig } from "../../../src/kong/checks/check-config.ts";
import { kongVersion, V391 } from "../../fakes/config.ts";
import { capturedConfig, changedConfig, enterpriseConfig } from "../checks/capture.ts";

function adapt(text: string, version = "3.9.1", plugins: readonly string[] = ["bundled"]) {
  return adaptConfig(Buffer.from(text), { kongVersion: kongVersion(version), plugins });
}

function textOf({ config }: AdaptedConfig): string {
  return Buffer.from(config).toString("utf8");
}

function messagesOf({ changes }: AdaptedConfig): readonly string[] {
  return changes.map(({ message }) => message);
}

const ENTERPRISE = enterpriseConfig();

describe("adapting a config to a DB-less open-source Kong", () => {
  it("gives the very same object back where there is nothing to change", () => {
    for (const name of ["3.4.2/rich", "3.9.1/empty", "3.9.1/small", "3.9.1/rich"]) {
      const config = capturedConfig(name);
      const target = { kongVersion: kongVersion(name.split("/")[0] ?? ""), plugins: [] };
      const adapted = adaptConfig(config, target);
      assert.deepEqual(adapted.changes, []);
      assert.equal(adapted.config, config);
    }
  });

  it("takes out of an Enterprise config what open source refuses, and lists it without a secret", () => {
    const adapted = adaptConfig(ENTERPRISE, { kongVersion: V391, plugins: [] });
    assert.deepEqual(messagesOf(adapted), [
      "dropped workspaces (1): they carry settings that open-source Kong does not know",
      "dropped licenses (1): not in open-source Kong 3.9.1",
      "dropped rbac_users (1): not in open-source Kong 3.9.1",
      "dropped consumer_groups (1): not in open-source Kong 3.9.1",
      'dropped plugin "openid-connect" (id p1): not in open-source Kong 3.9.1',
      'dropped plugin "rate-limiting" (id p2): it refers to consumer_groups, which this Kong does not have',
      "dropped the field ws_id of 12 of plugins: not in open-source Kong 3.9.1",
      "dropped the field consumer_group of 12 of plugins: not in open-source Kong 3.9.1",
      "dropped the field ws_id of 2 of consumers: not in open-source Kong 3.9.1",
      "dropped the field ws_id of 4 of services: not in open-source Kong 3.9.1",
      "dropped the field ws_id of 6 of routes: not in open-source Kong 3.9.1",
      "dropped the field ws_id of 1 of ca_certificates: not in open-source Kong 3.9.1",
    ]);
    // Everything else is, byte for byte, what was recorded.
    const recorded = changedConfig("3.9.1/rich", (table) => {
      delete table["workspaces"];
    });
    assert.equal(textOf(adapted), recorded.toString("utf8"));
    assert.deepEqual(checkConfig(adapted.config, V391, { edition: "open-source" }), []);
  });

  it("cuts, and re-writes nothing: numbers, escapes, spaces and order stay", () => {
    const text = `{ "_transform" : false,\n "licenses": [ {} ] ,"services" :[ {"ws_\\u0069d":null, "id":"1" , "port":8.0e1}\n, {"id":"2","name":"a\\/b","ws_id" : "x" } ], "_format_version":"3.0" }`;
    assert.equal(
      textOf(adapt(text)),
      `{ "_transform" : false ,"services" :[ { "id":"1" , "port":8.0e1}\n, {"id":"2","name":"a\\/b" } ], "_format_version":"3.0" }`,
    );
    assert.equal(textOf(adapt('{"licenses":[],"files":1}')), "{}");
    assert.equal(textOf(adapt('{"plugins":[{"id":"1","name":"x"}]}')), '{"plugins":[]}');
  });

  it("keeps what a config written by hand nests, and its shorthands", () => {
    const routes = [{ name: "r", paths: ["/"], plugins: [{ name: "key-auth" }] }];
    const text = JSON.stringify({
      services: [{ name: "a", url: "http://a.example", _comment: "the first", routes }],
      consumers: [{ username: "c", keyauth_credentials: [{ key: "k" }], acls: [{ group: "g" }] }],
      upstreams: [{ name: "u", targets: [{ target: "a:80" }] }],
      certificates: [{ cert: "x", key: "y", snis: [{ name: "a.example" }] }],
      key_sets: [{ name: "s", keys: [{ kid: "1" }] }],
    });
    assert.deepEqual(adapt(text).changes, []);
  });

  it("keeps what KONG_PLUGINS names, and what may be its own", () => {
    const text = '{"plugins":[{"name":"mine"}],"mine_rows":[{"id":"1"}]}';
    assert.equal(textOf(adapt(text, "3.9.1", ["bundled", "mine"])), text);
    assert.equal(textOf(adapt(text)), '{"plugins":[]}');
  });

  it("drops what refers to something dropped, however far, and never makes a reference null", () => {
    const text = JSON.stringify({
      plugins: [
        { id: "p1", name: "mine", route: null },
        { id: "p2", name: "saml", route: null },
      ],
      oauth2_authorization_codes: [
        { id: "c1", plugin: "p2" },
        { id: "c2", plugin: null },
      ],
      mine_rows: [
        { id: "m1", code: "c1", tags: ["p2"] },
        { id: "m2", row: { id: "m1" } },
        { id: "m3", tags: ["c1"], text: "p2 and more" },
      ],
    });
    const adapted = adapt(text, "3.9.1", ["mine"]);
    assert.deepEqual(messagesOf(adapted), [
      'dropped plugin "saml" (id p2): not in open-source Kong 3.9.1',
      'dropped oauth2_authorization_code (id c1): plugin "saml" (id p2) was dropped',
      "dropped mine_row (id m1): oauth2_authorization_code (id c1) was dropped",
      "dropped mine_row (id m2): mine_row (id m1) was dropped",
    ]);
  });

  it("fits a config of a newer minor to an older one", () => {
    const text = JSON.stringify({
      filter_chains: [{ id: "f1" }],
      key_sets: [{ id: "ks1" }],
      keys: [{ id: "k1", set: "ks1" }],
      plugins: [{ id: "p1", name: "redirect" }],
    });
    assert.equal(textOf(adapt(text, "3.0.2")), '{"plugins":[]}');
    assert.equal("filter_chains" in JSON.parse(textOf(adapt(text, "3.3.1"))), false);
    assert.equal(textOf(adapt(text, "3.9.1")), text);
  });

  it("drops vaults with an Enterprise backend only", () => {
    const vaults = ["env", "hcv", "mine"].map((name, place) => ({ id: `${place}`, name }));
    assert.deepEqual(messagesOf(adapt(JSON.stringify({ vaults }))), [
      "dropped vault (id 1): its backend hcv is not in open-source Kong",
    ]);
  });

  it("drops foreign fields where they are known to be foreign, and nulls nowhere else", () => {
    const services = [{ id: "1", read_timeout: null, tls_sans: null, ttl: 7 }];
    assert.equal(
      textOf(adapt(JSON.stringify({ services }))),
      '{"services":[{"id":"1","read_timeout":null,"ttl":7}]}',
    );
    // Nobody recorded 3.10, so nothing is known to be foreign there.
    assert.deepEqual(adapt(JSON.stringify({ services }), "3.10.0").changes, []);
  });

  it("drops a plugin's Enterprise fields that say nothing, be they null or empty", () => {
    const plugins = [
      { id: "1", name: "acl", partials: [], condition: null },
      { id: "2", name: "acl", partials: {} },
    ];
    assert.equal(
      textOf(adapt(JSON.stringify({ plugins }))),
      '{"plugins":[{"id":"1","name":"acl"},{"id":"2","name":"acl"}]}',
    );
  });

  it("takes out of what a 3.9.1 sends the fields that a 3.4.2 refuses, and nothing else of the plugins", () => {
    const adapted = adaptConfig(capturedConfig("3.9.1/rich"), {
      kongVersion: kongVersion("3.4.2"),
      plugins: [],
    });
    assert.ok(adapted.changes.length > 0);
    assert.ok(adapted.changes.every(({ kind }) => kind === "field"));
    assert.deepEqual(checkConfig(adapted.config, kongVersion("3.4.2")), []);
    const text = `{"plugins":[{"id":"1","name":"rate-limiting","config":{"redis":{"host":null}, "minute":1}},{"id":"2","name":"http-log","config":{"queue":{"max_entries":9,"concurrency_limit":1}}}]}`;
    const small = adapt(text, "3.4.2");
    assert.equal(
      textOf(small),
      `{"plugins":[{"id":"1","name":"rate-limiting","config":{ "minute":1}},{"id":"2","name":"http-log","config":{"queue":{"max_entries":9}}}]}`,
    );
    assert.deepEqual(messagesOf(small), [
      'dropped the field config.redis of 1 of plugins "rate-limiting": it came with Kong 3.6, and this is for 3.4.2',
      'dropped the field config.queue.concurrency_limit of 1 of plugins "http-log": it came with Kong 3.8, and this is for 3.4.2',
    ]);
  });

  it("takes a field out of every record of a list", () => {
    const text = `{"routes":[{"id":"1","sources":[{"ip":"a","x":1},{"x":2,"port":3}]}]}`;
    assert.equal(textOf(adapt(text)), `{"routes":[{"id":"1","sources":[{"ip":"a"},{"port":3}]}]}`);
  });

  it("leaves a plugin's field that cannot go without changing what it does, for checkConfig to find", () => {
    const plugins = [{ id: "1", name: "acl", ordering: { before: {} }, condition: "true" }];
    const { config } = adapt(JSON.stringify({ _format_version: "3.0", plugins }));
    assert.deepEqual(
      checkConfig(config, V391, { edition: "open-source" }).map(({ message }) => message),
      ['plugin "acl" (id 1): open-source Kong has no field condition here'],
    );
  });

  it("leaves names that collide once the workspaces are gone, for checkConfig to find", () => {
    const services = ["a", "b"].map((ws_id, place) => ({ id: `${place}`, name: "echo", ws_id }));
    const config = Buffer.from(JSON.stringify({ _format_version: "3.0", services }));
    assert.deepEqual(checkConfig(config, V391), []);
    const adapted = adaptConfig(config, { kongVersion: V391, plugins: [] });
    assert.deepEqual(
      checkConfig(adapted.config, V391).map(({ kind }) => kind),
      ["duplicate-value", "duplicate-value"],
    );
  });
});

const NAMES = ["acl", "cors", "redirect", "saml", "mine", "canary"];
const IDS = ["1", "2", "3", "4"];
const row = fc.record(
  {
    id: fc.constantFrom(...IDS),
    name: fc.constantFrom(...NAMES),
    ws_id: fc.constantFrom(null, "w1", "w2"),
    service: fc.constantFrom(null, ...IDS),
    consumer_group: fc.constantFrom(null, ...IDS, { id: "1" }),
    plugin: fc.constantFrom(null, ...IDS),
    odd: fc.jsonValue({ maxDepth: 1 }),
  },
  { requiredKeys: [] },
);
const KINDS = [
  "services",
  "routes",
  "plugins",
  "oauth2_authorization_codes",
  "consumer_groups",
  "filter_chains",
  "licenses",
  "workspaces",
  "other",
];
const config = fc
  .tuple(
    fc.dictionary(
      fc.constantFrom(...KINDS),
      fc.array(fc.oneof({ weight: 9, arbitrary: row }, fc.jsonValue({ maxDepth: 1 }))),
    ),
    fc.constantFrom(undefined, 1, "\t"),
  )
  .map(([table, space]) =>
    Buffer.from(JSON.stringify({ _format_version: "3.0", ...table }, null, space)),
  );
const target = fc.record({
  kongVersion: fc.constantFrom(...["3.0.2", "3.4.2", "3.9.1", "3.9.1.2"].map(kongVersion)),
  plugins: fc.constantFrom<readonly string[]>([], ["bundled", "mine"]),
});

describe("adapting any config", () => {
  it("leaves nothing that it handles, is done after one time, and only ever takes out", () => {
    const handled = ["unknown-member", "unknown-plugin", "unknown-vault", "workspace-id"];
    fc.assert(
      fc.property(config, target, (before, to) => {
        const { config: after, changes } = adaptConfig(before, to);
        const options = { plugins: to.plugins, edition: "open-source" } as const;
        const left = checkConfig(after, to.kongVersion, options).filter(
          ({ kind, entity }) =>
            handled.includes(kind) || (kind === "unknown-field" && entity?.kind !== "plugins"),
        );
        assert.deepEqual(left, []);
        const dangling = (of: Uint8Array): number =>
          checkConfig(of, to.kongVersion, options).filter(
            ({ kind }) => kind === "dangling-reference",
          ).length;
        assert.ok(dangling(after) <= dangling(before), "it makes no reference dangle");
        const again = adaptConfig(after, to);
        assert.equal(again.config, after);
        assert.equal(changes.length === 0, after === before);
        const table = JSON.parse(Buffer.from(after).toString("utf8"));
        const original = JSON.parse(before.toString("utf8"));
        // Text is only cut, so what is left stands in the original in the same order.
        let position = 0;
        for (const byte of after) position = before.indexOf(byte, position) + 1 || Infinity;
        assert.ok(position <= before.length);
        for (const kind of ["services", "routes"]) {
          assert.equal(table[kind]?.length, original[kind]?.length, kind);
        }
      }),
      { numRuns: 500 },
    );
  });
});
