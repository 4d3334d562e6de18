/** One data plane's session, seen from a fake control plane: records what comes, drops whoever breaks the rules. */

import { EventEmitter, once } from "node:events";
import type { IncomingMessage } from "node:http";
import type { TLSSocket } from "node:tls";
import {
  BINARY,
  CLOSE,
  encodeFrame,
  type Frame,
  FrameReader,
  PING,
  PONG,
} from "./websocket-frames.ts";

export interface FakeSessionOptions {
  /** Only data planes with this major, and a minor no greater, are served; 3.9.1 by default. */
  readonly version?: string;
  /** Sent after `basic_info`, unless a plugin in `configured` was not declared. */
  readonly config?: Uint8Array;
  readonly configured?: readonly string[];
  /** Whether pings are answered; true by default. */
  readonly pongs?: boolean;
  /** Takes any frame after `basic_info`, which a real one does not. */
  readonly takesAnything?: boolean;
}

export class FakeSession {
  readonly request: IncomingMessage;
  /** SNI the client sent; false if none. */
  readonly servername: string | false | null;
  readonly frames: Frame[] = [];
  /** What a real control plane would have dropped the session for. */
  readonly violations: string[] = [];
  /** Whether pings are answered; while they are not, it is as good as dead. */
  answers: boolean;
  readonly #socket: TLSSocket;
  #options: FakeSessionOptions;
  /** Names of the plugins it declared; undefined before `basic_info`. */
  #declared: readonly string[] | undefined;
  readonly #events = new EventEmitter();
  #hasEnded = false;

  constructor(request: IncomingMessage, socket: TLSSocket, options: FakeSessionOptions) {
    this.request = request;
    this.servername = socket.servername;
    this.#socket = socket;
    this.#options = options;
    this.answers = options.pongs ?? true;
    const reader = new FrameReader();
    socket.on("data", (chunk: Buffer) => {
      for (const frame of reader.read(chunk)) {
        this.frames.push(frame);
        this.#answer(frame);
        this.#events.emit("frame");
      }
    });
    socket.on("close", () => {
      this.#hasEnded = true;
      this.#events.emit("end");
    });
  }

  get pings(): readonly string[] {
    return this.frames
      .filter(({ opcode }) => opcode === PING)
      .map(({ payload }) => payload.toString());
  }

  /** Resolves once at least `count` frames have come, with all of them. */
  async received(count: number): Promise<readonly Frame[]> {
    while (this.frames.length < count) await once(this.#events, "frame");
    return this.frames;
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** Bytes it sent that the kernel has not taken yet. */
  get unsentBytes(): number {
    return this.#socket.writableLength;
  }

  /** Resolves once the client's side is gone. */
  async ended(): Promise<void> {
    if (!this.#hasEnded) await once(this.#events, "end");
  }

  send(opcode: number, payload: Uint8Array, final = true): void {
    this.write(encodeFrame(opcode, payload, final));
  }

  sendConfig(frame: Uint8Array): void {
    this.send(BINARY, frame);
  }

  /** The config was changed: sent if a real one would, else withheld, and nothing is said. */
  change(changed: Pick<FakeSessionOptions, "config" | "configured">): void {
    this.#options = { ...this.#options, ...changed };
    if (this.#declared !== undefined) this.#push(this.#declared);
  }

  write(bytes: Uint8Array): void {
    this.#socket.write(bytes);
  }

  /** As Kong does it: a close frame without a code, then the end. */
  close(payload: Uint8Array = Buffer.alloc(0)): void {
    this.#socket.end(encodeFrame(CLOSE, payload));
  }

  /** An abrupt end: FIN without a close frame. */
  drop(): void {
    this.#socket.destroy();
  }

  #answer(frame: Frame): void {
    const isFirst = this.frames.length === 1;
    const { takesAnything = false } = this.#options;
    const violationOf = isFirst
      ? violationOfFirst
      : takesAnything
        ? () => undefined
        : violationOfLater;
    const violation = violationOf(frame);
    if (violation !== undefined) {
      this.violations.push(violation);
      this.drop();
    } else if (isFirst) {
      this.#answerBasicInfo(frame);
    } else if (frame.opcode === CLOSE) {
      this.close();
    } else if (frame.opcode === PING && this.answers) {
      this.send(PONG, Buffer.alloc(0));
    }
  }

  #answerBasicInfo(frame: Frame): void {
    if (!isCompatible(this.request, this.#options.version ?? "3.9.1")) {
      this.close();
      return;
    }
    const { plugins } = JSON.parse(frame.payload.toString()) as { plugins: { name: string }[] };
    this.#declared = plugins.map(({ name }) => name);
    this.#push(this.#declared);
  }

  #push(declared: readonly string[]): void {
    const { config, configured = [] } = this.#options;
    if (config !== undefined && configured.every((name) => declared.includes(name))) {
      this.sendConfig(config);
    }
  }
}

function violationOfFirst(frame: Frame): string | undefined {
  if (!frame.masked || !frame.final) return "a client's frame must be masked and whole";
  if (frame.opcode !== BINARY) return "the first frame must be binary";
  const info = JSON.parse(frame.payload.toString()) as { type?: unknown; plugins?: unknown };
  return info.type === "basic_info" && Array.isArray(info.plugins)
    ? undefined
    : "the first frame must be basic_info";
}

function violationOfLater(frame: Frame): string | undefined {
  if (!frame.masked || !frame.final) return "a client's frame must be masked and whole";
  if (frame.opcode === CLOSE) return undefined;
  if (frame.opcode !== PING) return `opcode ${frame.opcode} after basic_info`;
  return frame.payload.length === 32 ? undefined : "a ping must carry 32 bytes";
}

function isCompatible(request: IncomingMessage, own: string): boolean {
  const declared = new URL(request.url ?? "", "https://cp").searchParams.get("node_version") ?? "";
  const [, major, minor] = /^(\d+)\.(\d+)\.\d+/.exec(declared) ?? [];
  const [ownMajor, ownMinor] = own.split(".");
  return major === ownMajor && Number(minor) <= Number(ownMinor);
}
