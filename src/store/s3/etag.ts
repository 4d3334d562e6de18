/** ETags as versions, and how a server wants to be asked for one. */

import type { Version } from "../port.ts";
import { lostRace } from "../verdict.ts";
import { readAnswer } from "./answer.ts";
import { notS3 } from "./errors.ts";
import type { S3Attempt } from "./verdicts.ts";

/**
 * A version is the ETag without its quotes. For plain uploads that is the MD5 of the body: two puts
 * of one body under different metadata have one version, and a body that comes back brings its
 * version back. S3 has nothing finer to put a condition on.
 */
export function versionOf(etag: string | undefined, attempt: S3Attempt): Version {
  if (etag === undefined || etag === "") throw notS3(attempt, "an answer without an ETag");
  return bareETag(etag) as Version;
}

/** Sends one conditional write. */
type Write = (condition: { readonly IfMatch: string }) => Promise<Version>;

/** How one server takes If-Match, found out by use. */
export class IfMatch {
  #style: "untried" | "quoted" | "bare" = "untried";

  /**
   * Replaces `version` and nothing else, by way of `write`; rejects as `write` does. `head`
   * tells what is there now.
   *
   * Ceph's radosgw answers 412 to a correct If-Match in quotes and takes it without them, against
   * RFC 9110, section 13.1.1. So where quotes have not worked yet and the ETag is the expected one
   * all the same, the write is sent once more without them. That risks nothing: the second request
   * is as conditional as the first, and the server judges it anew. A server that takes no notice of
   * a bare If-Match is found out by the probe at start (preconditions.ts), which ends with a write
   * over a stale version.
   */
  async replace(
    version: Version,
    write: Write,
    head: () => Promise<{ readonly ETag?: string | undefined }>,
    attempt: S3Attempt,
  ): Promise<Version> {
    // Gone, denied or unreachable: nothing is known, and the error that made us ask stands.
    const current = async () => bareETag((await head().catch(() => undefined))?.ETag ?? "");
    if (this.#style !== "bare") {
      try {
        const written = await write({ IfMatch: `"${version}"` });
        this.#style = "quoted";
        return written;
      } catch (error) {
        const odd = this.#style === "untried" && readAnswer(error)?.status === 412;
        if (!odd || (await current()) !== version) throw error;
      }
    }
    try {
      const written = await write({ IfMatch: version });
      this.#style = "bare";
      return written;
    } catch (error) {
      // So says radosgw (16.2.15) to those who lose when several write at the same moment.
      if (readAnswer(error)?.name !== "UnknownError") throw error;
      const now = await current();
      throw now === "" || now === version ? error : lostRace(attempt);
    }
  }
}

/** Without the quotes that HTTP puts around it. */
export function bareETag(etag: string): string {
  return etag.replace(/^(?:W\/)?"(.*)"$/, "$1");
}
