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

/** Gathers bytes and gives the complete frames among them. */
export class FrameReader {
  #bytes = Buffer.alloc(0);

  read(chunk: Uint8Array): readonly Frame[] {
    this.#bytes = Buffer.concat([this.#bytes, chunk]);
    const frames: Frame[] = [];
    for (let frame = this.#next(); frame !== undefined; frame = this.#next()) frames.push(frame);
    return frames;
  }

  #next(): Frame | undefined {
    const [first = 0, second = 0] = this.#bytes;
    if (this.#bytes.length < 2) return undefined;
    const short = second & 0x7f;
    const lengthBytes = short === 126 ? 2 : short === 127 ? 8 : 0;
    const maskBytes = second & 0x80 ? 4 : 0;
    const start = 2 + lengthBytes + maskBytes;
    if (this.#bytes.length < start) return undefined;
    const length =
      lengthBytes === 0
        ? short
        : Number(`0x${this.#bytes.subarray(2, 2 + lengthBytes).toString("hex")}`);
    if (this.#bytes.length < start + length) return undefined;
    const mask = this.#bytes.subarray(start - maskBytes, start);
    const payload = Buffer.from(
      this.#bytes.subarray(start, start + length).map((byte, i) => byte ^ (mask[i % 4] ?? 0)),
    );
    this.#bytes = this.#bytes.subarray(start + length);
    return { opcode: first & 0x0f, final: first >= 0x80, masked: maskBytes > 0, payload };
  }
}
