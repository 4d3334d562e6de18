/** The answers of S3 as status, headers and XML. */

export interface Stored {
  readonly body: Buffer;
  /** With its quotes. */
  readonly etag: string;
  readonly putAt: Date;
  /** Content type and user metadata. */
  readonly headers: Readonly<Record<string, string>>;
}

export interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

export const NOTHING = Buffer.alloc(0);

export function error(
  status: number,
  code: string,
  message: string,
  elements: Readonly<Record<string, string>> = {},
  headers: Readonly<Record<string, string>> = {},
): Reply {
  const all = { Code: code, Message: message, ...elements, RequestId: "FAKE0000REQUEST" };
  return xml(status, "Error", Object.entries(all).map(element).join(""), headers);
}

/** ListObjectsV2, page by page; the token is the last key of the page before. */
export function list(objects: ReadonlyMap<string, Stored>, query: URLSearchParams): Reply {
  const prefix = query.get("prefix") ?? "";
  const token = query.get("continuation-token");
  const after = token === null ? Buffer.alloc(0) : Buffer.from(token, "base64url");
  const found = [...objects]
    .filter(([key]) => key.startsWith(prefix) && Buffer.compare(Buffer.from(key), after) > 0)
    .sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  const page = found.slice(0, Number(query.get("max-keys") ?? 1000));
  const last = found.length > page.length ? page.at(-1)?.[0] : undefined;
  const contents = page.map(([key, { etag, body, putAt }]) => {
    const size = String(body.byteLength);
    const fields = { Key: key, LastModified: putAt.toISOString(), ETag: etag, Size: size };
    return `<Contents>${Object.entries(fields).map(element).join("")}</Contents>`;
  });
  const fields = {
    Prefix: prefix,
    KeyCount: String(page.length),
    IsTruncated: String(last !== undefined),
    ...(last === undefined
      ? {}
      : { NextContinuationToken: Buffer.from(last).toString("base64url") }),
  };
  const body = Object.entries(fields).map(element).join("") + contents.join("");
  return xml(200, "ListBucketResult", body, {});
}

function xml(status: number, root: string, body: string, headers: Reply["headers"]): Reply {
  const document = `<?xml version="1.0" encoding="UTF-8"?>\n<${root}>${body}</${root}>`;
  const type = { "content-type": "application/xml" };
  return { status, headers: { ...type, ...headers }, body: Buffer.from(document) };
}

function element([name, text]: readonly [string, string]): string {
  const escaped = text.replace(/[<>&"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
  return `<${name}>${escaped}</${name}>`;
}
