import assert from "node:assert/strict";
import { describe, it } from "vitest";
import {
  type CheckOptions,
  checkConfig,
  checkConfigInTurns,
} from "../../../src/kong/checks/check-config.ts";
import { JsonSyntaxError } from "../../../src/kong/json-members.ts";
import { kongVersion, V391 } from "../../fakes/config.ts";
import { capturedConfig, caseConfig, changedConfig } from "./capture.ts";

type Tables = Readonly<Record<string, unknown>>;

function check(table: Tables, version = "3.9.1", options: CheckOptions = {}) {
  const config = Buffer.from(JSON.stringify({ _format_version: "3.0", ...table }));
  return checkConfig(config, kongVersion(version), options);
}

function messages(...given: Parameters<typeof check>): readonly string[] {
  return check(...given).map(({ kind, message }) => `${kind}: ${message}`);
}

describe("checking a config without a Kong", () => {
  it("finds the same in turns with others, who have theirs all along", async () => {
    const filler = "x".repeat(1_000);
    const services = Array.from({ length: 1_000 }, (_, place) => ({
      id: `${place % 999}`,
      name: `${place}`,
      path: filler,
    }));
    const config = Buffer.from(JSON.stringify({ _format_version: "3.0", services }));
    let turns = 0;
    const count = (): void => {
      turns += 1;
      next = setImmediate(count);
    };
    let next = setImmediate(count);
    const found = await checkConfigInTurns(config, V391);
    clearImmediate(next);
    assert.deepEqual(found, checkConfig(config, V391));
    assert.equal(found.length, 2);
    // A megabyte is looked at twice, in pieces of 64 kB.
    assert.ok(turns > 25, `${turns} turns`);
  });

  it("finds nothing in what real control planes sent, for their version, in both editions", () => {
    const captures = ["3.4.2/rich", "3.9.1/empty", "3.9.1/small", "3.9.1/rich"];
    for (const name of captures) {
      const version = kongVersion(name.split("/")[0] ?? "");
      const config = capturedConfig(name);
      assert.deepEqual(checkConfig(config, version), [], name);
      assert.deepEqual(checkConfig(config, version, { edition: "open-source" }), [], name);
    }
  });

  it("names what refers to something that does not exist, in every form a reference has", () => {
    assert.deepEqual(
      messages({
        services: [{ id: "s1", name: "echo", client_certificate: { id: "gone" } }],
        routes: [
          { id: "r1", service: "s1" },
          { id: "r2", service: { id: "s1" } },
          { id: "r3", service: null },
          { id: "r4", service: "echo" },
        ],
        plugins: [{ id: "p1", name: "rate-limiting", service: "s2", route: "r1" }],
        snis: [{ id: "n1", name: "example.com", certificate: "c1" }],
        keys: [{ id: "k1", name: "key", set: "ks1" }],
      }),
      [
        'dangling-reference: service "echo" (id s1): its client_certificate gone does not exist',
        'dangling-reference: plugin "rate-limiting" (id p1): its service s2 does not exist',
        'dangling-reference: sni "example.com" (id n1): its certificate c1 does not exist',
        'dangling-reference: key "key" (id k1): its set ks1 does not exist',
      ],
    );
  });

  it("looks at each id of a list", () => {
    const plugins = [{ id: "p1", name: "cors", partials: [{ id: "x1" }, { id: "x2" }] }];
    assert.deepEqual(messages({ plugins, partials: [{ id: "x1" }] }, "3.10.0.1"), [
      'dangling-reference: plugin "cors" (id p1): its partials x2 does not exist',
    ]);
  });

  it("lets be what no Kong refuses", () => {
    const tables: readonly Tables[] = [
      // A list of ids in the schema, no foreign key.
      { services: [{ id: "s1", name: "a", ca_certificates: ["gone"] }] },
      { keys: [{ id: "k1", name: "a", set: null }], certificates: [{ id: "c1", cert: "x" }] },
      {
        upstreams: [{ id: "u1", name: "u" }],
        targets: [
          { id: "t1", target: "10.0.0.1:80", upstream: "u1" },
          { id: "t2", target: "10.0.0.1:80", upstream: "u1" },
        ],
      },
      { routes: [{ id: "r1", name: null, service: null, expression: "x", priority: 2e52 }] },
      { routes: [{ id: "r1", service: null }], plugins: [{ id: "p1", name: "acl", route: "r1" }] },
      { _comment: "by hand", _transform: true, _ignore: ["x"] },
      { services: [{ id: "s1", name: "a", _comment: "by hand", url: "http://a", routes: [] }] },
    ];
    for (const table of tables) {
      assert.deepEqual(messages(table), []);
      assert.deepEqual(messages(table, "3.9.1", { edition: "open-source" }), []);
    }
  });

  it("says nothing of the ids of a custom plugin's kind, which may have another key", () => {
    const mine_rows = [{ id: "1", at: 1 }, { id: "1", at: 2 }, { at: 3 }];
    assert.deepEqual(messages({ mine_rows }, "3.9.1", { plugins: ["mine"] }), []);
  });

  it("follows references to Enterprise's kinds only where the config has them at all", () => {
    const plugins = [{ id: "p1", name: "cors", consumer_group: "g2" }];
    assert.deepEqual(messages({ plugins }, "3.9.1.2"), []);
    const consumer_groups = [{ id: "g1", name: "gold" }];
    assert.deepEqual(messages({ plugins, consumer_groups }, "3.9.1.2"), [
      'dangling-reference: plugin "cors" (id p1): its consumer_group g2 does not exist',
    ]);
  });

  it("finds ids that stand twice, by kind, and lets be what has none", () => {
    assert.deepEqual(
      messages({
        services: [{ id: "1", name: "a" }, { name: "b" }, { id: "1", name: "c" }],
        routes: [{ id: "1" }, {}],
        parameters: [{ key: "cluster_id", value: "x" }],
      }),
      [
        'duplicate-id: service "a" (id 1): another of its kind has the same id',
        'duplicate-id: service "c" (id 1): another of its kind has the same id',
      ],
    );
  });

  it("finds what must be unique within a workspace and is not, without showing it", () => {
    const found = check({
      consumers: [
        { id: "1", username: "alice", ws_id: "a" },
        { id: "2", username: "alice", ws_id: "b" },
        { id: "3", username: "alice", ws_id: "b" },
      ],
      keyauth_credentials: [
        { id: "4", key: "canary", consumer: "1" },
        { id: "5", key: "canary", consumer: "2" },
      ],
    });
    assert.deepEqual(
      found.map(({ entity, kind }) => [kind, entity?.id]),
      [
        ["duplicate-value", "2"],
        ["duplicate-value", "3"],
        ["duplicate-value", "4"],
        ["duplicate-value", "5"],
      ],
    );
    assert.equal(JSON.stringify(found).includes("canary"), false);
  });

  it("takes a config written by hand as Kong does: without ids, entities inside others, named by names", () => {
    assert.deepEqual(checkConfig(caseConfig("handwritten"), V391), []);
    const nested = {
      services: [
        {
          name: "orders",
          routes: [{ name: "all", plugins: [{ name: "cors", consumer: "alice" }] }],
          plugins: [{ name: "key-auth", route: "all" }],
          filter_chains: [{ filters: [] }],
        },
      ],
      consumers: [{ username: "alice", keyauth_credentials: [{ key: "canary" }] }],
      upstreams: [{ name: "u", targets: [{ target: "10.0.0.1:80" }] }],
      certificates: [{ cert: "C", key: "K", snis: [{ name: "a.test" }] }],
      key_sets: [{ name: "set", keys: [{ name: "k", kid: "1" }] }],
    };
    assert.deepEqual(messages(nested), []);
    assert.deepEqual(messages(nested, "3.9.1", { edition: "open-source" }), []);
  });

  it("finds in nested entities what it finds in others, and says where they stand", () => {
    assert.deepEqual(
      messages({
        services: [
          {
            name: "orders",
            routes: [
              { name: "all", plugins: [{ name: "mine" }, { name: "cors", consumer: "bob" }] },
            ],
            filter_chains: [{ filters: [] }, { filters: [] }],
          },
          { name: "stock", routes: [{ name: "all" }] },
        ],
      }),
      [
        'unknown-plugin: plugin "mine" in route "all" in service "orders": neither Kong\'s own nor in KONG_PLUGINS',
        'duplicate-value: route "all" in service "orders": another has the same name',
        'duplicate-value: filter_chains[0] in service "orders": another has the same service',
        'duplicate-value: filter_chains[1] in service "orders": another has the same service',
        'duplicate-value: route "all" in service "stock": another has the same name',
        'dangling-reference: plugin "cors" in route "all" in service "orders": its consumer bob does not exist',
      ],
    );
  });

  it("finds each pair that shares what Kong keeps unique, foreign keys and across workspaces too", () => {
    const found = checkConfig(caseConfig("unique-values"), V391);
    const kinds = [
      "ca_certificates",
      "snis",
      "vaults",
      "filter_chains",
      "sessions",
      "acme_storage",
    ];
    assert.deepEqual(
      found.map(({ kind, entity }) => `${kind} ${entity?.kind}`),
      kinds.flatMap((kind) => [`duplicate-value ${kind}`, `duplicate-value ${kind}`]),
    );
    const rows = [
      ["filter_chains", { route: { id: "r1" } }],
      ["keyauth_enc_credentials", { key: "x" }],
      ["oauth2_authorization_codes", { code: "x" }],
      ["oauth2_tokens", { access_token: "x" }],
      ["oauth2_tokens", { refresh_token: "x" }],
      ["parameters", { key: "x" }],
    ] as const;
    for (const [kind, row] of rows) {
      const table = {
        [kind]: [
          { id: "1", ...row },
          { id: "2", ...row },
        ],
      };
      const shared = check({ routes: [{ id: "r1" }], ...table }, "3.9.1.2").map((it) => it.kind);
      assert.deepEqual(shared, ["duplicate-value", "duplicate-value"], kind);
    }
  });

  it("finds the ws_id that Enterprise's own exporter wrote where no Kong takes it", () => {
    const config = changedConfig("3.9.1/rich", (table) => {
      for (const kind of ["ca_certificates", "services"]) {
        for (const row of table[kind] ?? []) row["ws_id"] = "0c3a";
      }
    });
    assert.deepEqual(
      checkConfig(config, V391).map(({ kind, entity }) => [kind, entity?.kind]),
      [["workspace-id", "ca_certificates"]],
    );
    const openSource = checkConfig(config, V391, { edition: "open-source" });
    assert.equal(openSource.length, 5, "four services as well");
  });

  it("knows which kinds came or went with which version", () => {
    const table = { filter_chains: [], keys: [], vaults_beta: [] };
    assert.deepEqual(messages(table, "3.3.1"), [
      'unknown-member: top-level member "filter_chains": it came with Kong 3.4, and this is for 3.3.1',
      'unknown-member: top-level member "vaults_beta": it went with Kong 3.0, and this is for 3.3.1',
    ]);
    assert.deepEqual(messages({ ...table, _format_version: "2.1" }, "2.8.5").length, 2);
    assert.deepEqual(messages({ ...table, vaults_beta: undefined }, "3.10.0"), []);
    const newer = { partials: [], custom_plugins: [], cloned_plugins: [] };
    assert.deepEqual(messages(newer, "3.9.1.2"), [
      'unknown-member: top-level member "partials": it came with Kong 3.10, and this is for 3.9.1.2',
      'unknown-member: top-level member "custom_plugins": it came with Kong 3.15, and this is for 3.9.1.2',
      'unknown-member: top-level member "cloned_plugins": it came with Kong 3.15, and this is for 3.9.1.2',
    ]);
    assert.deepEqual(messages(newer, "3.15.0.0"), []);
  });

  it("knows which plugins came with which version, whatever KONG_PLUGINS adds", () => {
    const plugins = [
      { id: "1", name: "redirect" },
      { id: "2", name: "mine" },
      { id: "3", name: "openid-connect" },
    ];
    assert.deepEqual(messages({ plugins }, "3.8.1.2"), [
      'unknown-plugin: plugin "redirect" (id 1): it came with Kong 3.9, and this is for 3.8.1.2',
      'unknown-plugin: plugin "mine" (id 2): neither Kong\'s own nor in KONG_PLUGINS',
    ]);
    assert.deepEqual(messages({ plugins }, "3.9.1.2", { plugins: ["bundled", "mine"] }), []);
    const edition = "open-source";
    assert.deepEqual(messages({ plugins }, "3.9.1", { plugins: ["bundled", "mine"], edition }), [
      'unknown-plugin: plugin "openid-connect" (id 3): not in open-source Kong 3.9.1',
    ]);
  });

  it("knows Kong's own plugins and their kinds only where KONG_PLUGINS has them", () => {
    const table = {
      plugins: [
        { id: "1", name: "cors" },
        { id: "2", name: "mine" },
        { id: "3", name: "acl" },
      ],
      acls: [],
      jwt_secrets: [],
    };
    assert.deepEqual(messages(table, "3.9.1", { plugins: ["mine", "acl"] }), [
      'unknown-member: top-level member "jwt_secrets": KONG_PLUGINS does not name it, nor bundled',
      'unknown-plugin: plugin "cors" (id 1): KONG_PLUGINS does not name it, nor bundled',
    ]);
    assert.equal(messages({ plugins: table.plugins }, "3.9.1", { plugins: ["off"] }).length, 3);
  });

  it("knows the plugins that the config defines itself", () => {
    assert.deepEqual(checkConfig(caseConfig("streamed-plugins"), kongVersion("3.15.0.0")), []);
  });

  it("misses a clone only where it misses the plugin it is a clone of", () => {
    const table = {
      custom_plugins: [{ id: "c", name: "stamp" }],
      cloned_plugins: [
        { id: "1", name: "second-stamp", ref: "stamp" },
        { id: "2", name: "third-stamp", ref: "second-stamp" },
        { id: "3", name: "early", ref: "gone" },
        { id: "4", name: "round", ref: "about" },
        { id: "5", name: "about", ref: "round" },
      ],
      plugins: [
        { id: "6", name: "third-stamp" },
        { id: "7", name: "early" },
      ],
    };
    const why = "neither Kong's own nor in KONG_PLUGINS";
    assert.deepEqual(messages(table, "3.15.0.0"), [
      `unknown-plugin: cloned_plugin "early" (id 3): it is a clone of gone: ${why}`,
      `unknown-plugin: cloned_plugin "round" (id 4): ${why}`,
      `unknown-plugin: cloned_plugin "about" (id 5): ${why}`,
      `unknown-plugin: plugin "early" (id 7): it is a clone of gone: ${why}`,
    ]);
    assert.deepEqual(
      messages({ ...table, cloned_plugins: table.cloned_plugins.slice(0, 3) }, "3.15.0.0", {
        plugins: ["bundled", "gone"],
      }),
      [],
    );
  });

  it("takes for right what a custom plugin or Enterprise may have brought, and nothing else", () => {
    const table = { mine_rows: [{ some: "row" }] };
    const unknown = [
      'unknown-member: top-level member "mine_rows": no Kong 3.9.1 is known to have it',
    ];
    assert.deepEqual(messages(table), unknown);
    assert.deepEqual(messages(table, "3.9.1", { plugins: ["bundled", "mine"] }), []);
    assert.deepEqual(messages(table, "3.9.1", { plugins: ["bundled", "key-auth"] }), unknown);
    const enterprise = { ...table, consumer_groups: [], rbac_roles: [] };
    assert.deepEqual(messages(enterprise, "3.9.1.2"), []);
    assert.equal(messages({ _sync: 1 }, "3.9.1", { plugins: ["mine"] }).length, 1);
  });

  it("takes a version of three numbers up to 3.9 for open source, which has nothing of Enterprise", () => {
    const table = {
      consumer_groups: [],
      vaults: [{ id: "1", name: "hcv", prefix: "v" }],
      plugins: [{ id: "2", name: "openid-connect" }],
    };
    assert.deepEqual(messages(table, "3.9.1"), [
      'unknown-member: top-level member "consumer_groups": not in open-source Kong 3.9.1',
      'unknown-plugin: plugin "openid-connect" (id 2): not in open-source Kong 3.9.1',
      'unknown-vault: vault "v" (id 1): its backend hcv is not in open-source Kong',
    ]);
    for (const version of ["3.9.1.2", "3.9.1-enterprise-edition", "3.10.0", "3.15.0"]) {
      assert.deepEqual(messages(table, version), [], version);
    }
  });

  it("finds in what a 3.9.1 sends the fields that a 3.4.2 refuses, nested ones too", () => {
    const found = checkConfig(capturedConfig("3.9.1/rich"), kongVersion("3.4.2"));
    assert.ok(found.length > 0);
    assert.deepEqual([...new Set(found.map(({ kind }) => kind))], ["unknown-field"]);
    const plugins = [
      { id: "1", name: "rate-limiting", config: { minute: 1, redis: { host: null } } },
      { id: "2", name: "proxy-cache", config: { response_headers: { age: true } } },
      { id: "3", name: "http-log", config: { queue: { concurrency_limit: 1, max_entries: 9 } } },
    ];
    assert.deepEqual(messages({ plugins }, "3.4.2"), [
      'unknown-field: plugin "rate-limiting" (id 1): its field config.redis: it came with Kong 3.6, and this is for 3.4.2',
      'unknown-field: plugin "proxy-cache" (id 2): its field config.response_headers: it came with Kong 3.5, and this is for 3.4.2',
      'unknown-field: plugin "http-log" (id 3): its field config.queue.concurrency_limit: it came with Kong 3.8, and this is for 3.4.2',
    ]);
    assert.equal(messages({ plugins }, "3.3.1").length, 3);
    assert.equal(messages({ plugins }, "3.5.3").length, 2);
    assert.deepEqual(messages({ plugins }, "3.8.0"), []);
    // What Enterprise took over into older versions is not known.
    assert.deepEqual(messages({ plugins }, "3.4.3.5"), []);
  });

  it("names fields that no open-source version has, and lets old spellings, maps and custom plugins be", () => {
    const table = {
      upstreams: [
        { id: "1", name: "u", healthchecks: { active: { typo: 1, headers: { a: ["b"] } } } },
      ],
      filter_chains: [{ id: "2", filters: [{ name: "f", config: { any: 1 } }] }],
      plugins: [
        { id: "3", name: "rate-limiting", config: { minutes: 1, redis_host: "r" } },
        { id: "4", name: "response-ratelimiting", config: { limits: { video: { minute: 1 } } } },
        { id: "5", name: "mine", config: { any: 1 } },
      ],
    };
    const options = { plugins: ["bundled", "mine"] };
    assert.deepEqual(messages(table, "3.9.1", options), [
      'unknown-field: upstream "u" (id 1): open-source Kong has no field healthchecks.active.typo here',
      'unknown-field: plugin "rate-limiting" (id 3): open-source Kong has no field config.minutes here',
    ]);
    assert.deepEqual(messages({ ...table, filter_chains: [] }, "3.3.1", options), [
      'unknown-member: top-level member "filter_chains": it came with Kong 3.4, and this is for 3.3.1',
    ]);
    assert.deepEqual(messages(table, "3.10.0", options), []);
  });

  it("finds a _format_version that this Kong does not take", () => {
    assert.deepEqual(messages({ _format_version: "2.1" }), []);
    assert.deepEqual(messages({}, "2.8.5"), [
      "format-version: _format_version: Kong 2.8.5 takes 1.1, 2.1 and nothing else",
    ]);
  });

  it("lists the first hundred of a kind, and how many more there are", () => {
    const plugins = Array.from({ length: 250 }, (_, place) => ({ id: `p${place}`, name: "mine" }));
    const found = check({ plugins, routes: [{ name: "a", service: "gone" }] });
    assert.equal(found.length, 102);
    assert.equal(found.at(100)?.kind, "dangling-reference");
    assert.deepEqual(found.at(-1), { kind: "more", message: "and 150 more of these" });
  });

  it("goes by the last of members that stand twice, as every parser does", () => {
    const config = '{"_format_version":"3.0","routes":[{"id":"1","service":"x"}],"routes":[]}';
    assert.deepEqual(checkConfig(Buffer.from(config), V391), []);
  });

  it("survives values of any type in any place", () => {
    const odd = [null, 7, "text", [], {}, [[["deep"]]], { id: 7, service: 7, name: {} }];
    const kinds = ["services", "plugins", "vaults", "workspaces", "consumer_groups"];
    for (const kind of kinds) {
      for (const value of [odd, {}, null, 7]) {
        check({ [kind]: value }, "3.9.1", { edition: "open-source" });
      }
    }
    assert.throws(() => checkConfig(Buffer.from("{"), V391), JsonSyntaxError);
  });
});
