/** `basic_info`: the first frame of a session, from the data plane, binary and plain JSON. */

export interface BasicInfo {
  readonly plugins: readonly { readonly name: string; readonly version?: string }[];
  /** From Kong's `cluster_dp_labels`; 3.3 and later. */
  readonly labels: Readonly<Record<string, string>>;
  /** Longest frame it takes, bytes, from `process_conf.cluster_max_payload`; undefined before 3.4, which do not say. */
  readonly maxPayloadBytes: number | undefined;
}

/**
 * The frame for these plugin names, without versions: a control plane compares versions only where
 * both sides have one, so it never withholds for them. Kong/kong@3.9.1 kong/clustering/compat/init.lua
 */
export function encodeBasicInfo(options: {
  readonly plugins: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
}): Buffer {
  const { plugins, labels } = options;
  const frame = {
    type: "basic_info",
    plugins: plugins.map((name) => ({ name })),
    ...(Object.keys(labels).length > 0 && { labels }),
  };
  return Buffer.from(JSON.stringify(frame));
}

/**
 * Reads what a data plane sent. Undefined if it is no `basic_info` with a list of plugins, on which
 * a control plane hangs up. Lua cannot tell an empty list from an empty object, so `{}` counts as one.
 */
export function parseBasicInfo(frame: Uint8Array): BasicInfo | undefined {
  const value = parseJson(frame);
  if (!isRecord(value) || value["type"] !== "basic_info" || !isRecord(value["plugins"])) {
    return undefined;
  }
  const conf = isRecord(value["process_conf"]) ? value["process_conf"] : {};
  const maxPayload = conf["cluster_max_payload"];
  const labels = isRecord(value["labels"]) ? Object.entries(value["labels"]) : [];
  return {
    plugins: Object.values(value["plugins"]).filter(isPlugin),
    labels: Object.fromEntries(
      labels.filter((entry): entry is [string, string] => typeof entry[1] === "string"),
    ),
    maxPayloadBytes: typeof maxPayload === "number" ? maxPayload : undefined,
  };
}

function parseJson(frame: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(frame).toString("utf8"));
  } catch {
    // Not JSON is not basic_info; the caller needs no more than that.
    return undefined;
  }
}

/** True of arrays as well. */
function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

function isPlugin(value: unknown): value is { readonly name: string; readonly version?: string } {
  return (
    isRecord(value) &&
    typeof value["name"] === "string" &&
    (value["version"] === undefined || typeof value["version"] === "string")
  );
}
