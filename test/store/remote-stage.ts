/** S3, Google Cloud Storage and Azure as fakes on the wire that fail in one language, each with the driver on it. */

import type { Clock } from "../../src/core/clock.ts";
import type { Egress } from "../../src/network/egress.ts";
import type { Store } from "../../src/store/port.ts";
import type { AzureFault } from "../fakes/azure-server.ts";
import { FakeAzure } from "../fakes/azure-server.ts";
import { googleError } from "../fakes/gcs-objects.ts";
import type { Fault as GcsFault } from "../fakes/gcs-server.ts";
import { FakeGcsServer } from "../fakes/gcs-server.ts";
import type { Fault as S3Fault } from "../fakes/s3-server.ts";
import { FakeS3 } from "../fakes/s3-server.ts";
import { openAzure } from "./azure-support.ts";
import { openGcs } from "./gcs-support.ts";
import { SECRET_KEY, SESSION_TOKEN } from "./refused.ts";
import { openS3 } from "./s3-support.ts";

export type Fault =
  /** The service refuses: `code` is its name of the error, `message` its sentence. */
  | {
      readonly kind: "error";
      readonly status: number;
      readonly code?: string;
      readonly message?: string;
      readonly headers?: Readonly<Record<string, string>>;
    }
  /** Something else answers; HTML unless `type` and `body` say otherwise (S3 only). */
  | {
      readonly kind: "page";
      readonly status: number;
      readonly type?: string;
      readonly body?: string;
      readonly headers?: Readonly<Record<string, string>>;
    }
  /** No answer, or half of one; `damage`: a byte of it is another; `lost`: what was asked is done. */
  | {
      readonly kind: "reset" | "silence" | "half" | "half-silence" | "damage" | "lost";
    };

export interface StageOptions {
  readonly timeoutMs?: number;
  readonly clock?: Clock;
  /** Another server than the stage's. */
  readonly endpoint?: string;
  /** No proxy by default. */
  readonly egress?: Egress;
}

export interface Stage extends AsyncDisposable {
  readonly endpoint: string;
  /** Before a key in messages. */
  readonly root: string;
  /** Whatever is none of a message's business besides what `refused` looks for. */
  readonly secrets: readonly string[];
  open(options?: StageOptions): Promise<Store>;
  /** What becomes of every request from now on, or only of those of one HTTP method. */
  fail(fault: Fault | undefined, method?: string): void;
  /** Called as each request arrives; not while `fail` is in force. */
  onRequest(arrived: () => void): void;
  /** Requests since the last call. */
  requests(): number;
}

export const STAGES = {
  S3: startS3,
  "Google Cloud Storage": startGcs,
  Azure: startAzure,
} as const satisfies Readonly<Record<string, () => Promise<Stage>>>;

export type StageName = keyof typeof STAGES;

async function startS3(): Promise<Stage> {
  const fake = await FakeS3.start();
  return stage(fake, {
    root: "s3://bucket/some/prefix/",
    secrets: [],
    silence: { kind: "silence" },
    open: ({ endpoint = fake.endpoint, ...options }) =>
      openS3({ endpoint, accessKeyId: "fake-key-id" }, options),
    translate: s3Fault,
  });
}

/** As AWS sends them besides Code and Message: key id, signed string, signature, token. */
const GOSSIP = {
  AWSAccessKeyId: "AKIAIOSFODNN7EXAMPLE",
  StringToSign: `AWS4-HMAC-SHA256 ${SECRET_KEY}`,
  SignatureProvided: `Signature=${SECRET_KEY}`,
  "Token-0": SESSION_TOKEN,
};

