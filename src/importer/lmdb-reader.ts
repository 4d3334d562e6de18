/** Looks up single values in an LMDB file at rest, reading only the pages on the way. Format: https://github.com/LMDB/lmdb/blob/LMDB_0.9.31/libraries/liblmdb/mdb.c */

import { type FileHandle, open } from "node:fs/promises";

/** Not an LMDB file of data version 1 (LMDB 0.9), damaged, or being written to while it was read. */
export class LmdbFormatError extends Error {
  constructor(what: string) {
    super(what);
    this.name = "LmdbFormatError";
  }
}

/** MDB_MAGIC and MDB_DATA_VERSION of a release build. */
const MAGIC = 0xbeefc0de;
const DATA_VERSION = 1;
/** PAGEHDRSZ: page number (8 bytes), pad (2), flags (2), lower (2), upper (2), then the node offsets. */
const PAGE_HEADER_BYTES = 16;
const P_BRANCH = 0x01;
const P_LEAF = 0x02;
/** NODESIZE: two halves of size or page number, flags, key size. */
const NODE_HEADER_BYTES = 8;
const F_BIGDATA = 0x01;
const F_SUBDATA = 0x02;
/** Offset of `md_root` in MDB_db, the record of one database. */
const DB_ROOT_OFFSET = 40;
const NO_PAGE = 0xffff_ffff_ffff_ffffn;
/** CURSOR_STACK: no tree is deeper. A damaged file must not send us round in circles. */
const MAX_DEPTH = 32;
const LARGEST_PAGE_BYTES = 65_536;

interface Meta {
  readonly pageBytes: number;
  readonly transaction: bigint;
  /** Root of the unnamed database, which lists the named ones. */
  readonly root: bigint;
}

interface Node {
  readonly key: Buffer;
  readonly flags: number;
  readonly value: Buffer;
}

export class LmdbReader implements AsyncDisposable {
  readonly #file: FileHandle;
  readonly #meta: Meta;

  private constructor(file: FileHandle, meta: Meta) {
    this.#file = file;
    this.#meta = meta;
  }

  /** Rejects with LmdbFormatError, or with Node's own error if the file cannot be opened or read. */
  static async open(path: string): Promise<LmdbReader> {
    const file = await open(path, "r");
    try {
      return new LmdbReader(file, await newestMeta(file));
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** Value of `key` in the named database, or in the unnamed one; undefined where database or key is missing. */
  async get(key: string, database?: string): Promise<Buffer | undefined> {
    if (database === undefined) return (await this.#find(this.#meta.root, key))?.value;
    const record = await this.#find(this.#meta.root, database);
    if (record === undefined || (record.flags & F_SUBDATA) === 0) return undefined;
    const root = guarded(() => record.value.readBigUInt64LE(DB_ROOT_OFFSET));
    return (await this.#find(root, key))?.value;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#file.close();
  }

  async #find(root: bigint, text: string): Promise<Node | undefined> {
    const key = Buffer.from(text);
    let pageNumber = root;
    for (let depth = 0; depth < MAX_DEPTH; depth += 1) {
      if (pageNumber === NO_PAGE) return undefined;
      const page = await this.#page(pageNumber);
      const flags = page.readUInt16LE(10);
      if ((flags & P_LEAF) !== 0) {
        const found = guarded(() => leafNodes(page).find((node) => node.key.equals(key)));
        if (found !== undefined && (found.flags & F_BIGDATA) !== 0) {
          throw new LmdbFormatError(`the value of ${text} is longer than any Kong writes`);
        }
        return found;
      }
      if ((flags & P_BRANCH) === 0) throw new LmdbFormatError(`page ${pageNumber} is no tree page`);
      pageNumber = guarded(() => childPage(page, key));
    }
    throw new LmdbFormatError("the tree is deeper than LMDB allows");
  }

  async #page(number: bigint): Promise<Buffer> {
    const { pageBytes } = this.#meta;
    const page = await readAt(this.#file, Number(number) * pageBytes, pageBytes);
    if (page.length < pageBytes || page.readBigUInt64LE(0) !== number) {
      throw new LmdbFormatError(`page ${number} is missing or damaged`);
    }
    return page;
  }
}

/** A file holds two, written in turn; the one of the later transaction counts. */
async function newestMeta(file: FileHandle): Promise<Meta> {
  const first = parseMeta(await readAt(file, 0, 4096));
  if (first === undefined) throw new LmdbFormatError("the file is no LMDB database of version 1");
  const second = parseMeta(await readAt(file, first.pageBytes, 4096));
  return second !== undefined && second.transaction > first.transaction ? second : first;
}

/** MDB_meta behind the page header: magic, version, address, map size, two MDB_db (48 bytes each), last page, transaction. */
function parseMeta(page: Buffer): Meta | undefined {
  if (page.length < 152) return undefined;
  if (page.readUInt32LE(16) !== MAGIC || page.readUInt32LE(20) !== DATA_VERSION) return undefined;
  const pageBytes = page.readUInt32LE(40);
  const isPowerOfTwo = (pageBytes & (pageBytes - 1)) === 0;
  if (!isPowerOfTwo || pageBytes < 256 || pageBytes > LARGEST_PAGE_BYTES) return undefined;
  return {
    pageBytes,
    root: page.readBigUInt64LE(88 + DB_ROOT_OFFSET),
    transaction: page.readBigUInt64LE(144),
  };
}

function nodeOffsets(page: Buffer): readonly number[] {
  const count = (page.readUInt16LE(12) - PAGE_HEADER_BYTES) >> 1;
  return Array.from({ length: Math.max(count, 0) }, (_, index) =>
    page.readUInt16LE(PAGE_HEADER_BYTES + 2 * index),
  );
}

function leafNodes(page: Buffer): readonly Node[] {
  return nodeOffsets(page).map((offset) => {
    const valueBytes = page.readUInt16LE(offset) + page.readUInt16LE(offset + 2) * 65_536;
    const flags = page.readUInt16LE(offset + 4);
    const start = offset + NODE_HEADER_BYTES + page.readUInt16LE(offset + 6);
    const isElsewhere = (flags & F_BIGDATA) !== 0;
    if (!isElsewhere && start + valueBytes > page.length) throw new RangeError("node too long");
    return {
      key: page.subarray(offset + NODE_HEADER_BYTES, start),
      flags,
      value: isElsewhere ? Buffer.alloc(0) : page.subarray(start, start + valueBytes),
    };
  });
}

/** The child that may hold `key`: the last whose key is not greater; the first child stands for everything below. */
function childPage(page: Buffer, key: Buffer): bigint {
  const offsets = nodeOffsets(page);
  const candidates = offsets.filter((offset, index) => {
    const start = offset + NODE_HEADER_BYTES;
    const own = page.subarray(start, start + page.readUInt16LE(offset + 6));
    return index === 0 || own.compare(key) <= 0;
  });
  const offset = candidates.at(-1);
  if (offset === undefined) throw new RangeError("branch page without children");
  // A page number has 48 bits: the low and high half, then the flags field.
  return BigInt(page.readUIntLE(offset, 6));
}

async function readAt(file: FileHandle, position: number, bytes: number): Promise<Buffer> {
  const { bytesRead, buffer } = await file.read(Buffer.alloc(bytes), 0, bytes, position);
  return buffer.subarray(0, bytesRead);
}

/** An offset that points outside its page means damage, not a bug. */
function guarded<T>(read: () => T): T {
  try {
    return read();
  } catch (cause) {
    if (cause instanceof RangeError) throw new LmdbFormatError("a page is damaged");
    throw cause;
  }
}
