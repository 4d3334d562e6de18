/** `kong-fallback keys generate`: makes pairs of keys, and says which setting each belongs in. */

import { resolve } from "node:path";
import { Secret } from "../../core/secret.ts";
import type { SettingName } from "../../runtime/settings/table.ts";
import { onShutdown } from "../../runtime/shutdown.ts";
import type { Command } from "../context.ts";
import { print, printJson } from "../print.ts";
import { type KeyPair, makeAgePair, makeSigningPair } from "./generate.ts";
import type { KeysRequest } from "./request.ts";
import { type NewFile, writeNewFiles } from "./write-files.ts";

type Places = { readonly [Name in SettingName]?: string };

interface Made {
  /** Public halves: the id of the signing key, the age recipient. */
  readonly signingKeyId?: string;
  readonly ageRecipient?: string;
  /** Paths. */
  readonly files: readonly string[];
  /** What to set where snapshots are written, and where they are read. */
  readonly exporter: Places;
  readonly readers: Places;
}

/** Rejects with KeyFilesError. */
export function keysCommand({ signing, age, out }: KeysRequest): Command {
  return async ({ settings, signals, clock, stdout, json }) => {
    using shutdown = onShutdown(signals, settings.shutdownTimeoutMs);
    const signingPair = signing ? makeSigningPair() : undefined;
    const agePair = age ? await makeAgePair(clock.now()) : undefined;
    const directory = resolve(out);
    const path = (name: string) => `${directory}/${name}`;
    const made: Made = {
      ...(signingPair && { signingKeyId: signingPair.shown }),
      ...(agePair && { ageRecipient: agePair.shown }),
      files: await writeNewFiles(directory, [
        ...filesOf("signing", signingPair),
        ...filesOf("age", agePair),
      ]),
      exporter: {
        ...(signing && { KONG_FALLBACK_SIGNING_KEY: path("signing.key") }),
        ...(age && { KONG_FALLBACK_AGE_RECIPIENTS: path("age.pub") }),
      },
      readers: {
        ...(signing && { KONG_FALLBACK_VERIFY_KEYS: path("signing.pub") }),
        ...(age && { KONG_FALLBACK_AGE_IDENTITIES: path("age.key") }),
      },
    };
    await (json ? printJson : printText)(stdout, made, shutdown.stop);
    return 0;
  };
}

function filesOf(name: string, pair: KeyPair | undefined): readonly NewFile[] {
  if (pair === undefined) return [];
  return [
    { name: `${name}.key`, text: pair.privateText, mode: 0o600 },
    { name: `${name}.pub`, text: new Secret(pair.publicText), mode: 0o644 },
  ];
}

function printText(stdout: Parameters<typeof print>[0], made: Made, signal: AbortSignal) {
  const assignments = (places: Places) =>
    Object.entries(places).map(([name, value]) => `  ${name}=${value}`);
  const lines = [
    "Made:",
    ...made.files.map((path) => `  ${path}`),
    ...(made.signingKeyId === undefined ? [] : [`Signing key: ${made.signingKeyId}`]),
    ...(made.ageRecipient === undefined ? [] : [`age recipient: ${made.ageRecipient}`]),
    "",
    "Where snapshots are written (export):",
    ...assignments(made.exporter),
    "Where they are read (import, serve, status, snapshots):",
    ...assignments(made.readers),
    "",
    "Keep a copy of the .key files in a safe place: what is encrypted is lost without age.key.",
  ];
  const shown = made.ageRecipient === undefined ? lines.slice(0, -2) : lines;
  return print(stdout, `${shown.join("\n")}\n`, signal);
}
