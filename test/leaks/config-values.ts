/** Every string that stands anywhere in a config, for a Kong that repeats them all. */

export function valuesOf(value: unknown): readonly string[] {
  if (typeof value === "string") return [value];
  return typeof value === "object" && value !== null ? Object.values(value).flatMap(valuesOf) : [];
}
