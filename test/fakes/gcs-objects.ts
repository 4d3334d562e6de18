/** What Cloud Storage's JSON API answers for the objects of one bucket. */

import { CRC32C } from "@google-cloud/storage";

export interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: Buffer;
}

export interface FakeObject {
  readonly name: string;
  readonly generation: string;
  readonly body: Buffer;
  readonly resource: Readonly<Record<string, unknown>>;
}

interface Asked {
  readonly method: string;
  readonly params: URLSearchParams;
}

export function list(objects: ReadonlyMap<string, FakeObject>, params: URLSearchParams): Answer {
  const prefix = params.get("prefix") ?? "";
  const from = Buffer.from(params.get("pageToken") ?? "", "base64");
  const found = [...objects.values()]
    .filter(({ name }) => name.startsWith(prefix) && Buffer.from(name).compare(from) >= 0)
    .sort((a, b) => Buffer.from(a.name).compare(Buffer.from(b.name)));
  const size = Number(params.get("maxResults") ?? 1000);
  const items = found.slice(0, size).map(({ resource }) => masked(resource, params));
  const next = found[size];
  return json(200, {
    ...(items.length === 0 ? {} : { items }),
    ...(next === undefined ? {} : { nextPageToken: Buffer.from(next.name).toString("base64") }),
  });
}

export function one(
  bucket: string,
  objects: Map<string, FakeObject>,
  name: string,
  { method, params }: Asked,
): Answer {
  const object = objects.get(name);
  const generation = params.get("generation");
  if (!object || (generation !== null && generation !== object.generation)) {
    return refusal(404, "notFound", `No such object: ${bucket}/${name}`);
  }
  const unmet = condition(params, object);
  if (unmet !== undefined) return unmet;
  if (method === "DELETE") {
    objects.delete(name);
    return { status: 204, type: "application/json", body: Buffer.alloc(0) };
  }
  if (params.get("alt") !== "media") return json(200, masked(object.resource, params));
  return { status: 200, type: String(object.resource["contentType"]), body: object.body };
}

/** A 412 unless the live generation, 0 for none, is the one asked for. */
export function condition(
  params: URLSearchParams,
  object: FakeObject | undefined,
): Answer | undefined {
  const wanted = params.get("ifGenerationMatch");
  if (wanted === null || wanted === (object?.generation ?? "0")) return undefined;
  const message = "At least one of the pre-conditions you specified did not hold.";
  return refusal(412, "conditionNotMet", message);
}

/** The two parts of a multipart/related body, without their heads. */
export function parts(contentType: string, body: Buffer): readonly Buffer[] {
  const boundary = /boundary=([^;]+)/.exec(contentType)?.[1] ?? "";
  const found: Buffer[] = [];
  let start = body.indexOf(`--${boundary}\r\n`);
  while (start >= 0) {
    const from = body.indexOf("\r\n\r\n", start) + 4;
    const end = body.indexOf(`\r\n--${boundary}`, from);
    if (end < 0) break;
    found.push(Buffer.from(body.subarray(from, end)));
    start = body.indexOf(`--${boundary}\r\n`, end);
  }
  return found;
}

/** Only the fields that the `fields` parameter names. */
export function masked(resource: Readonly<Record<string, unknown>>, params: URLSearchParams) {
  const wanted = params
    .get("fields")
    ?.replace(/^.*items\(|\)$/g, "")
    .split(",");
  return Object.fromEntries(
    Object.entries(resource).filter(([field]) => wanted?.includes(field) ?? true),
  );
}

export function refusal(status: number, reason: string, message: string): Answer {
  return json(status, googleError(status, reason, message));
}

/** Google's error object. */
export function googleError(code: number, reason: string, message: string) {
  return { error: { code, message, errors: [{ message, domain: "global", reason }] } };
}

export function webPage(status: number): Answer {
  const body = Buffer.from("<!doctype html><title>Sign in to the network</title>");
  return { status, type: "text/html", body };
}

export function json(status: number, value: unknown): Answer {
  const type = "application/json; charset=UTF-8";
  return { status, type, body: Buffer.from(JSON.stringify(value)) };
}

export function crc32c(body: Buffer): string {
  const checksum = new CRC32C();
  checksum.update(body);
  return checksum.toString();
}
