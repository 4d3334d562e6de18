/** What is said of keys that are made, and of keys in settings that are damaged or in the wrong place. */

import assert from "node:assert/strict";
import { readFile, stat } from "node:fs/promises";
import { damaged } from "../damaged.ts";
import { plantIdentity, plantSigningKey } from "../secrets.ts";
import type { Surface } from "../surface.ts";
import type { World } from "../world.ts";

/** Only now are the keys known: what they were made by is searched once more. */
async function generate(world: World, name: string, flags: readonly string[]): Promise<void> {
  const out = world.stage.path("given", name);
  const argv = ["keys", "generate", "--signing", "--age", "--out", out, ...flags];
  const run = await world.run(argv, { status: 0 });
  const signing = await readFile(`${out}/signing.key`, "utf8");
  const age = await readFile(`${out}/age.key`, "utf8");
  plantSigningKey(world.canaries, `the signing key in ${name}`, signing);
  plantIdentity(world.canaries, `the age key in ${name}`, age.trim().split("\n").at(-1) ?? "");
  const again = await world.run(argv);
  assert.notEqual(await again.ended(), 0);
  for (const { stdout, stderr } of [run, again]) {
    world.saw("standard output of keys generate", stdout);
    world.saw("standard error of keys generate", stderr.join("\n"));
  }
  for (const [file, mode] of [
    ["signing.key", 0o600],
    ["age.key", 0o600],
    ["signing.pub", 0o644],
    ["age.pub", 0o644],
  ] as const) {
    assert.equal((await stat(`${out}/${file}`)).mode & 0o777, mode, file);
    if (file.endsWith(".pub")) world.saw(file, await readFile(`${out}/${file}`));
  }
}

/** Each list has what cannot be used in this setting. */
function unusable(world: World): Readonly<Record<string, readonly string[]>> {
  const {
    KONG_FALLBACK_SIGNING_KEY: signing = "",
    KONG_FALLBACK_VERIFY_KEYS: verify = "",
    KONG_FALLBACK_AGE_RECIPIENTS: recipient = "",
    KONG_FALLBACK_AGE_IDENTITIES: identity = "",
  } = world.planted.sealing.environment;
  const [, line = ""] = signing.split("\n");
  const identities = [
    identity.slice(1),
    identity.slice(4),
    identity.slice(16),
    identity.slice(0, -1),
    `${identity}Q`,
    `${identity.slice(0, 40)} ${identity.slice(40)}`,
    `${identity.slice(0, 40)}\n${identity.slice(40)}`,
    `# public key: ${recipient}\\n${identity}`,
    identity.replace("AGE-", "AGE "),
    `file://${identity}`,
    `/keys/${identity}.key`,
    Buffer.from(identity).toString("base64"),
    `${recipient},${identity.slice(2)}`,
  ];
  return {
    KONG_FALLBACK_SIGNING_KEY: [
      ...damaged(signing),
      signing.replace(line, `${line.slice(0, 30)}!${line.slice(31)}`),
      signing.replace(line, line.slice(0, -3)),
      signing.replace(line, `${line.slice(0, 8)}AAAA${line.slice(12)}`),
      verify,
      identity,
      line,
    ],
    KONG_FALLBACK_VERIFY_KEYS: [
      signing,
      `${verify}${signing}`,
      `${verify},${signing}`,
      Buffer.from(signing).toString("base64"),
      ...damaged(signing),
      signing.replaceAll("PRIVATE", "PUBLIC"),
      identity,
      line,
    ],
    KONG_FALLBACK_AGE_RECIPIENTS: [
      identity,
      identity.toLowerCase(),
      `${recipient},${identity}`,
      signing,
      line,
      ...identities,
    ],
    KONG_FALLBACK_AGE_IDENTITIES: [signing, line, `${identity},${signing}`, ...identities],
  };
}

export const KEYS_SURFACES: readonly Surface[] = [
  {
    name: "keys generate, for people and machines, and where the files are there already",
    commands: ["keys generate"],
    run: async (world) => {
      await world.give("note.txt", "the directory is there");
      await generate(world, "text", []);
      await generate(world, "json", ["--json"]);
    },
  },
  {
    name: "keys to sign, verify, encrypt and decrypt with that are damaged, swapped or cut off",
    commands: ["import"],
    run: async (world) => {
      const lists = Object.entries(unusable(world));
      const most = Math.max(...lists.map(([, values]) => values.length));
      for (let place = 0; place < most; place += 1) {
        const env = Object.fromEntries(
          lists.flatMap(([name, values]) => {
            const value = values[place];
            return value === undefined ? [] : [[name, value]];
          }),
        );
        const run = await world.run(["import", "--force"], { env, status: 2 });
        // All faults are told at once, so none can hide another. Some damages a signing key survives.
        const told = run.stderr.join("\n");
        for (const name of Object.keys(env)) {
          const isTold = name === "KONG_FALLBACK_SIGNING_KEY" || told.includes(name);
          assert.ok(isTold, `${place}: ${told}`);
        }
      }
      // In files, whose paths are shown.
      for (const [name, values] of lists) {
        const path = await world.give("some.key", values[0] ?? "");
        const run = await world.run(["import", "--force"], { env: { [name]: path }, status: 2 });
        assert.ok(run.stderr.join("\n").includes(path));
        await world.run(["import", "--force"], { env: { [name]: `${path}x` }, status: 2 });
      }
    },
  },
];
