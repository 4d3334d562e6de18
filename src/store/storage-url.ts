/** Parses `KONG_CLUSTER_FALLBACK_CONFIG_STORAGE`: which kind of store, and where in it. Pure. */

import { fileURLToPath } from "node:url";
import type { ErrorDetails } from "../core/errors.ts";
import { describeCause, ServiceError } from "../core/errors.ts";
import { checkPrefix } from "./keys.ts";

/** Objects in a bucket. `prefix` has no leading or trailing `/`; `""` is the whole bucket. */
interface BucketLocation {
  /** The URL in its shortest form, without trailing `/`; fit for messages. */
  readonly url: string;
  readonly bucket: string;
  readonly prefix: string;
}

/** Blobs in a container of a storage account of Azure. */
interface ContainerLocation {
  readonly url: string;
  readonly account: string;
  readonly container: string;
  /** As of a bucket. */
  readonly prefix: string;
}

/** Files below an absolute directory. */
interface DirectoryLocation {
  readonly url: string;
  readonly directory: string;
}

export type StorageLocation =
  | ({ readonly kind: "s3" } & BucketLocation)
  | ({ readonly kind: "gcs" } & BucketLocation)
  | ({ readonly kind: "azure" } & ContainerLocation)
  | ({ readonly kind: "file" } & DirectoryLocation);

/** `STORAGE_URL_INVALID`: the storage URL cannot be used. The message never repeats credentials that stood in it. */
export class StorageUrlError extends ServiceError {
  readonly code = "STORAGE_URL_INVALID";
  readonly exitStatus = 2;

  constructor(message: string, details: ErrorDetails = {}) {
    super(message, { retryable: false, ...details });
  }
}

/** How the buckets, accounts and containers are named that objects lie in. */
interface NameRule {
  readonly pattern: RegExp;
  readonly text: string;
}

/** https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html (general purpose buckets) */
const S3_BUCKET: NameRule = {
  pattern: /^(?!.*\.\.)(?!\d+\.\d+\.\d+\.\d+$)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/,
  text: "3 to 63 lower-case letters, digits, dots and hyphens, with a letter or digit at both ends, no two dots in a row, and not an IP address",
};

/** https://cloud.google.com/storage/docs/buckets#naming */
const GCS_BUCKET: NameRule = {
  pattern:
    /^(?!.*\.\.)(?!\d+\.\d+\.\d+\.\d+$)(?=.{3,222}$)[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?)*$/,
  text: "3 to 63 lower-case letters, digits, hyphens, underscores and dots (longer where dots part it), with a letter or digit at both ends, and not an IP address",
};

/** https://learn.microsoft.com/azure/storage/common/storage-account-overview#storage-account-name */
const AZURE_ACCOUNT: NameRule = {
  pattern: /^[a-z0-9]{3,24}$/,
  text: "3 to 24 lower-case letters and digits, without .blob.core.windows.net",
};

/**
 * https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata;
 * `$root` is left out, for its blobs have no `/` in their names.
 */
