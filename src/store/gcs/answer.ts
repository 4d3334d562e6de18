/** An answer of the JSON API, read: what was asked for, or the error that it means. */

import type { GcsAnswer } from "./client.ts";
import type { Attempt, Refusal } from "./errors.ts";
import { notGcs, refused } from "./errors.ts";
import { readText } from "./transfer.ts";

/** A 2xx. */
export function succeeded({ status }: GcsAnswer): boolean {
  return status >= 200 && status < 300;
}

/** Of any answer: its status and text. */
export async function refusal({ status, body }: GcsAnswer): Promise<Refusal> {
  return { status, text: await readText(body) };
}

/** What `parse` makes of a 2xx answer; `undefined` from it means the endpoint is not Cloud Storage. */
export async function parsed<T>(
  attempt: Attempt,
  answer: GcsAnswer,
  parse: (text: string) => T | undefined,
): Promise<T> {
  const answered = await refusal(answer);
  if (!succeeded(answer)) throw refused(attempt, answered);
  const value = parse(answered.text);
  if (value === undefined) throw notGcs(attempt, `HTTP ${answer.status} with another body`);
  return value;
}
