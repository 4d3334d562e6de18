/** `kong-fallback keys generate`: makes pairs of keys, and says which setting each belongs in. */

import { generateKeyPairSync } from "node:crypto";
import { type FileHandle, open, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { generateIdentity, identityToRecipient } from "age-encryption";
import { makeFolder, syncAsFarAsPossible } from "../../core/durable.ts";
import { describeCause, ServiceError } from "../../core/errors.ts";
import { nodeCodeOf } from "../../core/node-code.ts";
import { Secret } from "../../core/secret.ts";
import type { SettingName } from "../../runtime/settings/table.ts";
import { onShutdown } from "../../runtime/shutdown.ts";
import { verifyKeyOf } from "../../snapshots/seal/signature.ts";
import type { Command } from "../context.ts";
import { print, printJson } from "../output.ts";

export interface KeysRequest {
  /** At least one of the two. */
  readonly signing: boolean;
  readonly age: boolean;
  /** The directory for the files. */
  readonly out: string;
}

/** Paths, by the setting they belong in. */
type Assignments = { readonly [Name in SettingName]?: string };

interface Made {
  /** Public halves: the id of the signing key, the age recipient. */
  readonly signingKeyId?: string;
  readonly ageRecipient?: string;
  /** Paths. */
  readonly files: readonly string[];
  /** What to set where snapshots are written, and where they are read. */
  readonly exporter: Assignments;
  readonly readers: Assignments;
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
  const assignments = (paths: Assignments) =>
    Object.entries(paths).map(([name, value]) => `  ${name}=${value}`);
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

export interface KeyPair {
  /** What of it may be shown: the id of a signing key, or an age recipient. */
  readonly shown: string;
  readonly privateText: Secret;
  readonly publicText: string;
}

/** Ed25519: PKCS #8 and SPKI, PEM. */
export function makeSigningPair(): KeyPair {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  return {
    shown: verifyKeyOf(publicKey).id,
    privateText: new Secret(privateKey.export({ type: "pkcs8", format: "pem" }).toString()),
    publicText: publicKey.export({ type: "spki", format: "pem" }).toString(),
  };
}

/** X25519, the private half as `age-keygen` writes it, made at `now`. https://github.com/FiloSottile/age/blob/main/doc/age-keygen.1.ronn */
export async function makeAgePair(now: Date): Promise<KeyPair> {
  const identity = await generateIdentity();
  const recipient = await identityToRecipient(identity);
  const created = now.toISOString().replace(/\.\d+Z$/, "Z");
  const lines = [`# created: ${created}`, `# public key: ${recipient}`, identity, ""];
  return {
    shown: recipient,
    privateText: new Secret(lines.join("\n")),
    publicText: `${recipient}\n`,
  };
}

export interface NewFile {
  readonly name: string;
  readonly text: Secret;
  readonly mode: 0o600 | 0o644;
}

/** `KEYS_NOT_WRITTEN`: the files of new keys could not be made: one of that name is there, or the directory is not ours to write. Nothing was left behind. */
export class KeyFilesError extends ServiceError {
  readonly code = "KEYS_NOT_WRITTEN";
  readonly exitStatus = 2;
}

/** Makes the directory, too, mode 0700. Gives the paths, in order. Rejects with KeyFilesError. */
export async function writeNewFiles(
  directory: string,
  files: readonly NewFile[],
): Promise<readonly string[]> {
  const made: string[] = [];
  try {
    await makeFolder(directory);
    for (const { name, text, mode } of files) {
      const path = join(directory, name);
      await using file = await created(path, mode);
      made.push(path);
      await file.writeFile(text.reveal());
      await syncAsFarAsPossible(file);
    }
    return made;
  } catch (cause) {
    for (const path of made) await rm(path, { force: true });
    const taken = files[made.length]?.name;
    const why = nodeCodeOf(cause) === "EEXIST" ? `${taken} already exists` : describeCause(cause);
    throw new KeyFilesError(`the keys could not be written to ${directory}: ${why}`, {
      retryable: false,
      hint: "Name a directory of your own that holds no such keys yet: keys are never overwritten.",
      cause,
    });
  }
}

/** Fails where anything has that name, a dangling link too. */
function created(path: string, mode: number): Promise<FileHandle> {
  return open(path, "wx", mode);
}
