/** How data planes of different versions differ, as recorded from real ones of 2.8.5, 3.4.2 and 3.9.1. */

import { readFileSync } from "node:fs";

export interface DataPlaneTraits {
  /** The message as recorded. */
  readonly basicInfo: Buffer;
  /** Default of Kong's `cluster_max_payload`. */
  readonly maxPayloadBytes: number;
  /** Whether a config it could not load makes it ping at once, with the hash it has. */
  readonly pingsOldHashAfterRefusal: boolean;
}

/** Of the newest recorded version that is not newer than `version`; of 3.9.1 where that is no version. */
export function traitsOf(version: string): DataPlaneTraits {
  const [, major, minor] = /^(\d+)\.(\d+)\.\d+/.exec(version) ?? [undefined, "3", "9"];
  const rank = Number(major) * 1_000 + Number(minor);
  if (rank >= 3_009) return traits("3.9.1", 16_777_216, false);
  if (rank >= 3_004) return traits("3.4.2", 16_777_216, true);
  return traits("2.8.5", 4_194_304, true);
}

function traits(
  recorded: string,
  maxPayloadBytes: number,
  pingsOldHashAfterRefusal: boolean,
): DataPlaneTraits {
  const url = new URL(`../fixtures/captures/${recorded}/basic_info.json`, import.meta.url);
  return { basicInfo: readFileSync(url), maxPayloadBytes, pingsOldHashAfterRefusal };
}
