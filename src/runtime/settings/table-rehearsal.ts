/** The settings that say what a config must pass before it becomes current, and what readers ask of it. */

export const REHEARSAL_SETTINGS = {
  KONG_FALLBACK_REHEARSAL_URL: {
    example: "http://127.0.0.1:8001",
    meaning:
      "Admin API of a DB-less Kong without traffic that must load every config before `export` makes it current. With several versions one for each: `3.8.1=http://a:8001,3.9.1=http://b:8001`.",
  },
  KONG_FALLBACK_REHEARSAL_STATUS_URL: {
    example: "http://127.0.0.1:8007",
    meaning:
      "Its Status API (`status_listen`), in the same form: `/status/ready` is asked there, too.",
  },
  KONG_FALLBACK_REHEARSAL: {
    default: "required",
    example: "best-effort",
    meaning:
      "Where that Kong cannot be asked: the config waits until it can (`required`), or is saved unrehearsed (`best-effort`).",
  },
  KONG_FALLBACK_REHEARSAL_TIMEOUT: {
    default: "60",
    example: "300",
    meaning: "How long one rehearsal may take in all, seconds.",
  },
  KONG_FALLBACK_CHECKS: {
    default: "warn",
    example: "refuse",
    meaning:
      "What `export` does with a config that the static checks find faulty: `warn`, hold it back (`refuse`), or not check at all (`off`).",
  },
  KONG_FALLBACK_REQUIRE_REHEARSED: {
    default: "off",
    example: "on",
    meaning:
      "`on`: `import` and `serve` use only snapshots that were rehearsed, the newest of these; `serve` remembers nothing that passes by.",
  },
} as const;
