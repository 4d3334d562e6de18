/** What all remote stores have in common, so that a driver is its SDK's calls (`Driver`) and a table of verdicts. */

import type { Clock } from "../core/clock.ts";
import { raced, Scope, within } from "../core/waiting.ts";
import { checkKey, checkMetadata, checkPrefix, isKey } from "./keys.ts";
import type {
  GetOptions,
  Key,
  ListedObject,
  Metadata,
  ObjectHead,
  ObjectInfo,
  Precondition,
  PutOptions,
  Store,
  StoredObject,
  StoreError,
  Version,
} from "./port.ts";
import {
  damaged,
  fault,
  lostRace,
  misconfigured,
  type StoreAttempt,
  unavailable,
  type Verdict,
} from "./verdict.ts";

/** One operation under way. */
export interface Call {
  readonly attempt: StoreAttempt;
  /** Aborts with whatever ends the operation, at its end at the latest; no other operation has it. */
  readonly signal: AbortSignal;
  /** Something moved: the time of silence begins anew. `awaited`: what comes next, for messages. */
  readonly moved: (awaited: "access token" | "answer" | "rest of the answer") => void;
}

export interface Head {
  readonly version: Version;
  /** Length of the body. */
  readonly bytes: number;
  readonly metadata: Metadata;
}

export interface Fetched extends Head {
  readonly body: Uint8Array;
}

export interface Page {
  readonly objects: readonly {
    readonly name: string;
    readonly version: Version;
    readonly bytes: number;
    /** See ListedObject. */
    readonly putAt: Date | undefined;
  }[];
  /** Token of the page that follows; undefined on the last. */
  readonly next: string | undefined;
}

/**
 * The calls of one SDK, on whole names: prefix and key. Each rejects with whatever the SDK does, or
 * with a StoreError where the driver knows better; `explain` makes one of the former.
 */
export interface Driver {
  /** What stands before a name in messages: `s3://bucket`. */
  readonly root: string;
  /** Bucket or container. */
  readonly bucket: string;
  /** Where it talks to, and as far as it matters as whom, for messages. */
  readonly place: string;
  /** What is waited for first. */
  readonly awaitedFirst: "access token" | "answer";
  /** Whether a listing comes in the order of the bytes of UTF-8. */
  readonly isListingSorted: boolean;
  /** Throws STORE_BAD_KEY for a name that only this store cannot take. */
  checkName?(name: string): void;
  /** Undefined where the object has the version `than`, if one is given. */
  get(
    name: string,
    than: Version | undefined,
    options: GetOptions,
    call: Call,
  ): Promise<Fetched | undefined>;
  head(name: string, call: Call): Promise<Head>;
  put(name: string, body: Uint8Array, options: PutOptions, call: Call): Promise<Version>;
  /** Of the names that begin with `below`, the first page or the one of `token`. */
  page(below: string, token: string | undefined, call: Call): Promise<Page>;
  /** A missing name is success. */
  delete(name: string, call: Call): Promise<void>;
  /** Neither message nor cause may hold what SDKs keep on their exceptions: signatures, tokens, bodies. */
  explain(error: unknown, attempt: StoreAttempt): StoreError;
  /** Whether the connection broke before an answer was read. */
  isCutOff(error: unknown): boolean;
  /** Closes connections. */
  close(): Promise<void>;
}

export interface RemoteOptions {
  /** The storage URL, without credentials. */
  readonly url: string;
  /** Without leading or trailing `/`; `""` is the whole bucket. */
  readonly prefix: string;
  /** Longest silence, milliseconds; undefined where the SDK itself watches its sockets. */
  readonly silenceMs: number | undefined;
  readonly clock: Clock;
}

/** Pages of up to 1000 objects: far more than all histories of all versions have. */
const MAX_PAGES = 1_000;

/** Dispose cuts what is in flight: it rejects with STORE_CLOSED. */
export class RemoteStore implements Store {
  readonly url: string;
  readonly #driver: Driver;
  readonly #base: string;
  readonly #silenceMs: number | undefined;
  readonly #clock: Clock;
  readonly #life = new Scope();

  constructor(driver: Driver, { url, prefix, silenceMs, clock }: RemoteOptions) {
    this.url = url;
    this.#driver = driver;
    this.#base = prefix === "" ? "" : `${prefix}/`;
    this.#silenceMs = silenceMs;
    this.#clock = clock;
  }