function s3Fault(fault: Fault): S3Fault {
  switch (fault.kind) {
    case "error": {
      const { status, code = "Odd", message = "Said so.", headers = {} } = fault;
      return { kind: "error", status, code, message, elements: GOSSIP, headers };
    }
    case "page": {
      const { status, type = "text/html", headers = {} } = fault;
      const { body = `<html><meta><title>${SECRET_KEY}</title></html>` } = fault;
      return { kind: "raw", status, headers: { "content-type": type, ...headers }, body };
    }
    case "reset":
      return { kind: "drop" };
    case "half":
      return { kind: "body", bytes: 10, after: "reset" };
    case "half-silence":
      return { kind: "body", bytes: 10, after: "stall" };
    case "damage":
      throw new Error("an object of S3 has no checksum that everybody sends");
    default:
      return { kind: fault.kind };
  }
}

async function startGcs(): Promise<Stage> {
  const fake = await FakeGcsServer.start("backups");
  return stage(fake, {
    root: "gs://backups/team/",
    secrets: [],
    silence: { kind: "stall" },
    open: async ({ endpoint = fake.endpoint, ...options }) => openGcs(endpoint, options),
    translate: gcsFault,
    // The description of an object has no checksum.
    isMeant: ({ params }, { kind }) => kind !== "damage" || params.get("alt") === "media",
  });
}

function gcsFault(fault: Fault): GcsFault {
  switch (fault.kind) {
    case "error": {
      const { status, code = "odd", message = "Said so." } = fault;
      return { kind: "answer", status, json: googleError(status, code, message) };
    }
    case "page":
      return { kind: "html", status: fault.status };
    case "silence":
      return { kind: "stall" };
    case "half":
      return { kind: "truncate" };
    case "half-silence":
      return { kind: "hang" };
    case "damage":
      return { kind: "flip" };
    default:
      return { kind: fault.kind };
  }
}

async function startAzure(): Promise<Stage> {
  const fake = await FakeAzure.start();
  return stage(fake, {
    root: "azure://kongfallback/backups/some/prefix/",
    secrets: [fake.accountKey],
    silence: { kind: "stall" },
    open: ({ endpoint = fake.endpoint, ...options }) =>
      openAzure({ ...fakeOf(fake), endpoint }, options),
    translate: azureFault,
  });
}

function fakeOf({ account, accountKey }: FakeAzure) {
  return { account, accountKey };
}

function azureFault(fault: Fault): AzureFault {
  switch (fault.kind) {
    case "error": {
      const { status, code, message } = fault;
      const said = message === undefined ? {} : { message };
      return { kind: "error", status, ...(code === undefined ? {} : { code }), ...said };
    }
    case "page":
      return { kind: "page", status: fault.status };
    case "silence":
      return { kind: "stall" };
    case "half-silence":
      return { kind: "half-stall" };
    case "lost":
      return { kind: "lost-answer" };
    default:
      return { kind: fault.kind };
  }
}

interface Fake<R extends { readonly method: string }, F> extends AsyncDisposable {
  readonly endpoint: string;
  readonly requests: unknown[];
  fault: (request: R) => F | undefined;
}

function stage<R extends { readonly method: string }, F>(
  fake: Fake<R, F>,
  of: Pick<Stage, "root" | "secrets"> & {
    readonly silence: F;
    readonly open: (options: StageOptions) => Promise<Store>;
    readonly translate: (fault: Fault) => F;
    /** Every request, if absent. */
    readonly isMeant?: (request: R, fault: Fault) => boolean;
  },
): Stage {
  return {
    endpoint: fake.endpoint,
    root: of.root,
    secrets: of.secrets,
    open: (options = {}) => of.open(options),
    fail(fault, method) {
      const translated = fault && of.translate(fault);
      fake.fault = (request) => {
        if (fault === undefined || of.isMeant?.(request, fault) === false) return undefined;
        return method === undefined || request.method === method ? translated : undefined;
      };
    },
    onRequest(arrived) {
      fake.fault = () => {
        arrived();
        return of.silence;
      };
    },
    requests() {
      return fake.requests.splice(0).length;
    },
    [Symbol.asyncDispose]: () => fake[Symbol.asyncDispose](),
  };
}
