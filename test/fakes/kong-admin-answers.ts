/** What Kong's Admin API says when it says no, as Kong 3.9.1 and its nginx do. */

/** What to answer instead; headers `Content-Type` and `Content-Length` are added. `hang`: nothing, ever. */
export type Answer = Reply | "hang" | "disconnect";

export interface Reply {
  readonly status: number;
  readonly body: string;
  readonly headers?: Record<string, string>;
}

export const ANSWERS = {
  busy: {
    status: 429,
    body: '{"message":"Currently loading previous configuration"}',
    headers: { "Retry-After": "7" },
  },
  exiting: { status: 503, body: '{"message":"Kong currently exiting"}' },
  timeout: { status: 504, body: '{"message":"Timed out while loading configuration"}' },
  unexpected: { status: 500, body: '{"message":"An unexpected error occurred"}' },
  notDbless: {
    status: 400,
    body: '{"message":"this endpoint is only available when Kong is configured to not use a database"}',
  },
  mapFull: {
    status: 413,
    body: '{"message":"Configuration does not fit in LMDB database, consider raising the \\"lmdb_map_size\\" config for Kong"}',
  },
  noMemory: { status: 413, body: '{"message":"Configuration does not fit in Kong cache"}' },
  bodyTooLarge: {
    status: 413,
    body: "<html>\r\n<head><title>413 Request Entity Too Large</title></head>\r\n</html>\r\n",
  },
  unsupported: { status: 415, body: "{}" },
  notFound: { status: 404, body: '{"message":"Not found"}' },
  unauthorized: {
    status: 401,
    body: '{"message":"Invalid credentials. Token or User credentials required"}',
  },
  /** Not Kong's, but of a proxy in front of it. */
  blocked: { status: 400, body: '{"message":"request blocked by policy"}' },
  /** nginx's own pages: src/http/ngx_http_special_response.c */
  noCertificate: nginxPage("No required SSL certificate was sent"),
  badCertificate: nginxPage("The SSL certificate error"),
  otherPage: nginxPage("Request Header Or Cookie Too Large"),
  plainHttp: {
    status: 400,
    body: "<html><center>The plain HTTP request was sent to HTTPS port</center></html>",
  },
} as const satisfies Record<string, Reply>;

/** As Kong 3.9.1 answers a config that breaks the schema. */
export function schemaRefusal(options: {
  readonly fields?: unknown;
  readonly flattened?: readonly unknown[];
}): Reply {
  const { fields = {}, flattened } = options;
  const body = {
    code: 14,
    name: "invalid declarative configuration",
    message: `declarative config is invalid: ${JSON.stringify(fields)}`,
    fields,
    ...(flattened === undefined ? {} : { flattened_errors: flattened }),
  };
  return { status: 400, body: JSON.stringify(body) };
}

function nginxPage(sentence: string): Reply {
  const body = `<html>\r\n<head><title>400 ${sentence}</title></head>\r\n<body>\r\n<center><h1>400 Bad Request</h1></center>\r\n<center>${sentence}</center>\r\n</body>\r\n</html>\r\n`;
  return { status: 400, body, headers: { Connection: "close" } };
}
