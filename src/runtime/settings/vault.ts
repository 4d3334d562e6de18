/** References to Kong's vault `env`, as a data plane's environment may have them. https://developer.konghq.com/gateway/entities/vault/ */

/** `{vault://env/name}`, or with the member of a JSON object behind it: `{vault://env/name/member}`. */
const REFERENCE = /^\{vault:\/\/([^/}]+)\/([^/}?]+)(?:\/([^}?]+))?(?:\?[^}]*)?\}$/;

/** What a reference leads to, or why it leads nowhere: a sentence that repeats no value. */
export type Resolved =
  | { readonly kind: "value"; readonly value: string }
  | { readonly kind: "fault"; readonly what: string };

/**
 * A text that is no reference stands for itself. Of Kong's vaults the open-source one alone is known,
 * `env`: the variable of that name, in capitals and with `_` for `-`, behind KONG_VAULT_ENV_PREFIX.
 */
export function resolveReference(
  text: string,
  source: Readonly<Record<string, string | undefined>>,
): Resolved {
  if (!text.startsWith("{vault://")) return { kind: "value", value: text };
  const [, vault = "", resource = "", member] = REFERENCE.exec(text) ?? [];
  if (resource === "") return fault("is a reference to a vault that cannot be read");
  if (vault !== "env") {
    return fault(
      `refers to the vault ${JSON.stringify(vault.slice(0, 40))}, of which only Kong knows: give the value itself, or refer to the vault env`,
    );
  }
  const prefix = source["KONG_VAULT_ENV_PREFIX"] ?? "";
  const name = `${prefix}${resource}`.replaceAll("-", "_").toUpperCase();
  const value = source[name] ?? "";
  if (value === "") return fault(`refers to ${name} in the environment, which is not set`);
  if (member === undefined) return { kind: "value", value };
  const found = memberOf(value, member);
  return typeof found === "string"
    ? { kind: "value", value: found }
    : fault(`refers to a member of ${name} in the environment, which has none of that name`);
}

function memberOf(json: string, member: string): unknown {
  try {
    const object: unknown = JSON.parse(json);
    const isObject = typeof object === "object" && object !== null;
    return isObject ? Object.entries(object).find(([name]) => name === member)?.[1] : undefined;
  } catch {
    // The parser's message quotes the text.
    return undefined;
  }
}

function fault(what: string): Resolved {
  return { kind: "fault", what };
}
