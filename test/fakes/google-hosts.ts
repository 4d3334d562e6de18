/** Leads requests for Google's own hosts to the wire fake. */

import http from "node:http";
import https from "node:https";
import type * as Undici from "undici";
import { vi } from "vitest";

/** Where the requests of this test file go, and which they were. */
export const google: { port: number; readonly urls: string[] } = { port: 0, urls: [] };

/** For `vi.mock("undici", …)`: requests of the store for storage.googleapis.com go to `google.port`. */
export function ledAway(undici: typeof Undici): typeof Undici {
  const request: typeof Undici.request = (to, options) => {
    const { origin, pathname, search } = new URL(String(to));
    if (origin !== "https://storage.googleapis.com") return undici.request(to, options);
    google.urls.push(origin + pathname);
    return undici.request(`http://127.0.0.1:${google.port}${pathname}${search}`, options);
  };
  return { ...undici, request };
}

/** Token requests, too: the SDK's HTTP client (node-fetch) looks `https.request` up each time. */
export function leadTokenRequests(): void {
  vi.spyOn(https, "request").mockImplementation((...args: unknown[]) => {
    const options = args[0] as https.RequestOptions;
    google.urls.push(`https://${options.hostname}${options.path}`);
    const { port } = google;
    // Its agent speaks TLS.
    const { agent: _, ...plain } = options;
    return http.request({ ...plain, protocol: "http:", hostname: "127.0.0.1", port });
  });
}
