/** Which plugins a config uses: a data plane that lacks one of them would refuse the config. */

import { jsonMembers } from "./json-members.ts";

/**
 * Names of the enabled plugins in the config's `plugins`, where a control plane puts them all; not
 * of those that a config written by hand nests in its services. `config` must be one well-formed
 * JSON object.
 */
export function configuredPlugins(config: Uint8Array): ReadonlySet<string> {
  const names = new Set<string>();
  const member = jsonMembers(config).findLast(({ key }) => key === "plugins");
  if (member === undefined) return names;
  const text = Buffer.from(
    config.buffer,
    config.byteOffset + member.start,
    member.end - member.start,
  );
  const plugins: unknown = JSON.parse(text.toString("utf8"));
  // An empty Lua table may arrive as an object.
  if (!Array.isArray(plugins)) return names;
  for (const plugin of plugins) {
    const name = nameIfEnabled(plugin);
    if (name !== undefined) names.add(name);
  }
  return names;
}

/** `enabled` is true by default. Kong/kong@3.9.1 kong/db/schema/entities/plugins.lua */
function nameIfEnabled(plugin: unknown): string | undefined {
  if (typeof plugin !== "object" || plugin === null || !("name" in plugin)) return undefined;
  if ("enabled" in plugin && plugin.enabled === false) return undefined;
  return typeof plugin.name === "string" ? plugin.name : undefined;
}
