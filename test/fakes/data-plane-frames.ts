/**
 * WebSocket frames as a data plane writes and reads them: masked, and one whole frame a message.
 * Kong/lua-resty-websocket lib/resty/websocket/protocol.lua
 */

import { randomBytes } from "node:crypto";
import { applyMask, encodeFrame } from "./websocket-frames.ts";

/** A frame from the control plane. */
export interface Arrival {
  readonly opcode: number;
  /** Empty where the reader does not keep it. */
  readonly payload: Buffer;
  /** Length of the payload as it travelled. */
  readonly bytes: number;
}

/** The frame breaks the rules; a data plane drops the connection. */
export class FrameFault extends Error {
  override readonly name = "FrameFault";
}

/** A frame as a client sends it. */
export function encodeMasked(opcode: number, payload: Uint8Array, final = true): Buffer {
  const head = encodeFrame(opcode, payload, final).subarray(0, -payload.length || undefined);
  head.writeUInt8(head.readUInt8(1) | 0x80, 1);
  const mask = randomBytes(4);
  return Buffer.concat([head, mask, applyMask(payload, mask)]);
}

/** Gathers bytes and gives the complete frames among them. */
export class ArrivalReader {
  readonly #maxPayloadBytes: number;
  readonly #keeps: boolean;
  #head: Buffer = Buffer.alloc(0);
  #open: (Header & { missing: number; readonly pieces: Buffer[] }) | undefined;

  /** `keeps: false`: the payloads of messages are counted and let go. */
  constructor(options: { readonly maxPayloadBytes: number; readonly keeps: boolean }) {
    this.#maxPayloadBytes = options.maxPayloadBytes;
    this.#keeps = options.keeps;
  }

  /** Whether the last bytes were part of a frame whose rest is yet to come. */
  get isMidFrame(): boolean {
    return this.#open !== undefined || this.#head.length > 0;
  }

  /** Throws FrameFault as soon as a header shows it; then no more can be read. */
  *read(chunk: Buffer): Generator<Arrival> {
    let rest = chunk;
    for (;;) {
      if (this.#open === undefined) {
        this.#head = Buffer.concat([this.#head, rest]);
        const header = readHeader(this.#head);
        if (header === undefined) return;
        this.#check(header);
        rest = this.#head.subarray(header.size);
        this.#head = Buffer.alloc(0);
        this.#open = { ...header, missing: header.bytes, pieces: [] };
      }
      const open = this.#open;
      const piece = rest.subarray(0, open.missing);
      rest = rest.subarray(piece.length);
      open.missing -= piece.length;
      if (this.#keeps || open.opcode >= 0x8) open.pieces.push(piece);
      if (open.missing > 0) return;
      this.#open = undefined;
      yield { opcode: open.opcode, payload: Buffer.concat(open.pieces), bytes: open.bytes };
    }
  }

  #check({ first, masked, bytes }: Header): void {
    if ((first & 0x70) !== 0) throw new FrameFault("a frame of an extension (RSV bits)");
    if (masked) throw new FrameFault("a masked frame");
    if ((first & 0x80) === 0) throw new FrameFault("a fragmented message");
    if (bytes > this.#maxPayloadBytes) {
      throw new FrameFault(
        `a message of ${bytes} bytes, above its cluster_max_payload of ${this.#maxPayloadBytes}`,
      );
    }
  }
}

interface Header {
  readonly first: number;
  readonly opcode: number;
  readonly masked: boolean;
  /** Length of the payload. */
  readonly bytes: number;
  /** Length of the header itself. */
  readonly size: number;
}

/** Undefined where there is not enough of it yet. */
function readHeader(head: Buffer): Header | undefined {
  if (head.length < 2) return undefined;
  const first = head.readUInt8(0);
  const second = head.readUInt8(1);
  const short = second & 0x7f;
  const size = short === 126 ? 4 : short === 127 ? 10 : 2;
  if (head.length < size) return undefined;
  const bytes =
    short === 126 ? head.readUInt16BE(2) : short === 127 ? Number(head.readBigUInt64BE(2)) : short;
  return { first, opcode: first & 0x0f, masked: second >= 0x80, bytes, size };
}
