/** From the text of `--to` to a target. */

import { isAbsolute } from "node:path";
import type { Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import type { Clock } from "../../core/clock.ts";
import { ServiceError } from "../../core/errors.ts";
import type { Log } from "../../core/log.ts";
import type { Secret } from "../../core/secret.ts";
import type { AdminTls } from "../../kong/cluster-tls.ts";
import { FileTarget } from "./file.ts";
import type { Target } from "./port.ts";
import { StdoutTarget } from "./stdout.ts";

/** `TARGET_URL_INVALID`: `--to` or KONG_FALLBACK_IMPORT_TO names no target; the message says which part is wrong. */
export type TargetUrlErrorCode = "TARGET_URL_INVALID";

export class TargetUrlError extends ServiceError {
  readonly code: TargetUrlErrorCode = "TARGET_URL_INVALID";
  readonly exitStatus = 2;

  constructor(fault: string) {
    super(`the import target is invalid: ${fault}`, {
      retryable: false,
      hint: "Give file:/path/to/kong.json, - for standard output, or the URL of a DB-less Kong's Admin API (http://127.0.0.1:8001).",
    });
  }
}

export interface TargetOptions {
  /** Permissions of a file target. */
  readonly fileMode: number;
  readonly stdout: Writable;
  /** For an Admin API only. */
  readonly adminToken: Secret | undefined;
  /** For an Admin API only. Called for each connection. */
  readonly adminTls: (() => Promise<AdminTls>) | undefined;
  /** For an Admin API to take and confirm the config, or a file system to take the file, milliseconds. */
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
}

export type TargetAddress =
  | { readonly kind: "stdout" }
  | { readonly kind: "file"; readonly path: string }
  | { readonly kind: "admin"; readonly url: URL };

/** Throws TargetUrlError, whose message never repeats the text: it may hold a password. */
export function parseTarget(text: string): TargetAddress {
  if (text === "-") return { kind: "stdout" };
  if (isAbsolute(text)) throw new TargetUrlError("a path needs file: before it");
  if (/^file:(?!\/)/i.test(text))
    throw new TargetUrlError("the path behind file: must start with /");
  if (!URL.canParse(text)) throw new TargetUrlError("it is no URL");
  const url = new URL(text);
  if (url.search !== "" || url.hash !== "") {
    throw new TargetUrlError("it has a query (?) or a fragment (#)");
  }
  switch (url.protocol) {
    case "file:":
      return { kind: "file", path: filePath(url) };
    case "http:":
    case "https:":
      if (url.username !== "" || url.password !== "") {
        throw new TargetUrlError("it has credentials in the URL; Kong takes a token, as a header");
      }
      return { kind: "admin", url };
    default:
      throw new TargetUrlError(`the scheme ${url.protocol.slice(0, 20)} is unknown`);
  }
}

/** Opens nothing yet: faults of the target itself show on `apply`. Throws TargetUrlError. */
export async function openTarget(text: string, options: TargetOptions): Promise<Target> {
  const address = parseTarget(text);
  switch (address.kind) {
    case "stdout":
      return new StdoutTarget(options.stdout);
    case "file":
      return new FileTarget({ ...options, path: address.path, mode: options.fileMode });
    case "admin": {
      const [{ AdminClient }, { AdminTarget }] = await Promise.all([
        import("../../kong/admin-client.ts"),
        import("./admin.ts"),
      ]);
      const { adminToken: token, adminTls: loadTls, timeoutMs, clock, random, log } = options;
      const client = new AdminClient({ url: address.url, token, loadTls });
      return new AdminTarget({ client, timeoutMs, clock, random, log });
    }
    default:
      return address satisfies never;
  }
}

function filePath(url: URL): string {
  if (url.host !== "") {
    throw new TargetUrlError(
      `file://${url.host} names another machine; a path needs three slashes`,
    );
  }
  if (url.pathname.endsWith("/"))
    throw new TargetUrlError("the path names a directory, not a file");
  try {
    return fileURLToPath(url);
  } catch {
    throw new TargetUrlError("the path holds a bad %-escape");
  }
}
