/** RFC 6455 frames by hand: tests see what really travels, and can send what no library would. */

export const TEXT = 0x1;
export const BINARY = 0x2;
export const CLOSE = 0x8;
export const PING = 0x9;
export const PONG = 0xa;

export interface Frame {
  readonly opcode: number;
  readonly final: boolean;
  readonly masked: boolean;
  /** Unmasked. */
  readonly payload: Buffer;
}

/** A frame as a server sends it, unmasked. `final: false` for all but the last fragment; the opcode of later fragments is 0. */
export function encodeFrame(opcode: number, payload: Uint8Array, final = true): Buffer {
  const first = (final ? 0x80 : 0) | opcode;
  const { length } = payload;
  if (length < 126) return Buffer.concat([Buffer.from([first, length]), payload]);
  if (length < 65_536) {
    return Buffer.concat([Buffer.from([first, 126, length >> 8, length & 0xff]), payload]);
  }
  const header = Buffer.alloc(10);
  header.set([first, 127]);
  header.writeBigUInt64BE(BigInt(length), 2);
  return Buffer.concat([header, payload]);
}

/** Masks a payload, and unmasks a masked one. RFC 6455 5.3 */
export function applyMask(payload: Uint8Array, mask: Uint8Array): Buffer {
  const masked = Buffer.from(payload);
  const [a = 0, b = 0, c = 0, d = 0] = mask;
  const keys = [a, b, c, d];
  // No `map`: a call for each byte of a long message takes seconds.
  for (let i = 0; i < masked.length; i += 1) masked[i] = (masked[i] ?? 0) ^ (keys[i & 3] ?? 0);
  return masked;
}

/** Gathers bytes and gives the complete frames among them. */
export class FrameReader {
  readonly #chunks: Uint8Array[] = [];
  /** Of the chunks, and of what completes the next frame as far as that is known. */
  #length = 0;
  #wanted = 2;

  read(chunk: Uint8Array): readonly Frame[] {
    this.#chunks.push(chunk);
    this.#length += chunk.length;
    const frames: Frame[] = [];
    if (this.#length < this.#wanted) return frames;
    const bytes = Buffer.concat(this.#chunks.splice(0));
    let start = 0;
    for (;;) {
      const rest = bytes.subarray(start);
      const size = sizeOf(rest);
      if (rest.length < size) {
        this.#chunks.push(rest);
        this.#length = rest.length;
        this.#wanted = size;
        return frames;
      }
      frames.push(frameOf(rest.subarray(0, size)));
      start += size;
    }
  }
}

/** Of the frame that begins here, header included; of the header where that is not complete, at least so many bytes. */
function sizeOf(bytes: Buffer): number {
  if (bytes.length < 2) return 2;
  const second = bytes.readUInt8(1);
  const short = second & 0x7f;
  const start = headerSize(second);
  if (bytes.length < start) return start;
  if (short === 126) return start + bytes.readUInt16BE(2);
  return start + (short === 127 ? Number(bytes.readBigUInt64BE(2)) : short);
}

function headerSize(second: number): number {
  const short = second & 0x7f;
  return 2 + (short === 126 ? 2 : short === 127 ? 8 : 0) + (second & 0x80 ? 4 : 0);
}

function frameOf(bytes: Buffer): Frame {
  const first = bytes.readUInt8(0);
  const second = bytes.readUInt8(1);
  const masked = second >= 0x80;
  const start = headerSize(second);
  const mask = masked ? bytes.subarray(start - 4, start) : Buffer.alloc(4);
  const payload = applyMask(bytes.subarray(start), mask);
  return { opcode: first & 0x0f, final: first >= 0x80, masked, payload };
}
