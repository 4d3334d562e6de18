/** age, by its own library: a body encrypted for several recipients, and opened by one of several identities. https://age-encryption.org/v1 */

import { setImmediate } from "node:timers/promises";
import { Decrypter, Encrypter, identityToRecipient } from "age-encryption";
import { describeCause } from "../../core/errors.ts";
import type { Secret } from "../../core/secret.ts";
import { SnapshotError } from "../errors.ts";
import { forWhom, sealed, stanzaKinds, withoutArmor } from "./age-header.ts";

/** `recipients`, `age1...`, at least one, are known to be valid. */
export async function encrypt(
  body: Uint8Array,
  recipients: readonly string[],
): Promise<Uint8Array> {
  const encrypter = new Encrypter();
  for (const recipient of recipients) encrypter.addRecipient(recipient);
  const encrypted = await encrypter.encrypt(inPieces(body));
  return collect(encrypted, encrypted.size(body.length));
}

/** `age1...` of each, in their order. */
export function recipientsOf(identities: readonly Secret[]): Promise<readonly string[]> {
  return Promise.all(identities.map((identity) => identityToRecipient(identity.reveal())));
}

/**
 * `body` is one that `isEncrypted`. Throws SNAPSHOT_SEALED where no identity opens it, SNAPSHOT_CORRUPT
 * where it is damaged or longer than `maxBytes` in the clear, which its length tells beforehand.
 */
export async function decrypt(
  body: Uint8Array,
  identities: readonly Secret[],
  name: string,
  maxBytes: number,
): Promise<Uint8Array> {
  const binary = withoutArmor(body);
  const kinds = binary === undefined ? undefined : stanzaKinds(binary);
  if (binary === undefined || kinds === undefined) throw corrupt(name, "its header is damaged");
  if (kinds.includes("scrypt")) {
    throw sealed(
      `${name} is encrypted with a passphrase, and none is taken here`,
      "Open it with `age -d`, or encrypt it again for a recipient: `age -r age1...`.",
    );
  }
  const decrypter = new Decrypter();
  for (const identity of identities) decrypter.addIdentity(identity.reveal());
  // Asked last, so only if none before it opened the file.
  decrypter.addIdentity({
    unwrapFileKey: async () => {
      const own = await recipientsOf(identities);
      throw sealed(
        `${name} is encrypted ${forWhom(kinds)}, and none of the keys configured opens it: ${own.join(", ")}`,
      );
    },
  });
  try {
    const opened = await decrypter.decrypt(inPieces(binary));
    const bytes = opened.size(binary.length);
    if (bytes > maxBytes) throw new RangeError(`it has ${bytes} bytes, more than ${maxBytes}`);
    return await collect(opened, bytes);
  } catch (cause) {
    if (cause instanceof SnapshotError) throw cause;
    throw corrupt(name, describeCause(cause));
  }
}

/** 4 ms of work each: in between, others have their turn. */
const PIECE_BYTES = 262_144;

function inPieces(body: Uint8Array): ReadableStream<Uint8Array> {
  let at = 0;
  return new ReadableStream({
    async pull(controller) {
      await setImmediate();
      if (at < body.length) controller.enqueue(body.subarray(at, at + PIECE_BYTES));
      at += PIECE_BYTES;
      if (at >= body.length) controller.close();
    },
  });
}

async function collect(stream: ReadableStream<Uint8Array>, bytes: number): Promise<Uint8Array> {
  const all = new Uint8Array(bytes);
  let at = 0;
  for await (const piece of stream) {
    all.set(piece, at);
    at += piece.length;
  }
  return all;
}

function corrupt(name: string, why: string): SnapshotError {
  return new SnapshotError("SNAPSHOT_CORRUPT", `${name} cannot be decrypted: ${why}`, {
    hint: "Restore the object from a backup or a bucket version, or let an exporter write it again.",
  });
}
