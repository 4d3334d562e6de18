/** What is said where Azure, or whoever stands in for it, refuses each of the credentials and repeats it. */

import assert from "node:assert/strict";
import type { Run } from "../../e2e/cli.ts";
import { FakeAzure } from "../../fakes/azure-server.ts";
import { certificateAuthority } from "../../fakes/certificates.ts";
import { FakeEntra } from "../../fakes/entra.ts";
import { newSecret } from "../canaries.ts";
import type { Surface } from "../surface.ts";
import type { World } from "../world.ts";
import { echo, exporting, NOT_SAVED } from "./export.ts";

type Environment = Readonly<Record<string, string>>;

const CREDENTIALS = ["AZURE_STORAGE_KEY", "AZURE_STORAGE_SAS_TOKEN", "AZURE_CLIENT_SECRET"];

/** With one of the credentials that are planted, or with none. */
function storage(endpoint: string, credential?: string): Environment {
  const others = CREDENTIALS.filter((name) => name !== credential);
  return {
    KONG_CLUSTER_FALLBACK_CONFIG_STORAGE: "azure://kongfallback/backups/kong",
    AZURE_STORAGE_ENDPOINT: endpoint,
    ...Object.fromEntries(others.map((name) => [name, ""])),
  };
}

/** Settings that make the SDK write logs of its own. */
const LOUD: readonly Environment[] = [
  {},
  { AZURE_LOG_LEVEL: "verbose", TYPESPEC_RUNTIME_LOG_LEVEL: "verbose" },
  { DEBUG: "*" },
];

function searchRequests(world: World, azure: FakeAzure): void {
  for (const { method, path, headers } of azure.requests) {
    world.saw(`Azure ${method} ${path}`, JSON.stringify(headers));
  }
}

/** Identities of Entra ID: what gives their tokens, over https, with a store beside it that takes none. */
async function identities(world: World) {
  const authority = await certificateAuthority();
  const entra = await FakeEntra.start(await authority.issue("127.0.0.1"));
  const token = world.canaries.plant("azure-secret", "the federated token", `eyJ${newSecret()}`);
  const common = {
    NODE_EXTRA_CA_CERTS: await world.give("ca.pem", authority.cert),
    AZURE_TENANT_ID: "11111111-2222-3333-4444-555555555555",
    AZURE_CLIENT_ID: "66666666-7777-8888-9999-000000000000",
    AZURE_AUTHORITY_HOST: entra.authority,
  };
  const environments: readonly Environment[] = [
    { ...common, ...storage(entra.authority, "AZURE_CLIENT_SECRET") },
    {
      ...common,
      ...storage(entra.authority),
      AZURE_FEDERATED_TOKEN_FILE: await world.give("token", token),
    },
    {
      ...common,
      ...storage(entra.authority),
      AZURE_POD_IDENTITY_AUTHORITY_HOST: entra.metadata,
    },
  ];
  return { entra, environments };
}

export const AZURE_SURFACES: readonly Surface[] = [
  {
    name: "Azure with a key and with a SAS token: a store that refuses and repeats them",
    commands: ["export", "status"],
    run: async (world) => {
      await using azure = await FakeAzure.start();
      const secret = world.planted.environment["AZURE_STORAGE_SAS_TOKEN"] ?? "";
      for (const credential of ["AZURE_STORAGE_KEY", "AZURE_STORAGE_SAS_TOKEN"]) {
        const env = storage(azure.endpoint, credential);
        for (const message of [echo(world), `Signature did not match. String to sign: ${secret}`]) {
          azure.fault = () => ({
            kind: "error",
            status: 403,
            code: "AuthenticationFailed",
            message,
          });
          await exporting(world, env, NOT_SAVED);
        }
        const [{ value: code } = assert.fail()] = world.canaries.all.filter(
          ({ group }) => group === "azure-sas",
        );
        for (const status of [400, 403, 409, 500]) {
          azure.fault = () => ({ kind: "error", status, code, message: code });
          await world.run(["status"], { env });
        }
      }
      assert.ok(azure.requests.some(({ headers }) => headers.authorization));
      searchRequests(world, azure);
    },
  },
  {
    name: "Azure, where the SDK writes logs of its own",
    commands: ["status", "snapshots list", "import"],
    run: async (world) => {
      await using azure = await FakeAzure.start();
      const { entra, environments } = await identities(world);
      await using _ = entra;
      const runs: Run[] = [];
      for (const loud of LOUD) {
        for (const env of [
          storage(azure.endpoint, "AZURE_STORAGE_KEY"),
          storage(azure.endpoint, "AZURE_STORAGE_SAS_TOKEN"),
          ...environments,
        ]) {
          for (const argv of [["status"], ["snapshots", "list"], ["import", "--force"]]) {
            runs.push(await world.run(argv, { env: { ...env, ...loud } }));
          }
        }
      }
      assert.ok(entra.tokens.length > 0);
      for (const token of entra.tokens) {
        world.canaries.plant("azure-secret", "an access token", token.split(".")[1] ?? "");
      }
      for (const { stdout, stderr } of runs) {
        world.saw("output, once the tokens are known", `${stdout}${stderr.join("\n")}`);
      }
    },
  },
  {
    name: "Azure, where no identity gets a token and what refuses it repeats all it was told",
    commands: ["status", "snapshots list"],
    run: async (world) => {
      const { entra, environments } = await identities(world);
      await using _ = entra;
      for (const env of environments) {
        for (const error of ["invalid_client", echo(world)]) {
          for (const status of [400, 401, 500]) {
            const description = `AADSTS7000215: Invalid client secret: ${echo(world)}`;
            entra.refusal = { status, error, description };
            await world.run(["status"], { env });
            await world.run(["snapshots", "list", "--json"], { env });
          }
        }
      }
      assert.ok(entra.requests.length > 0);
    },
  },
  {
    name: "Azure credentials that are damaged, or in each other's place",
    commands: ["status"],
    run: async (world) => {
      await using azure = await FakeAzure.start();
      const values = CREDENTIALS.map((name) => world.planted.environment[name] ?? "");
      const texts = values.flatMap((value) => [
        value,
        `AccountName=shop;AccountKey=${value}`,
        `https://shop.blob.core.windows.net/backups?${value}`,
        value.slice(0, -1),
        `${value}\n`,
        `?sig=${value}`,
      ]);
      for (const credential of CREDENTIALS) {
        for (const text of texts) {
          const env = { ...storage(azure.endpoint, credential), [credential]: text };
          const ids = { AZURE_TENANT_ID: "t", AZURE_CLIENT_ID: "c" };
          await world.run(["status"], { env: { ...env, ...ids } });
        }
      }
    },
  },
];
