/** What is said of settings, keys and flags that are wrong, and of bugs; and the demo. */

import assert from "node:assert/strict";
import { SETTINGS } from "../../../src/runtime/settings/table.ts";
import { damaged } from "../damaged.ts";
import type { Surface } from "../surface.ts";
import type { World } from "../world.ts";

/** Settings whose value is a path or a name and is shown by right: who puts a secret there has put it in the open. */
const SHOWN: ReadonlySet<string> = new Set([
  "AWS_CA_BUNDLE",
  "KONG_FALLBACK_PREFIX_DIR",
  "KUBECONFIG",
]);

/** Loaded before the program: whatever asks for a digest meets a bug that quotes nothing but carries everything. */
const BUG = (how: string) =>
  `data:text/javascript,${encodeURIComponent(`
import crypto from "node:crypto";
import { syncBuiltinESMExports } from "node:module";
const error = () => Object.assign(new TypeError("planted bug"), {
  config: { headers: { authorization: process.env.AWS_SECRET_ACCESS_KEY } },
  cause: new Error(process.env.KONG_FALLBACK_ADMIN_TOKEN),
  key: process.env.KONG_CLUSTER_CERT_KEY,
});
crypto.createHash = () => { ${how} };
syncBuiltinESMExports();
`)}`;

function bug(name: string, how: string, commands: readonly (readonly string[])[]): Surface {
  return {
    name: `a bug: ${name}`,
    commands: commands.map((argv) => argv.slice(0, argv[0] === "snapshots" ? 2 : 1).join(" ")),
    run: async (world) => {
      await world.save();
      const env = { NODE_OPTIONS: `--import=${BUG(how)}` };
      for (const argv of commands) {
        const run = await world.run(argv, { env, status: 1 });
        // Where disposal meets the same bug, Node tells of both as one SuppressedError.
        assert.match(run.stderr.join("\n"), /planted bug|SuppressedError/);
      }
    },
  };
}

const VICTIMS = [["status"], ["snapshots", "verify"], ["import", "--force"], ["export"], ["serve"]];

async function nonsense(
  world: World,
  disguise: (secret: string) => string,
): Promise<Readonly<Record<string, string>>> {
  const env = Object.fromEntries(
    Object.keys(SETTINGS)
      .filter((name) => !SHOWN.has(name))
      .map((name) => [name, disguise(world.canaries.plant("nonsense", `nonsense in ${name}`))]),
  );
  for (const command of ["export", "import", "serve", "status"]) {
    await world.run([command], { env, status: 2 });
  }
  return env;
}

export const FAULT_SURFACES: readonly Surface[] = [
  {
    name: "every setting with a secret in place of its value",
    commands: ["export", "import", "serve", "status"],
    run: async (world) => {
      const env = await nonsense(world, (secret) => secret);
      // One at a time: what is told first must not hide what would be told next.
      for (const [name, value] of Object.entries(env)) {
        await world.run(["import", "--force"], { env: { [name]: value } });
      }
    },
  },
  {
    name: "every setting with credentials inside a URL",
    commands: ["export", "import", "serve", "status"],
    run: async (world) => {
      await nonsense(world, (secret) => `https://user:${secret}@host.example:1/p`);
      await nonsense(world, (secret) => `https://host.example:1/p?sig=${secret}`);
    },
  },
  {
    name: "storage and targets that hold credentials, as flags and as settings",
    commands: ["import", "serve", "status"],
    run: async (world) => {
      for (const scheme of ["s3", "gs", "azure", "file", "https", "what"]) {
        for (const rest of [
          "u:SECRET@bucket/p",
          "bucket/p?sig=SECRET",
          "u:SECRET@",
          "bucket/p#SECRET",
          "SECRET@b,s3://u:SECRET@c",
        ]) {
          const secret = world.canaries.plant("url", `credentials in ${scheme}://${rest}`);
          const url = `${scheme}://${rest.replaceAll("SECRET", secret)}`;
          await world.run(["status", "--storage", url], {
            env: { KONG_FALLBACK_STORE_TIMEOUT: "0.1" },
          });
          if (scheme === "https") {
            await world.run(["import", "--force", "--to", url], {});
            await world.run(["serve", "--target", url], { status: 2 });
          }
        }
      }
    },
  },
  {
    name: "put options that hold a key",
    commands: ["export"],
    run: async (world) => {
      const secret = world.canaries.plant("nonsense", "a key in the put options");
      for (const text of [`{"SSECustomerKey":"${secret}"}`, `{"SSECustomerKey":"${secret}`]) {
        const env = {
          KONG_CLUSTER_FALLBACK_CONFIG_STORAGE: "s3://bucket/p",
          KONG_CLUSTER_FALLBACK_EXPORT_S3_CONFIG: text,
        };
        await world.run(["export"], { env });
      }
    },
  },
  {
    name: "cluster keys and server keys that are damaged in a dozen ways, and swapped with certificates",
    commands: ["export", "serve"],
    run: async (world) => {
      const { KONG_CLUSTER_CERT_KEY: key = "", KONG_FALLBACK_SERVER_CERT_KEY: own = "" } =
        world.planted.environment;
      for (const text of damaged(key)) {
        await world.run(["export"], { env: { KONG_CLUSTER_CERT_KEY: text }, status: 2 });
        await world.run(["export"], { env: { KONG_CLUSTER_CERT: text }, status: 2 });
      }
      for (const text of damaged(own)) {
        const pki = world.pki();
        await world.run(["serve"], {
          env: { ...pki, KONG_FALLBACK_SERVER_CERT_KEY: text },
          status: 2,
        });
        await world.run(["serve"], { env: { ...pki, KONG_CLUSTER_CA_CERT: text }, status: 2 });
      }
      const file = await world.give("note.txt", "no key");
      await world.run(["export"], { env: { KONG_CLUSTER_CERT_KEY: file }, status: 2 });
    },
  },
  {
    name: "service accounts that are damaged",
    commands: ["status"],
    run: async (world) => {
      const { GCP_SERVICE_ACCOUNT: account = "" } = world.planted.environment;
      const fields = JSON.parse(account) as { readonly private_key: string };
      const others = damaged(fields.private_key).map((private_key) =>
        JSON.stringify({ ...fields, private_key }),
      );
      const texts = [
        fields.private_key,
        account.slice(9),
        account.slice(0, -9),
        Buffer.from(account).toString("base64"),
        ...others,
      ];
      for (const text of texts) {
        const env = {
          KONG_CLUSTER_FALLBACK_CONFIG_STORAGE: "gs://bucket/p",
          GCP_SERVICE_ACCOUNT: text,
          HTTPS_PROXY: "http://127.0.0.1:1",
        };
        await world.run(["status"], { env });
      }
    },
  },
  bug("thrown by what a command waits for", "throw error();", VICTIMS),
  bug("thrown in a callback", "setImmediate(() => { throw error(); }); throw error();", VICTIMS),
  bug("a promise that nobody waits for", "Promise.reject(error()); throw error();", VICTIMS),
  {
    name: "the demo, for people and machines",
    commands: ["demo"],
    run: async (world) => {
      await world.run(["demo"], { status: 0 });
      await world.run(["demo", "--json"], { status: 0 });
    },
  },
];
