/** What is said of a config that is checked, and of what is taken out of one: kinds, names and ids, no other value. */

import assert from "node:assert/strict";
import { sha256 } from "../../../src/snapshots/snapshot.ts";
import { newSecret } from "../canaries.ts";
import type { Surface } from "../surface.ts";
import type { World } from "../world.ts";

const CONSUMER = "00000000-0000-4000-8000-000000000001";
const id = (last: string) => `00000000-0000-4000-8000-0000000001${last}`;

/** Saves a config in which each credential is at fault, and much is Enterprise's. */
async function saveUnfit(world: World): Promise<void> {
  const { snapshot } = world.planted.newer;
  const table = JSON.parse(snapshot.config.toString()) as Readonly<Record<string, object[]>>;
  const secret = (what: string) =>
    world.canaries.plant("config", `${what} in an unfit config`, newSecret());
  const twice = (one: object) => [
    { id: id("01"), consumer: CONSUMER, ...one },
    { id: id("02"), consumer: CONSUMER, ...one },
    { id: id("03"), consumer: id("99"), ...one, tags: null, ws_id: id("98") },
    { consumer: CONSUMER, ...one, [`note_${"x".repeat(30)}`]: secret("an unknown field") },
  ];
  const pem = `-----BEGIN PRIVATE KEY-----\n${secret("a key in place of an id")}\n-----END PRIVATE KEY-----`;
  const unfit = {
    ...table,
    keyauth_credentials: twice({ key: secret("a key") }),
    basicauth_credentials: twice({ username: "u", password: secret("a password") }),
    hmacauth_credentials: twice({ username: "u", secret: secret("an hmac secret") }),
    jwt_secrets: twice({ key: secret("a jwt key"), secret: secret("a jwt secret") }),
    oauth2_credentials: twice({
      client_id: secret("a client id"),
      client_secret: secret("a client secret"),
    }),
    oauth2_tokens: [
      {
        id: id("09"),
        credential: secret("a token as a reference"),
        access_token: secret("a token"),
      },
    ],
    keyauth_enc_credentials: twice({ key: secret("an encrypted key") }),
    mtls_auth_credentials: twice({ subject_name: secret("a subject") }),
    header_cert_auth_credentials: twice({ subject_name: secret("another subject") }),
    rbac_users: [{ id: id("04"), name: "admin", user_token: secret("an RBAC token") }],
    admins: [{ id: id("05"), username: "root", rbac_token: secret("an admin's token") }],
    event_hooks: [{ id: id("06"), config: { secret: secret("a hook's secret") } }],
    partials: [{ id: id("07"), type: "redis-ee", config: { password: secret("a partial's") } }],
    workspaces: [{ id: id("98"), name: "w", config: { portal_session: secret("a session") } }],
    snis: [{ id: id("08"), name: "shop.example", certificate: pem }],
    services: [
      ...(table["services"] ?? []),
      {
        id: id("10"),
        name: "s",
        client_certificate: { id: pem },
        ca_certificates: [pem, secret("a CA")],
      },
    ],
    plugins: [
      ...(table["plugins"] ?? []),
      {
        id: id("11"),
        name: "openid-connect",
        config: { client_secret: [secret("an OIDC secret")] },
        ordering: { before: { access: [secret("an ordering")] } },
      },
      {
        id: id("12"),
        name: "key-auth",
        instance_name: "k",
        condition: secret("a condition"),
        partials: [{ id: secret("a partial's id") }],
        consumer: secret("a consumer"),
        config: {},
      },
    ],
  };
  const config = Buffer.from(JSON.stringify(unfit));
  const metadata = {
    ...snapshot.metadata,
    sha256: sha256(config),
    bytes: config.length,
    configHash: undefined,
    hashes: {},
    hashMatch: "unchecked" as const,
  };
  await world.stage.save({ config, metadata });
}

export const FINDINGS_SURFACES: readonly Surface[] = [
  {
    name: "import --adapt of a config full of what is Enterprise's: the list of changes, and what is left",
    commands: ["import"],
    run: async (world) => {
      await saveUnfit(world);
      const argv = ["import", "--force", "--adapt"];
      const run = await world.run([...argv, "--json"], { status: 0 });
      const { changes } = JSON.parse(run.stdout.toString()) as {
        readonly changes: readonly unknown[];
      };
      assert.ok(changes.length > 5, run.stdout.toString());
      await world.run(argv, { status: 0 });
      await world.run([...argv, "--to", world.kong.url], {
        env: { KONG_FALLBACK_APPLY_TIMEOUT: "1" },
      });
    },
  },
  {
    name: "snapshots verify --deep of a config with a fault in each credential",
    commands: ["snapshots verify", "snapshots show", "snapshots list"],
    run: async (world) => {
      await saveUnfit(world);
      // The text lists the first findings, the JSON all.
      const run = await world.run(["snapshots", "verify", "--deep", "--json"]);
      assert.match(run.stdout.toString(), /another has the same/);
      assert.match(run.stdout.toString(), /does not exist/);
      for (const argv of [["verify", "--deep"], ["show"], ["list", "--json"]]) {
        await world.run(["snapshots", ...argv]);
      }
    },
  },
];