const AZURE_CONTAINER: NameRule = {
  pattern: /^(?!.*--)[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$/,
  text: "3 to 63 lower-case letters, digits and single hyphens, with a letter or digit at both ends",
};

/**
 * `user:secret@…`, also where the secret holds a `/` and so ends what looks like the host. An `@`
 * further on is part of a prefix and harmless, but cannot be told from one that is not.
 */
const CREDENTIALS = /^[a-z0-9+.-]*:\/\/(?:[^/]*:|[^/]*@)/i;

const EXAMPLES =
  "Write s3://bucket/prefix, gs://bucket/prefix, azure://account/container/prefix or file:///directory.";

/**
 * A comma-separated list of storage URLs, each a replica of the others: not empty, in this order,
 * none twice. Throws as parseStorageUrl.
 */
export function parseStorageUrls(text: string): readonly StorageLocation[] {
  const locations = text.split(",").map(parseStorageUrl);
  const places = locations.map(placeOf);
  const again = locations.find((_, index) => places.indexOf(places[index] ?? "") !== index);
  if (again === undefined) return locations;
  throw new StorageUrlError(`the storage URL ${shown(again.url)} stands in the list twice`, {
    hint: "Each store of the list keeps a copy: name different ones.",
  });
}

/** Throws StorageUrlError naming the fault and a form that works. Blanks around the URL are ignored. */
export function parseStorageUrl(text: string): StorageLocation {
  const url = text.trim();
  if (url === "") throw new StorageUrlError("the storage URL is empty", { hint: EXAMPLES });
  const { scheme, authority, path } = split(url);
  const kind = kindOf(scheme, url);
  if (CREDENTIALS.test(url)) {
    throw new StorageUrlError(
      `the storage URL ${shown(url)} holds credentials, or a host with a port, where only a bucket's name may stand`,
      {
        hint: "Give credentials as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, as GCP_SERVICE_ACCOUNT or as AZURE_STORAGE_KEY, and the address of an S3-compatible server as AWS_CONFIG_STORAGE_ENDPOINT. Change the credentials if this URL was logged anywhere.",
      },
    );
  }
  if (url.includes(",")) {
    throw new StorageUrlError(
      `the storage URL ${shown(url)} begins a list where one store is expected`,
      { hint: "Name one store. A comma that belongs to a directory's name is written %2C." },
    );
  }
  if (/[?#]/.test(url)) {
    throw new StorageUrlError(`the storage URL ${shown(url)} goes on with a "?" or "#"`, {
      hint: "Options go into environment variables, e.g. AWS_REGION, AWS_CONFIG_STORAGE_ENDPOINT or AZURE_STORAGE_SAS_TOKEN.",
    });
  }
  switch (kind) {
    case "s3":
      return { kind, ...bucketLocation(url, scheme, authority, path, S3_BUCKET) };
    case "gcs":
      return { kind, ...bucketLocation(url, scheme, authority, path, GCS_BUCKET) };
    case "azure":
      return { kind, ...containerLocation(url, authority, path) };
    case "file":
      return { kind, ...directoryLocation(url, authority) };
    default:
      return kind satisfies never;
  }
}

/** The same for the same place, however it is written. */
function placeOf(location: StorageLocation): string {
  switch (location.kind) {
    case "file":
      return `file ${location.directory}`;
    case "azure":
      return `azure ${location.account}/${location.container}/${location.prefix}`;
    default:
      return `${location.kind} ${location.bucket}/${location.prefix}`;
  }
}

function kindOf(scheme: string, url: string): StorageLocation["kind"] {
  switch (scheme) {
    case "s3":
    case "azure":
    case "file":
      return scheme;
    case "gs":
    case "gcs":
      return "gcs";
    case "http":
    case "https":
      throw new StorageUrlError(`the storage URL ${shown(url)} is a web address`, {
        hint: "For an S3-compatible server put that address into AWS_CONFIG_STORAGE_ENDPOINT, and write the storage as s3://bucket/prefix.",
      });
    default:
      throw new StorageUrlError(`the storage URL ${shown(url)} has the unknown scheme ${scheme}`, {
        hint: EXAMPLES,
      });
  }
}

function split(url: string): { scheme: string; authority: string; path: string } {
  const match = /^([a-z][a-z0-9+.-]*):(?:\/\/([^/?#]*))?(.*)$/is.exec(url);
  // A list of paths or a bare `user:secret@host` must not be taken for a scheme and be echoed.
  if (match === null || (match[2] === undefined && !/^file$/i.test(match[1] ?? ""))) {
    throw new StorageUrlError("the storage URL has no scheme such as s3://", {
      hint: url.startsWith("/") ? "A directory is written file:///directory." : EXAMPLES,
    });
  }
  return {
    scheme: (match[1] ?? "").toLowerCase(),
    authority: match[2] ?? "",
    path: match[3] ?? "",
  };
}

function bucketLocation(
  url: string,
  scheme: string,
  bucket: string,
  path: string,
  rule: NameRule,
): BucketLocation {
  if (bucket === "") {
    throw new StorageUrlError(`the storage URL ${shown(url)} names no bucket`, { hint: EXAMPLES });
  }
  if (!rule.pattern.test(bucket)) {
    throw new StorageUrlError(
      `the storage URL ${shown(url)} names a bucket that cannot exist: ${shown(bucket)}`,
      { hint: `A bucket name is ${rule.text}.` },
    );
  }
  const prefix = prefixOf(url, path);
  return { url: `${scheme}://${bucket}${prefix === "" ? "" : `/${prefix}`}`, bucket, prefix };
}

function containerLocation(url: string, account: string, path: string): ContainerLocation {
  if (!AZURE_ACCOUNT.pattern.test(account)) {
    throw new StorageUrlError(`the storage URL ${shown(url)} names no storage account`, {
      hint: `Write azure://account/container/prefix; an account name is ${AZURE_ACCOUNT.text}.`,
    });
  }
  const [, container = "", rest = ""] = /^\/?([^/]*)(.*)$/s.exec(path) ?? [];
  if (!AZURE_CONTAINER.pattern.test(container)) {
    throw new StorageUrlError(
      `the storage URL ${shown(url)} names a container that cannot exist: ${shown(container)}`,
      {
        hint: `Write azure://account/container/prefix; a container name is ${AZURE_CONTAINER.text}.`,
      },
    );
  }
  const prefix = prefixOf(url, rest);
  if (prefix.includes("\\")) {
    throw new StorageUrlError(`the storage URL ${shown(url)} has a backslash`, {
      hint: "Azure takes it for a slash: write a slash.",
    });
  }
  const place = `${account}/${container}${prefix === "" ? "" : `/${prefix}`}`;
  return { url: `azure://${place}`, account, container, prefix };
}

function prefixOf(url: string, path: string): string {
  const prefix = path.replace(/^\//, "").replace(/\/$/, "");
  try {
    checkPrefix(prefix);
  } catch (cause) {
    throw new StorageUrlError(
      `the storage URL ${shown(url)} cannot be used: ${describeCause(cause)}`,
      { cause, hint: EXAMPLES },
    );
  }
  return prefix;
}

function directoryLocation(url: string, host: string): DirectoryLocation {
  const hint =
    "An absolute directory is written file:///directory, with three slashes and %20 for a blank.";
  if (host !== "" && host !== "localhost") {
    throw new StorageUrlError(`the storage URL ${shown(url)} names the host ${shown(host)}`, {
      hint,
    });
  }
  let directory: string;
  try {
    directory = fileURLToPath(new URL(url)).replace(/(?<=.)\/$/, "");
  } catch (cause) {
    throw new StorageUrlError(`the storage URL ${shown(url)} is not a path`, { cause, hint });
  }
  // URL takes a relative path for an absolute one, and drops line ends in silence.
  if (!/^file:(?:\/\/(?:localhost)?)?\/(?!\/)/i.test(url) || /\p{Cc}/u.test(url + directory)) {
    throw new StorageUrlError(`the storage URL ${shown(url)} is not a path`, { hint });
  }
  return { url: `file://${new URL(url).pathname.replace(/(?<=.)\/$/, "")}`, directory };
}

/**
 * The text as a message may show it: only the scheme where credentials may follow, no query, no
 * second URL, no control character, not endless.
 */
function shown(text: string): string {
  const safe = (CREDENTIALS.test(text) ? text.replace(/:\/\/.*$/s, "://…") : text)
    .replace(/[?#,].*$/s, "…")
    .replace(/\p{Cc}/gu, "\ufffd");
  return `"${safe.length > 200 ? `${safe.slice(0, 200)}…` : safe}"`;
}
