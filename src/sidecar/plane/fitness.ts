/** Whether a data plane can take a config, by what it says of itself: one it would refuse is not sent. */

import type { BasicInfo } from "../../kong/basic-info.ts";

export interface Misfit {
  readonly reason: string;
  /** What would help. */
  readonly hint: string;
}

/** What of a config decides who can take it. */
export interface Load {
  /** Length of the frame, compressed. */
  readonly frameBytes: number;
  /** Names of the plugins it configures. */
  readonly plugins: ReadonlySet<string>;
}

/** Undefined: it fits. The rules of a control plane: Kong/kong@3.9.1 kong/clustering/compat/init.lua */
export function findMisfit(load: Load, plane: BasicInfo): Misfit | undefined {
  const has = new Set(plane.plugins.map(({ name }) => name));
  const missing = [...load.plugins].filter((name) => !has.has(name)).sort();
  if (missing.length > 0) {
    return {
      reason: `the config uses plugins that the data plane does not have: ${missing.join(", ")}`,
      hint: "Install them on the data plane and name them in its KONG_PLUGINS, as the others of its version have them.",
    };
  }
  const { maxPayloadBytes } = plane;
  if (maxPayloadBytes !== undefined && load.frameBytes > maxPayloadBytes) {
    return {
      reason: `the config has ${load.frameBytes} bytes compressed, the data plane takes ${maxPayloadBytes}`,
      hint: "Raise KONG_CLUSTER_MAX_PAYLOAD on the data plane.",
    };
  }
  return undefined;
}