  async get(key: Key, options: GetOptions, signal: AbortSignal): Promise<StoredObject> {
    checkKey(key);
    return this.#attempt({ action: "read", key }, signal, async (name, call) => {
      const found = await this.#driver.get(name, undefined, options, call);
      if (found !== undefined) return { key, ...found };
      const why = "the server says that the object has not changed, which was not asked";
      throw fault(call.attempt, unavailable(why));
    });
  }

  async head(key: Key, signal: AbortSignal): Promise<ObjectHead> {
    checkKey(key);
    return this.#attempt({ action: "read", key }, signal, async (name, call) => ({
      key,
      ...(await this.#driver.head(name, call)),
    }));
  }

  async getIfChanged(
    key: Key,
    than: Version,
    options: GetOptions,
    signal: AbortSignal,
  ): Promise<StoredObject | undefined> {
    checkKey(key);
    return this.#attempt({ action: "read", key }, signal, async (name, call) => {
      const found = await this.#driver.get(name, than, options, call);
      return found && { key, ...found };
    });
  }

  async put(
    key: Key,
    body: Uint8Array,
    options: PutOptions,
    signal: AbortSignal,
  ): Promise<ObjectInfo> {
    checkKey(key);
    checkMetadata(options.metadata);
    const { when, metadata } = options;
    const bytes = body.byteLength;
    return this.#attempt({ action: "write", key, when }, signal, async (name, call) => {
      try {
        return { key, version: await this.#driver.put(name, body, options, call), bytes };
      } catch (error) {
        if (when === undefined || call.signal.aborted || !this.#driver.isCutOff(error)) throw error;
        call.moved("answer");
        const there = await this.#driver.head(name, call).catch(() => undefined);
        const isLost = there !== undefined && hasLost({ bytes, metadata, when }, there);
        throw isLost ? lostRace(call.attempt) : error;
      }
    });
  }

  async *list(prefix: Key | "", signal: AbortSignal): AsyncIterable<ListedObject> {
    checkPrefix(prefix);
    if (this.#driver.isListingSorted) {
      yield* this.#pages(prefix, signal);
      return;
    }
    const objects: ListedObject[] = [];
    for await (const info of this.#pages(prefix, signal)) objects.push(info);
    for (const info of objects.sort(byKey)) {
      signal.throwIfAborted();
      yield info;
    }
  }

  async delete(key: Key, signal: AbortSignal): Promise<void> {
    checkKey(key);
    await this.#attempt({ action: "delete", key }, signal, (name, call) =>
      this.#driver.delete(name, call),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#life.end();
    await this.#driver.close();
  }

  /** In the order of the server. */
  async *#pages(prefix: Key | "", signal: AbortSignal): AsyncIterable<ListedObject> {
    const below = this.#base + (prefix === "" ? "" : `${prefix}/`);
    let token: string | undefined;
    for (let pages = 1; ; pages += 1) {
      const page = await this.#attempt({ action: "list", key: prefix }, signal, async (_, call) => {
        if (pages > MAX_PAGES) throw fault(call.attempt, ENDLESS);
        const found = await this.#driver.page(below, token, call);
        if (found.next === undefined || found.next !== token) return found;
        const why = "the listing does not go on: the server gives the same page again";
        throw fault(call.attempt, unavailable(why));
      });
      for (const { name, version, bytes, putAt } of page.objects) {
        const key = name.slice(this.#base.length);
        // No key: a folder marker of some console, or an object nobody could ask this store for.
        if (!name.startsWith(below) || !isKey(key)) continue;
        signal.throwIfAborted();
        yield { key, version, bytes, putAt };
      }
      if (page.next === undefined) return;
      token = page.next;
    }
  }

  /** Runs one operation; whatever goes wrong becomes `signal.reason` or a StoreError. */
  async #attempt<T>(
    what: {
      readonly action: StoreAttempt["action"];
      readonly key: Key | "";
      readonly when?: Precondition | undefined;
    },
    signal: AbortSignal,
    run: (name: string, call: Call) => Promise<T>,
  ): Promise<T> {
    const { root, bucket, place, awaitedFirst } = this.#driver;
    const name = this.#base + what.key;
    this.#driver.checkName?.(name);
    const clock = this.#clock;
    const { action, when } = what;
    const attempt: StoreAttempt = { action, target: `${root}/${name}`, bucket, place, when, clock };
    const closed = () => fault(attempt, { code: "STORE_CLOSED", why: "the store was closed" });
    if (this.#life.isOver) throw closed();
    signal.throwIfAborted();
    // SDKs heed a signal only now and then, e.g. not while they look for credentials, and leave
    // listeners on it: so each operation is raced, and has a signal of its own.
    using scope = new Scope(signal, this.#life.signal);
    try {
      const ms = this.#silenceMs;
      if (ms === undefined) {
        const { signal: own } = scope;
        return await raced(own, run(name, { attempt, signal: own, moved: () => {} }));
      }
      let awaited: string = awaitedFirst;
      const late = () => fault(attempt, tooLate(`no ${awaited} within ${ms} ms`));
      return await within({ ms, clock, late }, scope.signal, (own, begin) => {
        const moved: Call["moved"] = (next) => {
          awaited = next;
          begin();
        };
        return run(name, { attempt, signal: own, moved });
      });
    } catch (error) {
      signal.throwIfAborted();
      if (this.#life.isOver) throw closed();
      throw this.#driver.explain(error, attempt);
    }
  }
}

function tooLate(what: string): Verdict {
  return unavailable(`the server does not answer in time (${what})`);
}

const ENDLESS = misconfigured(
  `the listing does not end, not after ${MAX_PAGES} pages`,
  "Give the backups a prefix of their own. If they have one, the server repeats itself, or somebody else writes there.",
);

/** The order that the port promises: by the bytes of UTF-8. */
function byKey(one: ListedObject, other: ListedObject): number {
  return Buffer.compare(Buffer.from(one.key), Buffer.from(other.key));
}

/** A conditional write, as far as it can be told by a look at the object. */
interface CutOffWrite {
  readonly bytes: number;
  readonly metadata: Metadata;
  readonly when: Precondition;
}

/**
 * Whether a conditional write whose connection broke before an answer was read has lost against the
 * object that lies there now: its condition does not hold, and the object is not what was to be
 * written. A server may refuse a large body while it still arrives, and close; Node then tells of the
 * reset and drops the answer that came before it (seen with MinIO RELEASE.2025-09-07T16-13-09Z).
 * False as long as the write may be the one that lies there, or may still take effect: then nobody
 * knows, and the error stands. The version is compared with one that the server gave, never with an
 * MD5 of the body: under SSE-KMS and SSE-C an ETag of S3 is none.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html
 */
export function hasLost({ bytes, metadata, when }: CutOffWrite, there: Head): boolean {
  if ("ifVersion" in when && there.version === when.ifVersion) return false;
  const isOurs =
    there.bytes === bytes &&
    Object.entries(metadata).every(([name, value]) => there.metadata[name] === value);
  return !isOurs;
}

/** STORE_TOO_LARGE where the body is longer than allowed. */
export function checkLength(bytes: number, { maxBytes }: GetOptions, attempt: StoreAttempt): void {
  if (bytes > maxBytes) throw tooLarge(String(bytes), maxBytes, attempt);
}

/**
 * All bytes of a body, as many as announced: otherwise STORE_UNAVAILABLE. STORE_TOO_LARGE as soon as
 * it is known that there are more than `maxBytes`. Rejects as the stream does; leaving it early gives
 * its connection up, where it is one of Node's.
 */
export async function readBody(
  stream: AsyncIterable<Uint8Array>,
  announced: number | undefined,
  options: GetOptions,
  { attempt, moved }: Call,
): Promise<Uint8Array> {
  const { maxBytes, onProgress } = options;
  if (announced !== undefined) checkLength(announced, options, attempt);
  const whole = announced === undefined ? undefined : Buffer.alloc(announced);
  const chunks: Uint8Array[] = [];
  let received = 0;
  moved("rest of the answer");
  for await (const chunk of stream) {
    moved("rest of the answer");
    received += chunk.byteLength;
    if (announced !== undefined && received > announced) {
      throw damaged(attempt, `more than the ${announced} bytes announced arrived`);
    }
    if (received > maxBytes) throw tooLarge(`at least ${received}`, maxBytes, attempt);
    if (whole === undefined) chunks.push(chunk);
    else whole.set(chunk, received - chunk.byteLength);
    onProgress?.(received, announced);
  }
  if (announced !== undefined && received !== announced) {
    throw damaged(attempt, `only ${received} of ${announced} bytes arrived`);
  }
  return whole ?? Buffer.concat(chunks, received);
}

function tooLarge(bytes: string, maxBytes: number, attempt: StoreAttempt): StoreError {
  return fault(attempt, {
    code: "STORE_TOO_LARGE",
    why: `the object is ${bytes} bytes long, more than the ${maxBytes} allowed`,
    hint: "Raise the limit only if a config of this size is expected.",
  });
}

const PIECE_BYTES = 64 * 1024;

/** A body in pieces, so that one that is sent slowly is not taken for one that is not taken. */
export function* outgoing(body: Uint8Array, { moved }: Call): Generator<Buffer> {
  const whole = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  for (let at = 0; at < whole.length; at += PIECE_BYTES) {
    moved("answer");
    yield whole.subarray(at, at + PIECE_BYTES);
  }
}
