/** Kong's reasons for refusing a config, told without the config: type, name or id, field and Kong's own words. */

import { hearsay } from "../core/hearsay.ts";

/** Foreign keys of Kong's entities. https://developer.konghq.com/gateway/entities/ */
const REFERENCES: ReadonlySet<string> = new Set([
  "service",
  "route",
  "consumer",
  "consumer_group",
  "upstream",
  "certificate",
  "client_certificate",
  "set",
]);
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/**
 * One line for each error in the body of a 400 of `POST /config`, e.g. `service "billing", field
 * host: required field missing`; empty where the body names none. Kong's words may quote what they
 * complain of, a key or a password among it, so every value of the entity is taken out of them.
 * Shape: Kong/kong@3.9.1 kong/db/errors.lua (`flattened_errors` since 3.2, `fields` in all).
 */
export function describeConfigRefusal(body: unknown): readonly string[] {
  if (!isObject(body)) return [];
  const flattened = Array.isArray(body["flattened_errors"]) ? body["flattened_errors"] : [];
  return [...flattened.flatMap(describeEntity), ...describeFields(body["fields"], "")];
}

/** Anything a server says, as one short printable line. */
export function printableLine(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must go.
  const line = text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, " ").trim();
  return line.length > 200 ? `${line.slice(0, 199)}…` : line;
}

function describeEntity(error: unknown): readonly string[] {
  if (!isObject(error) || !Array.isArray(error["errors"])) return [];
  const type = typeof error["entity_type"] === "string" ? error["entity_type"] : "entity";
  const name = [error["entity_name"], error["entity_id"]].find((it) => typeof it === "string");
  const label = printableLine(name === undefined ? type : `${type} "${name}"`);
  const secrets = valuesOf(error["entity"]);
  return error["errors"].filter(isObject).flatMap((detail) => {
    const field = detail["field"];
    const where = typeof field === "string" ? `${label}, field ${printableLine(field)}` : label;
    return messagesOf(detail).map((message) => `${where}: ${censored(message, secrets)}`);
  });
}

function messagesOf(detail: Readonly<Record<string, unknown>>): readonly string[] {
  const messages = Array.isArray(detail["messages"]) ? detail["messages"] : [detail["message"]];
  return messages.filter((message) => typeof message === "string");
}

/** `fields` nests as the config does; its leaves are messages, `@entity` holds those about the whole entity. */
function describeFields(node: unknown, path: string): readonly string[] {
  if (typeof node === "string") {
    // No entity tells here what must be taken out.
    return [`${hearsay(path) || "config"}: ${printableLine(hearsay(censored(node, [])))}`];
  }
  if (Array.isArray(node)) {
    return node.flatMap((child, index) => describeFields(child, `${path}[${index}]`));
  }
  if (!isObject(node)) return [];
  return Object.entries(node).flatMap(([key, child]) =>
    describeFields(child, path === "" ? key : `${path}.${key}`),
  );
}

function censored(message: string, secrets: readonly string[]): string {
  // Kong/kong@3.9.1 kong/db/schema/others/declarative_config.lua: "uniqueness violation: … with key set to 'the key itself' already declared"
  let text = message.replace(/set to '.*'/gs, "set to '[redacted]'");
  for (const secret of secrets) {
    text = text.replaceAll(`'${secret}'`, "'[redacted]'").replaceAll(`"${secret}"`, '"[redacted]"');
    // A short value such as "http" is part of Kong's own vocabulary and stands in its messages by right.
    if (secret.length >= 8) text = text.replaceAll(secret, "[redacted]");
  }
  return printableLine(text);
}

/** Every string of the entity, longest first so that none leaves a part behind; names and ids identify and may be shown, those of other entities, too. */
function valuesOf(entity: unknown): readonly string[] {
  const values = new Set<string>();
  const visit = (node: unknown, key: string) => {
    if (typeof node === "string" && node !== "" && key !== "id" && key !== "name") values.add(node);
    else if (typeof node === "object" && node !== null) {
      for (const [childKey, child] of Object.entries(node)) visit(child, childKey);
    }
  };
  if (isObject(entity)) {
    for (const [key, child] of Object.entries(entity))
      if (!isReference(key, child)) visit(child, key);
  }
  return [...values].sort((a, b) => b.length - a.length);
}

/** A member of the entity itself that names another one by its id; a UUID elsewhere may be a key. */
function isReference(key: string, value: unknown): boolean {
  return REFERENCES.has(key) && typeof value === "string" && UUID.test(value);
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export interface PlaneError {
  /** Kong's name for it, e.g. `declarative configuration parse failure`. */
  readonly name: string;
  /** Kong's reasons, one line each, without the config's values; at most 10. */
  readonly reasons: readonly string[];
}

const MAX_REASONS = 10;

/** Undefined if the message is no such report. Kong/kong@3.9.1 kong/clustering/data_plane.lua, config_helper.lua */
export function parsePlaneError(message: Uint8Array): PlaneError | undefined {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(message).toString("utf8"));
  } catch {
    // Not JSON is no report.
    return undefined;
  }
  if (!isRecord(value) || value["type"] !== "error" || !isRecord(value["error"])) return undefined;
  const { name } = value["error"];
  return {
    name: printableLine(typeof name === "string" ? name : "unnamed error"),
    reasons: describeConfigRefusal(value["error"]).slice(0, MAX_REASONS),
  };
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}
